"""Latency of engines: measured side by side, described by percentiles."""

import itertools
import math
import statistics
import time
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, List, Literal, Sequence, Sized, Tuple

if TYPE_CHECKING:
    from targets.kit import BoardWork

Call = Callable[[Any], object]
"""From a batch to what becomes of it: an engine's `Infer`, or that with all before and after."""

_STEADY = 0.05  # two windows of calls whose medians are this near are the same
_WINDOW = 10  # calls
_PATIENCE = 3  # times as long as it must, a warm-up goes on at most, until the calls take a steady time
_TAIL = 0.025  # of either side of a 95 % interval
_NOISY = 0.05  # half of what INT8 has to be faster by, on either side: a wider p50 decides nothing


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


def interval(samples: Sequence[float], fraction: float) -> Tuple[float, float]:
    """Give the 95 % interval of a percentile, by order statistics; it assumes no distribution.

    How many of n calls lie below the true percentile is binomial (H. A. David, H. N. Nagaraja, "Order
    Statistics", 3rd ed. 2003, section 7.1). As neighbours are alike, n is that of `independent`.

    Args:
        samples: At least one, in the order of the calls.
        fraction: Of the percentile, 0 to 1.

    Returns:
        Two of the samples; 0 or infinity where the calls are too few to know that end.
    """
    n = independent(samples)
    below = _binomial_below(n, fraction)
    first = next((rank for rank in range(n) if below[rank + 1] > _TAIL), n)  # calls that surely lie below
    last = next((rank for rank in range(n, 0, -1) if below[rank] < 1 - _TAIL), 0)
    ordered = sorted(samples)
    scale = len(ordered) / n
    low = ordered[int((first - 1) * scale)] if first else 0.0
    high = ordered[min(math.ceil((last + 1) * scale), len(ordered)) - 1] if last < n else math.inf
    return low, high


def _binomial_below(n: int, fraction: float) -> List[float]:
    """Give, for each k from 0 to n + 1, how likely it is that fewer than k of n calls are below."""
    chances = [0.0]
    for k in range(n + 1):
        log = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        log += k * math.log(fraction) + (n - k) * math.log1p(-fraction)
        chances.append(chances[-1] + math.exp(log))
    return chances


def independent(samples: Sequence[float]) -> int:
    """Give how many independent calls tell as much: n (1 - r) / (1 + r), r the correlation of neighbours.

    By ranks, so that one outlier does not hide how the others resemble each other; an r that chance makes of
    calls that do not (up to 2 / sqrt(n)) counts as none.
    """
    n = len(samples)
    ordered = sorted(samples)
    ranks = [bisect_left(ordered, one) + bisect_right(ordered, one) - n for one in samples]
    spread = sum(rank * rank for rank in ranks)
    r = sum(one * other for one, other in zip(ranks, ranks[1:])) / spread if spread else 0.0
    return n if r <= 2 / math.sqrt(n) else max(1, round(n * (1 - r) / (1 + r)))


def noise(samples: Sequence[float], *, steady: bool = True) -> str:
    """Say why a measurement cannot be believed; empty if it can.

    Args:
        samples: In the order of the calls, in milliseconds.
        steady: The calls took a steady time before they were timed.
    """
    if not steady:
        return "the calls never took a steady time"
    p50 = percentile(samples, 0.5)
    low, high = interval(samples, 0.5)
    if not (1 - _NOISY) * p50 <= low <= high <= (1 + _NOISY) * p50:
        return f"noisy: p50 {p50:.2f} ms is known to {low:.2f} to {high:.2f} ms only"
    return ""


def time_in_turns(
    infers: Sequence[Call],
    images: Sequence[Sized],
    work: "BoardWork",
    *,
    progress: Callable[[float, float], None],
) -> List[Timing]:
    """Time engines in turns, so that whatever else the machine does hits all of them alike.

    A device runs one engine only. So where several are timed, each makes an untimed call first in its turn,
    which brings its threads and weights back: docs/log.md, 2026-11-26.

    Args:
        infers: One function an engine; it returns once the device is done.
        images: Batches that they are given, in turn; every engine sees the same in the same round.
        work: How long to warm up, and how many calls of each engine or how many seconds for each to time.
        progress: To be told calls done and calls in all.
    """
    steady = [settle(_calls(infer, images), work) for infer in infers]
    samples: List[List[float]] = [[] for _ in infers]
    end = time.perf_counter() + work.seconds * len(infers)
    for turn in range(work.runs):
        picture = images[turn % len(images)]
        for place in range(len(infers)):
            engine = (turn + place) % len(infers)  # nobody always runs after the same neighbour
            if len(infers) > 1:
                infers[engine](picture)
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


def _calls(infer: Call, images: Sequence[Sized]) -> Callable[[], float]:
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


def _time_ms(infer: Call, images: Sized) -> float:
    start = time.perf_counter_ns()
    infer(images)
    return (time.perf_counter_ns() - start) / 1e6
