"""Timings of an engine: the modes of the latency protocol that are TensorRT's own.

What trtexec calls GPU Compute Time is `device` here; its Latency, copies included, is `call`.
"""

import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Iterator, List, Sequence, Tuple

from targets.kit import BoardWork
from targets.latency import Timing, describe, is_steady, percentile
from targets.trt.run import Loaded, Session, open_engine, open_session

if TYPE_CHECKING:
    from targets.runtime import Images

_QUICK_RUNS = 30
_PATIENCE = 20  # times the warm-up asked for, until the calls count as never steady
_BATCHES = (1, 8)  # where the engine's batch is open

Progress = Callable[[float, float, str], None]


def time_engine(
    plan: Path, images: "Sequence[Images]", work: BoardWork, *, progress: Progress
) -> Tuple[Timing, ...]:
    """Time a plan in every mode but the one in which it ships, which is timed beside its rivals.

    Args:
        plan: The file.
        images: What it is given.
        work: How long to warm up and to measure each mode.
        progress: Told how it goes on.

    Raises:
        ModelError: The plan does not load here.
        EvidenceError: CUDA failed.
    """
    with open_engine(plan.read_bytes()) as loaded:
        return tuple(_modes(loaded, images, work, progress))


def quick_p50_ms(plan: bytes) -> float:
    """Give the median device time of a plan, on whatever its memory holds, to choose between tries."""
    with open_engine(plan) as loaded, open_session(loaded) as session:
        samples = [_device_ms(session, graph=session.graph) for _ in range(_QUICK_RUNS)]
    return percentile(samples[_QUICK_RUNS // 3 :], 0.5)


def _modes(
    loaded: Loaded, images: "Sequence[Images]", work: BoardWork, progress: Progress
) -> Iterator[Timing]:
    with open_session(loaded) as session:
        session.put(images[0])
        graphs = (True, False) if session.graph else (False,)
        total = 2 * len(graphs) + 1
        for place, graph in enumerate(graphs):
            progress(2 * place, total, f"device time, {_words(graph=graph)}")
            yield _measure(
                partial(_device_ms, session, graph=graph), "device", work, graph=graph, copies=False
            )
        if session.graph:
            progress(len(graphs), total, "calls, no graph")
            yield _measure(partial(_call_ms, session, graph=False), "call", work, graph=False, copies=True)
    progress(total - 1, total, f"{work.streams} streams")
    yield _throughput(loaded, images, work)
    progress(total, total, "timed")


def _words(*, graph: bool) -> str:
    return "CUDA graph" if graph else "no graph"


def _measure(call: Callable[[], float], mode: Any, work: BoardWork, *, graph: bool, copies: bool) -> Timing:
    """Warm up until steady, then time as many calls as asked, or as the seconds allow."""
    steady = _settle(call, work)
    samples: List[float] = []
    end = time.perf_counter() + work.seconds
    while len(samples) < work.runs and (time.perf_counter() < end or len(samples) < 20):
        samples.append(call())
    return Timing(
        mode=mode,
        copies=copies,
        graph=graph,
        streams=1,
        batch=1,
        img_s=1e3 * len(samples) / sum(samples),
        latency=describe(samples),
        steady=steady,
    )


def _settle(call: Callable[[], float], work: BoardWork) -> bool:
    times: List[float] = []
    begin = time.perf_counter()
    while True:
        times.append(call())
        spent_s = time.perf_counter() - begin
        if len(times) < max(work.warmup_runs, 20) or spent_s < work.warmup_s:
            continue
        if is_steady(times):
            return True
        if spent_s > _PATIENCE * work.warmup_s and len(times) > _PATIENCE * work.warmup_runs:
            return False


def _device_ms(session: Session, *, graph: bool) -> float:
    with session.timer() as taken:
        session.enqueue(copies=False, graph=graph)
    return taken[0]


def _call_ms(session: Session, *, graph: bool) -> float:
    begin = time.perf_counter_ns()
    session.enqueue(copies=True, graph=graph)
    session.wait()
    return (time.perf_counter_ns() - begin) / 1e6


def _throughput(loaded: Loaded, images: "Sequence[Images]", work: BoardWork) -> Timing:
    """Keep several streams busy: each gets its next call as soon as its last is done."""
    with ExitStack() as stack:
        sessions = [stack.enter_context(open_session(loaded)) for _ in range(work.streams)]
        for session in sessions:
            session.put(images[0])
        for _ in range(work.warmup_runs):
            for session in sessions:
                session.enqueue(copies=True, graph=session.graph)
            for session in sessions:
                session.wait()
        samples, seconds = _keep_busy(sessions, work)
        return Timing(
            mode="throughput",
            copies=True,
            graph=all(session.graph for session in sessions),
            streams=work.streams,
            batch=1,
            img_s=len(samples) / seconds,
            latency=describe(samples),
        )


def _keep_busy(sessions: Sequence[Session], work: BoardWork) -> Tuple[List[float], float]:
    """Give the time of each call from queueing to its end, and the seconds in all."""
    samples: List[float] = []
    begin = time.perf_counter_ns()
    queued = []
    for session in sessions:
        queued.append(time.perf_counter_ns())
        session.enqueue(copies=True, graph=session.graph)
    end = begin + int(work.seconds * 1e9)
    place = 0
    while len(samples) < work.runs and (time.perf_counter_ns() < end or len(samples) < 20):
        session = sessions[place]
        session.wait()
        now = time.perf_counter_ns()
        samples.append((now - queued[place]) / 1e6)
        queued[place] = time.perf_counter_ns()
        session.enqueue(copies=True, graph=session.graph)
        place = (place + 1) % len(sessions)
    seconds = (time.perf_counter_ns() - begin) / 1e9
    for session in sessions:
        session.wait()
    return samples, seconds
