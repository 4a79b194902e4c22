"""Latency of engines: measured side by side, described by percentiles."""

import itertools
import math
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, List, Literal, Sequence, Tuple

if TYPE_CHECKING:
    from targets.kit import BoardWork
    from targets.runtime import Images, Infer

_STEADY = 0.05  # two windows of calls whose medians are this near are the same
_WINDOW = 10  # calls
_PATIENCE = 3  # times as long as it must, a warm-up goes on at most, until the calls take a steady time


@dataclass(frozen=True)
class Latency:
    """Time of one call, copies in and out included, in milliseconds.

    Attributes:
        p50: Median.
        p90: 90th percentile.
        p99: 99th percentile.
        mean: Average.
        cov: Coefficient of variation: standard deviation by mean. trtexec warns above 0.025.
        n: Calls.
        samples: Each call, in order.
    """

    p50: float
    p90: float
    p99: float
    mean: float
    cov: float
    n: int
    samples: Tuple[float, ...]


@dataclass(frozen=True)
class Timing:
    """Latency of an engine driven in one way.

    Attributes:
        mode: `call`: one call after another, on the host's clock. `device`: the GPU's own time by events.
            `throughput`: several streams at once, each call on the host's clock.
        copies: Copies in and out are in it.
        graph: A CUDA graph was launched.
        streams: Calls under way at once.
        batch: Pictures in a call.
        img_s: Pictures a second over the whole measurement.
        latency: Of one call.
        steady: The calls took a steady time before they were timed.
    """

    mode: Literal["call", "device", "throughput"]
    copies: bool
    graph: bool
    streams: int
    batch: int
    img_s: float
    latency: Latency
    steady: bool = True


def percentile(samples: Sequence[float], fraction: float) -> float:
    """Give the sample that `fraction` of all samples do not exceed.

    Always a latency that really occurred, as in trtexec: sorted[n - 1 - int((1 - fraction) * n)].

    Args:
        samples: At least one, in any order.
        fraction: 0 to 1.
    """
    n = len(samples)
    # Rounded, because (1 - 0.9) * 10 is 0.99999… and would give the largest for the second largest.
    above = int(round((1 - fraction) * n, 9))
    return sorted(samples)[max(n - 1 - above, 0)]


def describe(samples_ms: Sequence[float]) -> Latency:
    """Describe at least one latency."""
    mean = math.fsum(samples_ms) / len(samples_ms)
    return Latency(
        p50=percentile(samples_ms, 0.5),
        p90=percentile(samples_ms, 0.9),
        p99=percentile(samples_ms, 0.99),
        mean=mean,
        cov=statistics.pstdev(samples_ms) / mean if mean else 0.0,
        n=len(samples_ms),
        samples=tuple(samples_ms),
    )


def measure_interleaved(
    infers: "Sequence[Infer]",
    images: "Sequence[Images]",
    *,
    runs: int,
    warmup: int,
    progress: Callable[[float, float], None],
) -> List[Latency]:
    """Time engines in turns, so that whatever else the machine does hits all of them alike.

    Args:
        infers: One function an engine; it returns once the device is done.
        images: What they are given, in turn; every engine sees the same in the same round.
        runs: Timed calls of each engine.
        warmup: Most untimed calls of each engine; it ends sooner once the calls are steady.
        progress: To be told calls done and calls in all.
    """
    for infer in infers:
        _warm_up(infer, images, most=warmup)
    samples: List[List[float]] = [[] for _ in infers]
    for turn in range(runs):
        picture = images[turn % len(images)]
        for place in range(len(infers)):
            engine = (turn + place) % len(infers)  # nobody always runs after the same neighbour
            samples[engine].append(_time_ms(infers[engine], picture))
        progress((turn + 1) * len(infers), runs * len(infers))
    return [describe(times) for times in samples]


def time_in_turns(
    infers: "Sequence[Infer]",
    images: "Sequence[Images]",
    work: "BoardWork",
    *,
    progress: Callable[[float, float], None],
) -> List[Timing]:
    """Time engines in turns as `measure_interleaved` does, as long as a board is told to.

    Args:
        infers: One function an engine; it returns once the device is done.
        images: What they are given, in turn; every engine sees the same in the same round.
        work: How long to warm up, and how many calls of each engine or how many seconds for each to time.
        progress: To be told calls done and calls in all.
    """
    steady = [settle(_calls(infer, images), work) for infer in infers]
    samples: List[List[float]] = [[] for _ in infers]
    end = time.perf_counter() + work.seconds * len(infers)
    for turn in range(work.runs):
        picture = images[turn % len(images)]
        for place in range(len(infers)):
            engine = (turn + place) % len(infers)
            samples[engine].append(_time_ms(infers[engine], picture))
        progress((turn + 1) * len(infers), work.runs * len(infers))
        if time.perf_counter() >= end and turn + 1 >= _WINDOW:
            break
    return [
        Timing(
            mode="call",
            copies=True,
            graph=False,
            streams=1,
            batch=len(images[0]),
            img_s=len(images[0]) * len(times) / sum(times) * 1e3,
            latency=describe(times),
            steady=settled,
        )
        for times, settled in zip(samples, steady)
    ]


def _calls(infer: "Infer", images: "Sequence[Images]") -> Callable[[], float]:
    """Give a function that shows the engine the next pictures, and gives the time in milliseconds."""
    turn = itertools.cycle(images)
    return lambda: _time_ms(infer, next(turn))


def settle(call: Callable[[], float], work: "BoardWork") -> bool:
    """Warm up as often and as long as asked, then on until calls take a steady time; say whether they do.

    Args:
        call: Makes one call, and gives its time in milliseconds.
        work: How long to warm up.
    """
    times: List[float] = []
    begin = time.perf_counter()
    while True:
        times.append(call())
        spent_s = time.perf_counter() - begin
        if len(times) < max(work.warmup_runs, 2 * _WINDOW) or spent_s < work.warmup_s:
            continue
        if is_steady(times):
            return True
        if spent_s > _PATIENCE * work.warmup_s:
            return False


def is_steady(times: Sequence[float]) -> bool:
    """Say whether the last two windows of calls, of ten each, took the same time, to five percent."""
    before = statistics.median(times[-2 * _WINDOW : -_WINDOW])
    return abs(statistics.median(times[-_WINDOW:]) - before) <= _STEADY * before


def _warm_up(infer: "Infer", images: "Sequence[Images]", *, most: int) -> None:
    """Call until two windows in a row take the same time: caches filled, clocks up, kernels chosen."""
    times: List[float] = []
    for call in range(most):
        times.append(_time_ms(infer, images[call % len(images)]))
        if len(times) >= 2 * _WINDOW and is_steady(times):
            return


def _time_ms(infer: "Infer", images: "Images") -> float:
    start = time.perf_counter_ns()
    infer(images)
    return (time.perf_counter_ns() - start) / 1e6
