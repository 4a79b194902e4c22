"""Detection: an engine looks at a source, and somebody hears what it finds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from targets.detections import Detections, Times
from targets.detector import Detector
from targets.errors import DataError, UsageError
from targets.recorder import Recorder
from targets.sources import Frame, is_live, open_source

Listener = Callable[[Frame, Detections, "Tally"], None]


@dataclass
class Tally:
    """How it goes.

    Attributes:
        frames: Looked at.
        objects: Found on them.
        dropped: Frames of a live source that nobody looked at.
        broken: Pictures that could not be read.
        seconds: Since the first frame came, reading and drawing included.
        times: Of each frame.
    """

    frames: int = 0
    objects: int = 0
    dropped: int = 0
    broken: int = 0
    seconds: float = 0.0
    times: list[Times] = field(default_factory=list)

    @property
    def fps(self) -> float:
        """Frames a second, all in all."""
        return self.frames / self.seconds if self.seconds else 0.0

    def p50_ms(self) -> dict[str, float]:
        """Give the medians of what a frame took."""
        parts = ("preprocess", "inference", "postprocess", "total")
        if not self.times:
            return {}
        return {part: round(statistics.median(getattr(one, part) for one in self.times), 3) for part in parts}


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What is looked at, and how.

    Attributes:
        engine: Folder of the engine.
        source: A picture, folder, video, camera or stream.
        conf: Score under which a box is dropped; None: as the engine says.
        names: Classes to keep; all if empty.
        live: Frames may be dropped; None: of cameras and streams.
        limit: Frames to look at; 0: all.
        save: Folder for annotated pictures or videos.
    """

    engine: Path
    source: str
    conf: float | None = None
    names: Sequence[str] = ()
    live: bool | None = None
    limit: int = 0
    save: Path | None = None


def watch(asked: Watch, on_frame: Listener, on_broken: Callable[[DataError], None]) -> Tally:
    """Look at a source to its end, to the limit, or until Ctrl-C, which is how one stops a camera.

    Args:
        asked: What to look at.
        on_frame: Told of each frame, what is on it, and how it goes.
        on_broken: Told of a picture in a folder that cannot be read; the others are looked at all the same.

    Raises:
        EdgeboundError: The engine or the source cannot be opened.
        KeyboardInterrupt: Ctrl-C, while looking at something that has an end of its own.
    """
    tally = Tally()

    def broken(error: DataError) -> None:
        tally.broken += 1
        on_broken(error)

    with ExitStack() as stack:
        detector = stack.enter_context(Detector.open(asked.engine, conf=asked.conf))
        _check_names(asked.names, detector.spec.class_names)
        recorder = stack.enter_context(Recorder(asked.save)) if asked.save else None
        frames = stack.enter_context(open_source(asked.source, live=asked.live, on_broken=broken))
        detector.warm_up()
        began = time.perf_counter()
        try:
            for frame in frames:
                found = detector(frame.picture)
                found = found.only(asked.names) if asked.names else found
                if recorder is not None:
                    recorder.add(frame, found)
                _count(tally, frame, found, time.perf_counter() - began)
                on_frame(frame, found, tally)
                if tally.frames == asked.limit:
                    break
        except KeyboardInterrupt:
            if not (is_live(asked.source) if asked.live is None else asked.live):
                raise
    return tally


def _count(tally: Tally, frame: Frame, found: Detections, seconds: float) -> None:
    tally.frames += 1
    tally.objects += len(found)
    tally.dropped = frame.dropped
    tally.seconds = seconds
    tally.times.append(found.times)


def _check_names(names: Sequence[str], known: Sequence[str]) -> None:
    strange = [name for name in names if name not in known]
    if strange:
        raise UsageError(
            f"The engine knows no class {', '.join(strange)}.", hint=f"It knows {', '.join(known)}."
        )
