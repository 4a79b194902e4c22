"""Build: an ONNX file, its precision in the graph, becomes a plan (design decision D1)."""

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, List, Optional, Tuple

from targets.errors import UnsupportedError
from targets.kit import BoardWork
from targets.profile import TargetProfile
from targets.receipt import BuildFacts
from targets.trt.command import trtexec
from targets.trt.explain import building_failed
from targets.trt.inspect import read_layers
from targets.trt.library import Features, facts, features, load
from targets.trt.log import Log, make_logger
from targets.trt.network import Precisions, int8_layers, parse, precisions_of
from targets.trt.profiles import add_profile
from targets.trt.timings import quick_p50_ms

PLAN_NAME = "engine.plan"
_SHOWN = 5  # warnings of the builder in the receipt; all are in its log

Progress = Callable[[float, float, str], None]


@dataclass(frozen=True)
class _Job:
    """What is built, and with what."""

    trt: Any
    model: Path
    work: BoardWork
    has: Features
    cache: Optional[Path]


@dataclass(frozen=True)
class _Built:
    """One try."""

    plan: bytes
    seconds: float
    precisions: Precisions
    wanted: Tuple[str, ...]


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
        UnsupportedError: TensorRT cannot run the model here.
        EvidenceError: TensorRT or a GPU is missing.
        EdgeboundError: The builder failed, as when memory ran out.
    """
    trt, has = load(), features()
    _check_dla(work, has, profile)
    log = Log()
    job = _Job(trt, model, work, has, _cache_file(cache, str(trt.__version__), profile))
    try:
        tries = _try_all(job, log, progress)
    finally:
        if logs is not None:
            (logs / "build.log").write_text(log.text, encoding="utf-8")
    p50s = tuple(quick_p50_ms(one.plan) for one in tries) if len(tries) > 1 else ()
    best = tries[p50s.index(min(p50s))] if p50s else tries[0]
    (out / PLAN_NAME).write_bytes(best.plan)
    told = inspect(trt, best.plan)
    if logs is not None:
        (logs / "layers.json").write_text(told, encoding="utf-8")
    layers = read_layers(told, wanted=best.wanted)
    return BuildFacts(
        seconds=tuple(one.seconds for one in tries),
        p50_ms=p50s,
        command=trtexec(
            model,
            out / PLAN_NAME,
            work,
            best.precisions,
            version=str(trt.__version__),
            strongly_typed=has.strongly_typed,
        ),
        layers=layers.counts,
        fell_out=layers.fell_out,
        reformats=layers.reformats,
        warnings=tuple(log.warnings[:_SHOWN]),
    )


def inspect(trt: Any, plan: bytes) -> str:
    """Give what the engine inspector says of a plan, as JSON."""
    logger = make_logger(trt, Log())
    engine = trt.Runtime(logger).deserialize_cuda_engine(plan)
    if engine is None:
        return "{}"
    return str(engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON))


def _try_all(job: _Job, log: Log, progress: Progress) -> List[_Built]:
    tries = []
    for place in range(job.work.tries):
        progress(place, job.work.tries, f"building, try {place + 1} of {job.work.tries}")
        tries.append(_try(job, log))
    return tries


def _try(job: _Job, log: Log) -> _Built:
    trt = job.trt
    logger = make_logger(trt, log)
    trt.init_libnvinfer_plugins(logger, "")
    begin = time.perf_counter()
    builder = trt.Builder(logger)
    network = parse(trt, builder, job.model, features=job.has, logger=logger, log=log)
    precisions = precisions_of(trt, network)
    config = _configure(job, builder, network, precisions)
    timing = _load_cache(job, config)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise building_failed(log)
    seconds = time.perf_counter() - begin
    _save_cache(job.cache, timing)
    return _Built(bytes(plan), seconds, precisions, tuple(int8_layers(trt, network)))


def _configure(job: _Job, builder: Any, network: Any, precisions: Precisions) -> Any:
    trt, work = job.trt, job.work
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # for the inspector
    if work.workspace_mib:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, work.workspace_mib << 20)
    if work.optimization_level >= 0 and job.has.optimization_level:
        config.builder_optimization_level = work.optimization_level
    if not job.has.strongly_typed:
        # They let go what the graph asks for; what has no INT8 kernel falls to FP16, not to FP32.
        if precisions.fp16 or precisions.int8:
            config.set_flag(trt.BuilderFlag.FP16)
        if precisions.int8:
            config.set_flag(trt.BuilderFlag.INT8)
    if work.dla_core >= 0:
        config.default_device_type = trt.DeviceType.DLA
        config.DLA_core = work.dla_core
        config.set_flag(trt.BuilderFlag.GPU_FALLBACK)
    add_profile(builder, config, network)
    return config


def _check_dla(work: BoardWork, has: Features, profile: TargetProfile) -> None:
    """See that an accelerator that is asked for can be had.

    Raises:
        UnsupportedError: The board or this TensorRT has none.
    """
    if work.dla_core < 0:
        return
    if not has.dla or work.dla_core >= profile.dla:
        cores = profile.dla if has.dla else 0
        raise UnsupportedError(
            f"DLA core {work.dla_core} is asked for; {profile.name} with this TensorRT has {cores}.",
            hint="Set build.dla_core to -1; `pipeline targets NAME` says which JetPack releases have DLA.",
        )


def _cache_file(folder: Optional[Path], version: str, profile: TargetProfile) -> Optional[Path]:
    """Give the timing cache for this GPU, its SM, TensorRT's full version and the JetPack release."""
    if folder is None:
        return None
    here = facts()
    name = "-".join((here["gpu"], here["sm"], version, profile.jetpack or "none"))
    return folder / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.cache"


def _load_cache(job: _Job, config: Any) -> Any:
    """Give the timing cache that the builder uses; one that does not fit is begun anew."""
    if job.cache is None:
        return None
    kept = job.cache.read_bytes() if job.cache.is_file() else b""
    for content in (kept, b""):
        timing = config.create_timing_cache(content)
        if timing is not None and config.set_timing_cache(timing, ignore_mismatch=False):
            return timing
    return None


def _save_cache(path: Optional[Path], timing: Any) -> None:
    if path is None or timing is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_bytes(bytes(timing.serialize()))
    fresh.replace(path)
