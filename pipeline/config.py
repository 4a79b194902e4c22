"""Configuration: `pipeline.yaml`, one section a field, most sections a stage's own settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen

from pipeline.limits import Gate, Limits
from pipeline.profiles import find_profile
from pipeline.resources import ExecutorSection
from pipeline.yaml_file import Source, load_source, override, parse
from stages.data import Data
from stages.data.render import Render
from stages.export import Export
from stages.prune import Prune
from stages.quantize import Quantize
from stages.quantize.calibration import Calibrate
from stages.quantize.half import Halve
from stages.train import Train, check_overrides
from targets.errors import ConfigError, UsageError
from targets.kit import BoardWork
from targets.profile import Precision

FILE_NAME = "pipeline.yaml"
_DEMO = Path(__file__).parent / "demo.yaml"


@dataclass(frozen=True, kw_only=True)
class ModelSection:
    """The model to begin with.

    Attributes:
        weights: A checkpoint `.pt`, a model YAML (trained from scratch), or the name of one.
        modules: Python packages to import first, for blocks of your own.
    """

    weights: Annotated[str, MinLen(1)]
    modules: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class QatSection:
    """Quantization-aware training, by Ultralytics and NVIDIA's ModelOpt.

    Attributes:
        steps: Optimizer steps.
        lr0: Learning rate of AdamW at the start, whatever `train.optimizer` is: the weights are good already.
        distill: The model as it was teaches.
    """

    steps: Annotated[int, Ge(1)] = 500
    lr0: Annotated[float, Gt(0)] = 2e-5
    distill: bool = False


@dataclass(frozen=True, kw_only=True)
class QuantizeSection(Quantize):
    """INT8: how it is made, and how much it may lose.

    Attributes:
        calibration: Training pictures that calibration looks at; 0: all that were picked.
        equalize: Equalize the channels of neighbouring convolutions first, where ReLU, LeakyReLU or nothing
            stands between them; SiLU lets no factor through.
        drift_budget_pt: Leave the cheapest set of layers in higher precision with which INT8 loses no more
            mAP50-95 than this, in points, against the exported model; without it all that can be is INT8.
        qat: Train the model for INT8 where all of that loses too much: more than `drift_budget_pt` in every
            form, or without a budget more than `gate.int8_drift_pt`. Needs the extra `qat`.
    """

    calibration: Annotated[int, Ge(0)] = 0
    equalize: bool = False
    drift_budget_pt: Annotated[float, Ge(0)] | None = None
    qat: QatSection | None = None

    @property
    def stage(self) -> Quantize:
        """The settings of one quantization."""
        return Quantize(**{one.name: getattr(self, one.name) for one in fields(Quantize)})

    @property
    def calibrate(self) -> Calibrate:
        """The settings of calibration."""
        return Calibrate(pictures=self.calibration)


@dataclass(frozen=True, kw_only=True)
class PruneSection(Prune):
    """Pruning: how much goes, and how the rest is tuned. One goal: a ratio, GMAC, latency, drift, or ratios.

    Attributes:
        ratios: Try each of these, and go on with the largest whose drift is within the limit: `max_drift_pt`,
            or else `gate.prune_drift_pt`. The report has the frontier.
        max_drift_pt: Find the largest ratio that loses no more than this against the baseline, in points.
        target_latency_ms: Find the smallest ratio with which a picture takes no more than this on every
            target of the run: p50 of an engine that is built and measured here, or what the cost model says
            of a target that is not, which is the least it can take.
        distill: The baseline teaches while the cut model is tuned.
        steps: Optimizer steps of fine-tuning, over all iterations; with few pictures epochs are few steps.
        lr_factor: Learning rate of fine-tuning, as a part of `train.lr0`; the optimizer `auto` takes its own.
    """

    ratios: tuple[Annotated[float, Gt(0), Lt(1)], ...] = ()
    max_drift_pt: Annotated[float, Ge(0)] | None = None
    target_latency_ms: Annotated[float, Gt(0)] | None = None
    distill: bool = True
    steps: Annotated[int, Ge(1)] = 1000
    lr_factor: Annotated[float, Gt(0)] = 0.5

    @property
    def stage(self) -> Prune:
        """The settings of one cut; iterations are the plan's, which tunes between them."""
        settings = {one.name: getattr(self, one.name) for one in fields(Prune)}
        return Prune(**{**settings, "iterations": 1})


@dataclass(frozen=True, kw_only=True)
class DistillSection:
    """A student of its own, taught by the baseline.

    Attributes:
        student: A checkpoint `.pt`, a model YAML (trained from scratch), or the name of one.
    """

    student: Annotated[str, MinLen(1)]


@dataclass(frozen=True, kw_only=True)
class BuildSection:
    """What to ship.

    Attributes:
        precision: `auto` ships the fastest candidate that passes; a precision ships that or nothing.
        tries: Builds of each TensorRT engine on its board; the fastest is kept, the spread is reported.
        optimization_level: Of the TensorRT builder, 0 to 5; -1 leaves its own default.
        workspace_mib: Of the TensorRT builder; 0 leaves its own default.
        dla_core: Deep learning accelerator to build for, where the target has one, with fallback to the GPU;
            -1: the GPU alone.
    """

    precision: Literal["auto"] | Precision = "auto"
    tries: Annotated[int, Ge(1), Le(20)] = 1
    optimization_level: Annotated[int, Ge(-1), Le(5)] = -1
    workspace_mib: Annotated[int, Ge(0)] = 0
    dla_core: Annotated[int, Ge(-1), Le(1)] = -1


@dataclass(frozen=True, kw_only=True)
class VerifySection:
    """How forms are verified.

    Attributes:
        runs: Timed inferences of each engine that runs on this machine; under 400, the upper end of p99 is
            not known.
        board_runs: Timed inferences of each engine on its board, in each mode.
        board_seconds: … which end after so many seconds.
        board_warmup_s: Untimed inference before, in seconds; up to three times as long until it is steady.
        streams: Inferences under way at once when a board measures throughput.
        resamples: Of the paired bootstrap.
        max_age_h: A latency older than this is measured again.
    """

    runs: Annotated[int, Ge(20)] = 400
    board_runs: Annotated[int, Ge(20)] = 1000
    board_seconds: Annotated[float, Gt(0)] = 10.0
    board_warmup_s: Annotated[float, Gt(0)] = 1.0
    streams: Annotated[int, Ge(1), Le(16)] = 2
    resamples: Annotated[int, Ge(100)] = 1000
    max_age_h: Annotated[float, Gt(0)] = 24.0


@dataclass(frozen=True, kw_only=True)
class Config:
    """One field a section."""

    model: ModelSection
    data: Data
    train: Train = field(default_factory=Train)
    distill: DistillSection | None = None
    prune: PruneSection | None = None
    export: Export = field(default_factory=Export)
    fp16: Halve = field(default_factory=Halve)
    quantize: QuantizeSection = field(default_factory=QuantizeSection)
    build: BuildSection = field(default_factory=BuildSection)
    verify: VerifySection = field(default_factory=VerifySection)
    gate: Gate = field(default_factory=Gate)
    executor: ExecutorSection = field(default_factory=ExecutorSection)
    demo: Render | None = None

    @property
    def work(self) -> BoardWork:
        """What a board is asked to do."""
        return BoardWork(
            tries=self.build.tries,
            optimization_level=self.build.optimization_level,
            workspace_mib=self.build.workspace_mib,
            dla_core=self.build.dla_core,
            runs=self.verify.board_runs,
            seconds=self.verify.board_seconds,
            warmup_runs=min(BoardWork.warmup_runs, self.verify.board_runs),
            warmup_s=self.verify.board_warmup_s,
            streams=self.verify.streams,
        )


def load_config(file: Path | None, settings: Sequence[str], *, demo: bool, folder: Path) -> Config:
    """Read the configuration of a run.

    Args:
        file: As --config named it.
        settings: `section.key=value`, applied last.
        demo: Take the demo's configuration.
        folder: Where `pipeline.yaml` is looked for.

    Raises:
        UsageError: There is no configuration and no demo was asked for, or both.
        ConfigError: It is wrong; with all problems, files and lines.
    """
    source = override(_source(file, demo=demo, folder=folder), settings)
    config = parse(Config, source, hint=_HINT)
    check_overrides(config.train.overrides)
    _check_goal(config.prune)
    check_targets(config.gate, source)
    taken = [
        f"{source.place(path)}: {'.'.join(path)} follows {other}; set that"
        for path, other in _FOLLOWS.items()
        if path in source.places
    ]
    if taken:
        raise ConfigError(taken, hint=_HINT)
    return config


def check_targets(gate: Gate, source: Source) -> None:
    """See that limits for one target name a target and are limits.

    Raises:
        UsageError: There is no such target.
        ConfigError: A key is no limit, or its value is none; with file and line.
    """
    for name, limits in gate.targets.items():
        find_profile(name)
        parse(Limits, source.within(("gate", "targets", name), limits), hint=_HINT)


def _check_goal(prune: PruneSection | None) -> None:
    if prune is None:
        return
    given = {
        "ratio": prune.ratio,
        "target_gmac": prune.target_gmac,
        "target_latency_ms": prune.target_latency_ms,
        "ratios": prune.ratios or None,
        "max_drift_pt": prune.max_drift_pt,
    }
    goals = [name for name, value in given.items() if value is not None]
    if len(goals) != 1 and goals != ["ratios", "max_drift_pt"]:
        raise UsageError(
            f"`prune` needs one goal, and has {' and '.join(goals) or 'none'}.",
            hint=f"Set one of {', '.join(f'prune.{name}' for name in given)}; ratios take max_drift_pt too.",
        )


_FOLLOWS = {
    ("train", "weights"): "model.weights",
    ("data", "imgsz"): "train.imgsz",
    ("train", "int8"): "quantize.qat",
}  # the plan fills them
_HINT = "`pipeline init DATA` writes a commented file; the README lists the sections."


def _source(file: Path | None, *, demo: bool, folder: Path) -> Source:
    if demo and file is not None:
        raise UsageError("--demo and --config exclude each other.", hint="Give one of them.")
    if demo:
        return load_source(_DEMO)
    if file is None and not (folder / FILE_NAME).exists():
        raise UsageError(
            f"There is no {FILE_NAME} in {folder.resolve()}.",
            hint="`pipeline init DATA` writes one; `pipeline run --demo` tries it with rendered data.",
        )
    return load_source(file or folder / FILE_NAME)


def schema() -> dict[str, object]:
    """Give the JSON Schema of `pipeline.yaml`, for editors; it knows no other keys, as `parse` does not."""
    from pydantic import TypeAdapter

    found = TypeAdapter(Config).json_schema()
    for one in (found, *found["$defs"].values()):
        if "properties" in one:
            one["additionalProperties"] = False
    return found


if __name__ == "__main__":
    import json

    print(json.dumps(schema(), indent=1))  # noqa: T201
