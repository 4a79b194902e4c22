"""Measure: all engines side by side, with the board's state and power around it."""

import gc
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Callable, List, Mapping, Optional, Sequence, Tuple

from targets.agent.backend import more_timings, open_infer
from targets.agent.job import now
from targets.agent.pictures import timed_images
from targets.board.power import RATE_HZ, Power, sampling, summarize
from targets.board.state import BoardState, Doubt, doubts, read_state
from targets.board.watch import watching
from targets.engine import open_engine
from targets.kit import Kit
from targets.latency import Timing, time_in_turns
from targets.model import load_model_spec

if TYPE_CHECKING:
    from targets.runtime import Images, Infer

_POWER_S = (
    3.0  # of samples of the board's power, idle and under load, unless less time is given for an engine
)
Progress = Callable[[float, float, str], None]


@dataclass(frozen=True)
class Measurement:
    """How fast engines are, and in what state the board was.

    Attributes:
        timings: By engine; the first is the one that is taken side by side.
        power: By engine; None where the board has no power monitor.
        before: State of the board before, and `after` it.
        doubts: Why it proves nothing.
        measured_at: Its end.
    """

    timings: Mapping[str, Tuple[Timing, ...]]
    power: Mapping[str, Optional[Power]]
    before: BoardState
    after: BoardState
    doubts: Tuple[Doubt, ...]
    measured_at: str


def measure(
    kit_folder: Path, kit: Kit, engines: Mapping[str, Path], *, root: Path, progress: Progress
) -> Measurement:
    """Measure engines.

    Args:
        kit_folder: The kit's, for its pictures.
        kit: What is to be done.
        engines: Their folders.
        root: Below which the board's `proc` and `sys` are.
        progress: Told how it goes on.

    Raises:
        ModelError: An engine is not what its manifest says.
        DataError: A picture cannot be read.
    """
    first = next(iter(engines.values()))
    images = timed_images(kit_folder, kit, load_model_spec(first).input)
    before = read_state(root)
    with sampling(root) as idle:
        time.sleep(min(_POWER_S, kit.work.seconds) if _has_monitor(idle) else 0)
    with watching(root) as watch:
        side_by_side, power = _time_side_by_side(kit, engines, images, (idle, root), progress)
        others = {
            name: more_timings(engine, kit.profile, images, kit.work, progress=progress)
            for name, engine in engines.items()
        }
    after = read_state(root)
    modes = kit.profile.power_modes
    return Measurement(
        timings={name: (one, *others[name]) for name, one in zip(engines, side_by_side)},
        power=dict(zip(engines, power)),
        before=before,
        after=after,
        doubts=doubts(before, after, fastest_mode=modes[-1] if modes else "") + watch.doubts(),
        measured_at=now(),
    )


def _has_monitor(samples: List[float]) -> bool:
    """Say whether the sampler found a power monitor: then the first sample comes at once."""
    time.sleep(2 / RATE_HZ)
    return bool(samples)


def _time_side_by_side(
    kit: Kit,
    engines: Mapping[str, Path],
    images: "Sequence[Images]",
    idle: Tuple[List[float], Path],
    progress: Progress,
) -> Tuple[List[Timing], List[Optional[Power]]]:
    with ExitStack() as stack:
        opened = []
        for engine in engines.values():
            open_engine(engine)
            opened.append(stack.enter_context(open_infer(engine, kit.profile)))
        gc.collect()
        gc.disable()
        stack.callback(gc.enable)
        timings = time_in_turns(
            [infer for infer, _ in opened],
            images,
            kit.work,
            progress=lambda done, total: progress(done, total, "latency"),
        )
        seconds = min(_POWER_S, kit.work.seconds)
        power = [_load(infer, images, idle, seconds) for infer, _ in opened]
    graphs = [graph for _, graph in opened]
    return [replace(timing, graph=graph) for timing, graph in zip(timings, graphs)], power


def _load(
    infer: "Infer", images: "Sequence[Images]", idle: Tuple[List[float], Path], seconds: float
) -> Optional[Power]:
    """Keep an engine busy and see what the board draws; None without a power monitor."""
    if not idle[0]:
        return None
    calls, begin = 0, time.perf_counter()
    with sampling(idle[1]) as samples:
        while time.perf_counter() - begin < seconds:
            infer(images[calls % len(images)])
            calls += 1
    per_call_s = (time.perf_counter() - begin) / calls
    return summarize(idle[0], samples, root=idle[1], seconds_per_call=per_call_s)
