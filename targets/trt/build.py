"""Build: an ONNX file, its precision in the graph, becomes a plan (design decision D1)."""

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, List, Optional, Tuple

from targets.errors import UnsupportedError
from targets.kit import BoardWork
from targets.profile import TargetProfile
from targets.receipt import BuildFacts
from targets.trt.command import Call, trtexec
from targets.trt.explain import building_failed
from targets.trt.inspect import read_layers
from targets.trt.library import Features, facts, features, load
from targets.trt.log import Log, make_logger, needing_gpu
from targets.trt.monitor import Progress, Steps, set_monitor
from targets.trt.network import Source, int8_layers, open_inputs, parse, read_model
from targets.trt.profiles import OpenInputs, add_profile
from targets.trt.run import open_engine
from targets.trt.timings import quick_p50_ms

PLAN_NAME = "engine.plan"
_SHOWN = 5  # of the builder's complaints in the receipt; all are in its log


@dataclass(frozen=True)
class _Job:
    """What is built, and with what.

    Attributes:
        cache: File of the timing cache, or None for none.
    """

    source: Source
    profile: TargetProfile
    work: BoardWork
    has: Features
    cache: Optional[Path]
    log: Log
    progress: Progress


@dataclass(frozen=True)
class _Built:
    """One try."""

    plan: Path
    seconds: float
    wanted: Tuple[str, ...]
    inputs: OpenInputs
    timing: bytes


def build(  # noqa: PLR0913
    model: Path,
    profile: TargetProfile,
    out: Path,
    work: BoardWork,
    *,
    cache: Optional[Path],
    logs: Optional[Path] = None,
    progress: Progress,
) -> BuildFacts:
    """Build `out/engine.plan`: as many tries as asked, of which the fastest is kept.

    Args:
        model: One file, its weights in it.
        profile: Of the target.
        out: Folder of the engine.
        work: How it is built.
        cache: Folder of timing caches, or None for none.
        logs: Folder for `build.log` and `layers.json`, or None.
        progress: Told how it goes on.

    Raises:
        ModelError: The model is no ONNX file, or not in one file.
        UnsupportedError: TensorRT cannot run the model here.
        EvidenceError: TensorRT or a GPU is missing.
        EdgeboundError: The builder failed, as when memory ran out.
    """
    trt, log = load(), Log()
    version = str(trt.__version__)
    job = _Job(
        read_model(model), profile, work, features(), _cache_file(cache, version, profile), log, progress
    )
    try:
        tries = [_try(trt, job, out, place) for place in range(work.tries)]
    finally:
        if logs is not None:
            (logs / "build.log").write_text(log.text, encoding="utf-8")
    best, p50s = _choose(tries, out / PLAN_NAME)
    _save_cache(job.cache, best.timing)
    told = inspect(trt, out / PLAN_NAME)
    if logs is not None:
        (logs / "layers.json").write_text(told, encoding="utf-8")
    layers = read_layers(told, wanted=best.wanted)
    return BuildFacts(
        seconds=tuple(one.seconds for one in tries),
        p50_ms=p50s,
        command=trtexec(_call(job, best, version)),
        layers=layers.counts,
        fell_out=layers.fell_out,
        reformats=layers.reformats,
        warnings=tuple([*log.errors, *log.warnings][:_SHOWN]),  # errors too, where it went on all the same
    )


def inspect(trt: Any, plan: Path) -> str:
    """Give what the engine inspector says of a plan, as JSON.

    Raises:
        ModelError: The plan does not load.
    """
    with open_engine(plan) as loaded:
        inspector = loaded.engine.create_engine_inspector()
        return str(inspector.get_engine_information(trt.LayerInformationFormat.JSON))


def _call(job: _Job, best: _Built, version: str) -> Call:
    return Call(
        model=job.source.path.name,
        plan=PLAN_NAME,
        cache=job.cache.name if job.cache else "",
        version=version,
        has=job.has,
        work=job.work,
        inputs=best.inputs,
        seen=job.source.seen,
    )


def _choose(tries: List[_Built], plan: Path) -> "Tuple[_Built, Tuple[float, ...]]":
    """Give the fastest try and the times of all, and leave its plan alone; one try needs no time."""
    p50s = tuple(quick_p50_ms(one.plan) for one in tries) if len(tries) > 1 else ()
    best = tries[p50s.index(min(p50s))] if p50s else tries[0]
    best.plan.replace(plan)
    for one in tries:
        if one is not best:
            one.plan.unlink()
    return best, p50s


def _try(trt: Any, job: _Job, out: Path, place: int) -> _Built:
    words = f"building, try {place + 1} of {job.work.tries}"
    job.progress(place, job.work.tries, words)
    logger = make_logger(trt, job.log)
    trt.init_libnvinfer_plugins(logger, "")
    begin = time.perf_counter()
    with needing_gpu(job.log):
        builder = trt.Builder(logger)
    _check_dla(job, builder.num_DLA_cores)
    parsed = parse(trt, builder, job.source, features=job.has, logger=logger, log=job.log)
    network = parsed.network
    inputs = open_inputs(network)
    config = builder.create_builder_config()
    _configure(trt, config, job)
    add_profile(builder, config, inputs)
    set_monitor(trt, config, job.has, Steps(job.progress, words))
    timing = _load_cache(config, job)
    made = builder.build_serialized_network(network, config)
    if made is None:
        raise building_failed(job.log)
    plan = out / f".{place}.plan"
    with plan.open("wb") as file:
        file.write(made)  # straight from the builder's memory: a board has none for two
    return _Built(
        plan=plan,
        seconds=time.perf_counter() - begin,
        wanted=tuple(int8_layers(trt, network)),
        inputs=inputs,
        timing=b"" if timing is None else bytes(timing.serialize()),
    )


def _configure(trt: Any, config: Any, job: _Job) -> None:
    """Set what was asked for. TF32 stays on, as it is by default: FP32 is what ships, not a reference."""
    work, seen = job.work, job.source.seen
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # for the inspector
    if work.workspace_mib:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, work.workspace_mib << 20)
    if work.optimization_level >= 0 and job.has.optimization_level:
        config.builder_optimization_level = work.optimization_level
    if not job.has.strongly_typed:
        # They let go what the graph asks for; what has no INT8 kernel falls to FP16, not to FP32.
        if seen.fp16 or seen.int8:
            config.set_flag(trt.BuilderFlag.FP16)
        if seen.int8:
            config.set_flag(trt.BuilderFlag.INT8)
    if work.dla_core >= 0:
        config.default_device_type = trt.DeviceType.DLA
        config.DLA_core = work.dla_core
        config.set_flag(trt.BuilderFlag.GPU_FALLBACK)


def _check_dla(job: _Job, found: int) -> None:
    """See that an accelerator that is asked for can be had, and can run the model.

    Raises:
        UnsupportedError: It cannot.
    """
    work, seen = job.work, job.source.seen
    if work.dla_core < 0:
        return
    cores = min(job.profile.dla, found) if job.has.dla else 0
    why = ""
    if work.dla_core >= cores:
        why = f"{job.profile.name} with this TensorRT has {cores}"
    elif seen.int8 and not job.has.dla_qdq:
        why = "before TensorRT 11.4.1 it takes no Q/DQ, and INT8 only by a calibration on the board"
    elif not (seen.int8 or seen.fp16):
        why = "it computes in FP16 and INT8, and this graph is FP32"
    if why:
        raise UnsupportedError(
            f"DLA core {work.dla_core} is asked for; {why}.",
            hint="Set build.dla_core to -1; `pipeline targets NAME` says which JetPack releases have DLA.",
        )


def _cache_file(folder: Optional[Path], version: str, profile: TargetProfile) -> Optional[Path]:
    """Give the timing cache for this GPU, its SM, TensorRT's full version and the JetPack release."""
    if folder is None:
        return None
    here = facts()
    name = "-".join((here["gpu"], here["sm"], version, profile.jetpack or "none"))
    return folder / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.cache"


def _load_cache(config: Any, job: _Job) -> Any:
    """Give the timing cache that the builder uses; one that does not fit is begun anew.

    Of several tries each begins anew, or all would choose what the first one measured.
    """
    if job.cache is None:
        return None
    kept = job.cache.read_bytes() if job.cache.is_file() and job.work.tries == 1 else b""
    for content in (kept, b""):
        timing = config.create_timing_cache(content)
        if timing is not None and config.set_timing_cache(timing, ignore_mismatch=False):
            return timing
    return None


def _save_cache(path: Optional[Path], timing: bytes) -> None:
    if path is None or not timing:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_bytes(timing)
    fresh.replace(path)
