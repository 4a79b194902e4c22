"""Timings of an engine: the modes of the latency protocol that are TensorRT's own.

What trtexec calls GPU Compute Time is `device` here; its Latency, copies included, is nearest to `call`,
which also has the host's own copies, in and out of page-locked memory.
"""

import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Iterator, List, Sequence, Tuple

from targets.kit import BoardWork
from targets.latency import Timing, describe, percentile, settle
from targets.trt.run import Loaded, Session, open_engine, open_session

if TYPE_CHECKING:
    from targets.runtime import Images

_QUICK_RUNS = 30  # to choose between tries, a third of them to warm up
_LEAST = 20  # samples of a mode, however long they take

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
    with open_engine(plan) as loaded:
        return tuple(_modes(loaded, images, work, progress))


def quick_p50_ms(plan: Path) -> float:
    """Give the median device time of a plan, on whatever its memory holds, to choose between tries."""
    with open_engine(plan) as loaded, open_session(loaded) as session:
        samples = [_device_ms(session, graph=session.graph) for _ in range(_QUICK_RUNS)]
    return percentile(samples[_QUICK_RUNS // 3 :], 0.5)


def _modes(
    loaded: Loaded, images: "Sequence[Images]", work: BoardWork, progress: Progress
) -> Iterator[Timing]:
    batches = (1, loaded.most) if loaded.most > 1 else (1,)
    with open_session(loaded) as session:
        session.put(images[0])
        graphs = (True, False) if session.graph else (False,)
        total = 2 * len(graphs) - 1 + len(batches)
        for place, graph in enumerate(graphs):
            progress(place, total, f"device time, {'CUDA graph' if graph else 'no graph'}")
            call = partial(_device_ms, session, graph=graph)
            yield _measure(call, "device", work, graph=graph, copies=False)
        if session.graph:
            progress(len(graphs), total, "calls, no graph")
            call = partial(_call_ms, session, images[0])
            yield _measure(call, "call", work, graph=False, copies=True)
    for place, batch in enumerate(batches):
        progress(2 * len(graphs) - 1 + place, total, f"{work.streams} streams, batches of {batch}")
        yield _throughput(loaded, images, work, batch=batch)
    progress(total, total, "timed")


def _measure(call: Callable[[], float], mode: Any, work: BoardWork, *, graph: bool, copies: bool) -> Timing:
    """Warm up until steady, then time as many calls as asked, or as the seconds allow."""
    steady = settle(call, work)
    samples: List[float] = []
    end = time.perf_counter() + work.seconds
    while len(samples) < work.runs and (time.perf_counter() < end or len(samples) < _LEAST):
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


def _device_ms(session: Session, *, graph: bool) -> float:
    with session.timer() as taken:
        session.enqueue(copies=False, graph=graph)
    return taken[0]


def _call_ms(session: Session, images: "Images") -> float:
    """Time what the engine does as it ships, but for the graph."""
    begin = time.perf_counter_ns()
    session.call(images, graph=False)
    return (time.perf_counter_ns() - begin) / 1e6


def _throughput(loaded: Loaded, images: "Sequence[Images]", work: BoardWork, *, batch: int) -> Timing:
    """Keep several streams busy: each gets its next call as soon as its last is done."""
    import numpy as np

    with ExitStack() as stack:
        sessions = [stack.enter_context(open_session(loaded, batch=batch)) for _ in range(work.streams)]
        for session in sessions:
            session.put(np.concatenate([images[place % len(images)] for place in range(batch)]))
        steady = settle(partial(_round_ms, sessions), work)
        samples, seconds = _keep_busy(sessions, work)
        return Timing(
            mode="throughput",
            copies=True,
            graph=all(session.graph for session in sessions),
            streams=work.streams,
            batch=batch,
            img_s=batch * len(samples) / seconds,
            latency=describe(samples),
            steady=steady,
        )


def _round_ms(sessions: Sequence[Session]) -> float:
    begin = time.perf_counter_ns()
    for session in sessions:
        session.enqueue(copies=True, graph=session.graph)
    for session in sessions:
        session.wait()
    return (time.perf_counter_ns() - begin) / 1e6


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
    while len(samples) < work.runs and (time.perf_counter_ns() < end or len(samples) < _LEAST):
        session = sessions[place]
        session.wait()
        now = time.perf_counter_ns()
        samples.append((now - queued[place]) / 1e6)
        queued[place] = now
        session.enqueue(copies=True, graph=session.graph)
        place = (place + 1) % len(sessions)
    seconds = (time.perf_counter_ns() - begin) / 1e9
    for session in sessions:
        session.wait()
    return samples, seconds
