"""The plan: which steps a run takes, in order. Plain calls; a branch looks at earlier results.

Add a stage by calling it here. First comes all that makes something, then all that judges it
(`pipeline.verification`), so that `--until build` has every engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.compression import compress
from pipeline.config import Config
from pipeline.forms import Made, OnBoard, Shared, Variant
from pipeline.kits import agent_digest
from pipeline.precision import lower
from pipeline.runner import Step
from pipeline.support import refuse_unsupported, warnings
from stages.artifact import Artifact
from stages.build import Build, BuildInputs
from stages.check import Check, CheckInputs
from stages.data import DataInputs, Prepared
from stages.data.render import RenderInputs
from stages.data.source import anchor
from stages.export import ExportInputs
from stages.pack import Pack, Packed, PackInputs
from stages.train import TrainInputs
from stages.train.sketch import Sketch
from stages.user_modules import digest_modules
from stages.verify import Receive, ReceiveInputs
from stages.weights import find_weights
from targets.errors import UnsupportedError
from targets.profile import TargetProfile, technical


def prepare_data(config: Config, step: Step, *, folder: Path) -> tuple[Prepared, Artifact]:
    """Check the data set, or render one and check that.

    Args:
        config: Of the run.
        step: Runs a stage, or knows its result.
        folder: Paths in the configuration are relative to it.

    Returns:
        What is known of the data set, and its pictures.
    """
    if config.demo is not None:
        settings, source = config.data, step(config.demo, RenderInputs(), label="render").data
    else:
        anchored = anchor(config.data, folder)
        settings, source = anchored.data, anchored.source
    stage = replace(settings, imgsz=config.train.imgsz)  # so that it judges sizes as training will see them
    data = step(stage, DataInputs(source=source), label="check")
    return data, Artifact(source.path, data.pictures_digest)


def check_early(
    config: Config,
    profiles: Mapping[str, TargetProfile],
    data: Prepared,
    *,
    pictures: Artifact,
    step: Step,
    folder: Path,
) -> dict[str, UnsupportedError]:
    """Ask all targets about the untrained model: nobody should train for a week to hear a no.

    Args:
        config: Of the run.
        profiles: Of the targets, by the names that they were asked for.
        data: The data set.
        pictures: Its pictures.
        step: Runs a stage, or knows its result.
        folder: Paths in the configuration are relative to it.

    Returns:
        Those that cannot run the model, and why.
    """
    sketch = Sketch(weights=config.model.weights, imgsz=config.train.imgsz)
    sketched = step(sketch, train_inputs(config, data, pictures, folder), label="untrained")
    exported = step(config.export, ExportInputs(checkpoint=sketched.checkpoint), label="untrained")
    barred: dict[str, UnsupportedError] = {}
    for name, profile in profiles.items():
        inputs = CheckInputs(model=exported.onnx, profile=technical(profile))
        checked = step(Check(), inputs, label=f"{profile.name} untrained")
        try:
            refuse_unsupported(checked, profile)
        except UnsupportedError as exc:
            barred[name] = exc
    return barred


def train_inputs(config: Config, data: Prepared, pictures: Artifact, folder: Path) -> TrainInputs:
    """Give what training starts from."""
    return TrainInputs(
        index=data.index,
        pictures=pictures,
        weights=find_weights(config.model.weights, folder, folder / ".edgebound" / "weights"),
        modules=config.model.modules,
        modules_digest=digest_modules(config.model.modules),
    )


def make_shared(
    config: Config,
    profiles: Mapping[str, TargetProfile],
    given: tuple[Prepared, Artifact],
    *,
    step: Step,
    host: str,
    folder: Path,
) -> Shared:
    """Train, compress and export: once, whatever the targets.

    Args:
        config: Of the run.
        profiles: Of the targets, by the names that they were asked for; pruning may aim at their latency.
        given: The data set and its pictures, as `prepare_data` gives them.
        step: Runs a stage, or knows its result.
        host: Fingerprint of this machine.
        folder: Paths in the configuration are relative to it; downloads go to its `.edgebound/weights`.

    Raises:
        BudgetError: Pruning cannot meet its goal.
    """
    data, pictures = given
    inputs = train_inputs(config, data, pictures, folder)
    trained = step(replace(config.train, weights=config.model.weights), inputs)
    baseline = Variant(form="train", precision="fp32", runtime="pytorch", model=trained.checkpoint)
    shared = Shared(data=data, pictures=pictures, trained=trained, forms=(baseline,))
    asked = {name: technical(profile) for name, profile in profiles.items()}
    compressed = compress(config, shared, asked, step=step, host=host, folder=folder)
    exported = step(config.export, ExportInputs(checkpoint=compressed.forms[-1].model))
    return replace(
        shared,
        exported=exported,
        forms=compressed.forms,
        costs=compressed.costs,
        frontier=compressed.frontier,
        notes=compressed.notes,
    )


def make_candidates(
    config: Config, profile: TargetProfile, shared: Shared, *, step: Step, host: str, target: str
) -> Made:
    """Check, quantize and build for one target, or pack the kit with which its board builds.

    Args:
        config: Of the run.
        profile: Of the target.
        shared: What all targets share.
        step: Runs a stage, or knows its result.
        host: Fingerprint of this machine.
        target: As it was asked for, `orin@6.2`.

    Raises:
        UnsupportedError: The target cannot run the model.
        BudgetError: No INT8 form is within `quantize.drift_budget_pt`.
    """
    assert shared.exported is not None
    asked, profile = profile, technical(profile)
    onnx = Variant(
        form="export",
        precision="fp32",
        runtime="onnxruntime",
        model=shared.exported.onnx,
        parent=shared.forms[-1],
    )
    checked = step(Check(), CheckInputs(model=onnx.model, profile=profile), label=profile.name)
    refuse_unsupported(checked, profile)
    lowered = lower(config, profile, shared, onnx, step=step, host=host)
    variants = [*shared.forms, onnx, *lowered.variants]
    packed: Packed | None = None
    if profile.local:
        variants += [*_engines(variants, profile, step)]
    else:
        packed = _pack(config, asked, shared, variants, step=step, target=target)
    notes = (*warnings(checked, profile), *lowered.notes)
    return Made(
        variants=tuple(variants),
        notes=notes,
        quantized=lowered.quantized,
        search=lowered.search,
        packed=packed,
    )


def _engines(variants: Sequence[Variant], profile: TargetProfile, step: Step) -> Iterator[Variant]:
    sources = {variant.precision: variant for variant in variants if variant.runtime != "pytorch"}
    for precision in profile.precisions:
        source = sources[precision]
        built = step(
            Build(precision=precision),
            BuildInputs(model=source.model, profile=profile),
            label=f"{profile.runtime} {precision}",
        )
        yield Variant(
            form="build",
            precision=precision,
            runtime=profile.runtime,
            model=built.engine,
            parent=source,
            candidate=True,
        )


def _pack(
    config: Config,
    profile: TargetProfile,
    shared: Shared,
    variants: Sequence[Variant],
    *,
    step: Step,
    target: str,
) -> Packed:
    sources = {variant.precision: variant.model for variant in variants}
    inputs = PackInputs(
        models=tuple(sources[precision] for precision in profile.precisions),
        precisions=profile.precisions,
        index=shared.data.index,
        pictures=shared.pictures,
        profile=replace(
            technical(profile), power_modes=profile.power_modes
        ),  # a board is to be in its fastest
        agent=agent_digest(),
    )
    return step(Pack(target=target, work=config.work), inputs, label=f"kit for {target}")


def take_in(made: Made, profile: TargetProfile, receipt: Artifact, step: Step) -> OnBoard:
    """Take in what a board did with a kit.

    Args:
        made: What was made for the target, its kit included.
        profile: Of the target.
        receipt: Accepted.
        step: Runs a stage, or knows its result.

    Raises:
        ModelError: The receipt, or an engine in it, is not what it says.
    """
    assert made.packed is not None
    received = step(
        Receive(), ReceiveInputs(kit=made.packed.kit, receipt=receipt), label=f"receipt of {profile.name}"
    )
    sources = {variant.precision: variant for variant in made.variants}
    arrived = [one for one in received.candidates if one.engine is not None]
    engines = tuple(
        Variant(
            form="build",
            precision=one.precision,
            runtime=profile.runtime,
            model=one.engine,
            parent=sources[one.precision],
            candidate=True,
            detections=one.detections,
            measured=(received.measured, place),
        )
        for place, one in enumerate(arrived)
        if one.engine is not None
    )
    return OnBoard(variants=engines, received=received)
