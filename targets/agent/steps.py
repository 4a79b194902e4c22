"""The steps of a job, each run in a process of its own by `targets.agent.child`."""

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Dict, List, Sequence

from targets.agent.backend import build_engine, facts_of, free_device_bytes, is_simulated, open_infer
from targets.agent.child import Reports
from targets.agent.job import Job
from targets.agent.measure import measure
from targets.agent.needs import missing
from targets.agent.pictures import detect
from targets.board.identity import identify
from targets.engine import open_engine, write_manifest
from targets.errors import UsageError
from targets.folder import describe_file
from targets.kit import MODEL_NAME, Kit, KitModel, read_kit
from targets.model import load_model_spec
from targets.runtimes import find_runtime
from targets.startup import peak_mib


@dataclass(frozen=True)
class Place:
    """Where a step works.

    Attributes:
        kit_folder: The kit's.
        job: The job.
        root: Below which the board's `proc`, `sys` and `etc` are.
        state: The agent's own folder on this board.
    """

    kit_folder: Path
    job: Job
    root: Path
    state: Path


def carry_out(name: str, ids: Sequence[str], place: Place, reports: Reports) -> Any:
    """Carry out a step.

    Args:
        name: Of the step.
        ids: Models that it is about.
        place: Where.
        reports: Told how it goes on.

    Returns:
        The step's result, which JSON can hold.

    Raises:
        EdgeboundError: As the step.
    """
    kit = read_kit(place.kit_folder)
    models = [model for model in kit.models if model.id in ids]
    if name == "look":
        return _look(kit, place)
    if name == "build":
        return _build(kit, models[0], place, reports)
    if name == "start":
        return _start(kit, models[0], place)
    if name == "measure":
        return _measure(kit, models, place, reports)
    if name == "verify":
        return _verify(kit, models[0], place, reports)
    raise UsageError(f"There is no step '{name}'.", hint="Steps are for the agent itself.")


def _look(kit: Kit, place: Place) -> Dict[str, Any]:
    """See whether all is here that the kit needs, and what engines depend on."""
    lacking = missing(kit.profile, identify(place.root))
    if lacking:
        return {"missing": [asdict(one) for one in lacking]}
    return {
        "missing": [],
        "version": find_runtime(kit.profile.runtime).version(),
        "facts": facts_of(kit.profile),
        "simulated": is_simulated(kit.profile),
    }


def _build(kit: Kit, model: KitModel, place: Place, reports: Reports) -> Dict[str, Any]:
    """Build an engine in a folder that the agent gives its name once it is whole."""
    source = place.kit_folder / "models" / model.id
    out = place.job.folder / "build" / f".{model.id}.part"
    engine = out / "engine"
    facts = build_engine(
        source / MODEL_NAME,
        kit.profile,
        out,
        kit.work,
        cache=place.state / "timing-cache",
        progress=reports.progress,
    )
    replace(load_model_spec(source), parent_digest=model.digest).save(engine)
    write_manifest(
        engine,
        profile=kit.profile,
        precision=model.precision,
        runtime_version=find_runtime(kit.profile.runtime).version(),
        facts=facts_of(kit.profile),
    )
    return asdict(facts)


def _start(kit: Kit, model: KitModel, place: Place) -> Dict[str, Any]:
    """Load an engine and ask it once; this process did nothing before."""
    import numpy as np

    free = free_device_bytes(kit.profile)
    engine = place.job.folder / "build" / model.id / "engine"
    spec = load_model_spec(engine).input
    with open_infer(engine, kit.profile) as (infer, _):
        infer(np.zeros((1, 3, spec.height, spec.width), np.float32))
        ready_s = time.monotonic()
        taken = free - (free_device_bytes(kit.profile) or 0) if free is not None else 0
    return {"ready_s": ready_s, "memory_mib": max(peak_mib(), taken / (1 << 20))}


def _measure(kit: Kit, models: List[KitModel], place: Place, reports: Reports) -> Dict[str, Any]:
    engines = {model.id: place.job.folder / "build" / model.id / "engine" for model in models}
    found = measure(place.kit_folder, kit, engines, root=place.root, progress=reports.progress)
    return asdict(found)


def _verify(kit: Kit, model: KitModel, place: Place, reports: Reports) -> Dict[str, Any]:
    """Run an engine over all pictures."""
    engine = place.job.folder / "build" / model.id / "engine"
    open_engine(engine)
    spec = load_model_spec(engine)
    work = kit.work
    spec = replace(spec, conf=work.conf, iou=work.iou, max_det=max(work.max_det, spec.max_det))
    out = place.job.folder / "verify" / f"{model.id}.npz"
    out.parent.mkdir(exist_ok=True)
    fresh = out.with_name(f".{model.id}.part.npz")
    pictures = [place.kit_folder / "pictures" / name for name in kit.pictures]
    with open_infer(engine, kit.profile) as (infer, _):
        nonfinite = detect(infer, spec, pictures, out=fresh, progress=reports.progress)
    fresh.replace(out)  # never written over: the receipt of an earlier run may share the file
    return {"nonfinite": nonfinite, "sha256": describe_file(out).sha256}
