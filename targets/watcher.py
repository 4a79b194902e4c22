"""Watcher: an engine looks at a source, and somebody hears what it finds."""

import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence

from targets.detections import Detections, Times
from targets.detector import Detector
from targets.errors import DataError, UsageError
from targets.recorder import Recorder
from targets.sources import Frame, is_live, open_source

_SAY_EVERY = 100  # frames, where nobody looks at a terminal
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
    times: List[Times] = field(default_factory=list)

    @property
    def fps(self) -> float:
        """Frames a second, all in all."""
        return self.frames / self.seconds if self.seconds else 0.0

    def p50_ms(self) -> Dict[str, float]:
        """Give the medians of what a frame took."""
        parts = ("preprocess", "inference", "postprocess", "total")
        if not self.times:
            return {}
        return {part: round(statistics.median(getattr(one, part) for one in self.times), 3) for part in parts}


@dataclass(frozen=True)
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
        trust: Policy that says whose signatures count; None: the user's or the machine's.
        allow_unsigned: Take an engine that nobody signed.
    """

    engine: Path
    source: str
    conf: Optional[float] = None
    names: Sequence[str] = ()
    live: Optional[bool] = None
    limit: int = 0
    save: Optional[Path] = None
    trust: Optional[Path] = None
    allow_unsigned: bool = False


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
        detector = stack.enter_context(
            Detector.open(
                asked.engine, conf=asked.conf, trust=asked.trust, allow_unsigned=asked.allow_unsigned
            )
        )
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


def describe(tally: Tally) -> str:
    """Say how it went, for people."""
    parts = ", ".join(f"{name} {ms:.2f} ms" for name, ms in tally.p50_ms().items())
    return (
        f"{tally.frames} frames, {tally.objects} objects, {tally.fps:.1f} FPS; p50: {parts or 'nothing seen'}"
        f"{f'; {tally.dropped} frames dropped' if tally.dropped else ''}"
        f"{f'; {tally.broken} pictures could not be read' if tally.broken else ''}"
    )


def summarize(tally: Tally) -> Dict[str, object]:
    """Say how it went, for programs."""
    return {
        "frames": tally.frames,
        "detections": tally.objects,
        "dropped": tally.dropped,
        "broken": tally.broken,
        "fps": round(tally.fps, 2),
        "p50_ms": tally.p50_ms(),
    }


def line_of(frame: Frame, found: Detections, tally: Tally) -> Dict[str, object]:
    """Say what is on a frame, for programs."""
    return {
        "name": frame.name,
        "frame": frame.number,
        "dropped": tally.dropped,
        "objects": found.to_records(),
    }


def say_now_and_then(say: Callable[[str], None]) -> Listener:
    """Give a listener that says every hundred frames how it goes."""

    def listen(_frame: Frame, _found: Detections, tally: Tally) -> None:
        if tally.frames % _SAY_EVERY == 0:
            seen = f"{tally.frames} frames, {tally.objects} objects"
            say(f"{seen}, {tally.fps:.1f} FPS, {tally.dropped} dropped")

    return listen


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
