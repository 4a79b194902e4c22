"""`pipeline detect`: an engine looks at pictures, a video or a camera."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import errors, interruptible, print_json, say

if TYPE_CHECKING:
    from pipeline.detection import Tally
    from targets.detections import Detections
    from targets.errors import DataError
    from targets.sources import Frame

Source = Annotated[
    str, typer.Option("--source", "-s", help="A picture, a folder, a video, a camera (0), or an address.")
]
Save = Annotated[
    Path | None, typer.Option("--save", "-o", help="Folder for pictures or videos with boxes drawn.")
]
Conf = Annotated[
    float | None,
    typer.Option(min=0.0, max=1.0, help="Drop boxes under this score. Default: the engine's."),
]
Names = Annotated[list[str] | None, typer.Option("--class", help="Keep only this class. Repeatable.")]
Live = Annotated[
    bool | None,
    typer.Option(
        "--live/--every",
        help="Drop frames that come too fast, or look at every one. Default: drop a camera's.",
    ),
]
Lines = Annotated[
    bool, typer.Option("--json", help="Print a JSON line for each picture, and a summary as the last line.")
]
_SAY_EVERY = 100  # frames, where nobody looks at a terminal


def detect(  # noqa: PLR0913
    engine: Annotated[
        Path,
        typer.Argument(help="Folder of an engine: what a run shipped, or what was pulled.", metavar="DIR"),
    ],
    *,
    source: Source,
    save: Save = None,
    conf: Conf = None,
    names: Names = None,
    live: Live = None,
    limit: Annotated[int, typer.Option(min=0, help="Stop after so many frames; 0: at the end.")] = 0,
    as_json: Lines = False,
) -> None:
    """Look at pictures with an engine, without torch and without Ultralytics.

    Says how many frames a second it is, all in all, and what a frame took. Ctrl-C ends a camera's work.

    Examples:
    - `pipeline detect .edgebound/runs/LATEST/cpu --source pictures/ --save seen/`
    - `pipeline detect engine/ --source 0 --conf 0.5 --class person`
    - `pipeline detect engine/ --source street.mp4 --json | jq -c 'select(.objects)'`
    """
    from pipeline.detection import Watch, watch

    asked = Watch(
        engine=engine, source=source, conf=conf, names=tuple(names or ()), live=live, limit=limit, save=save
    )
    with errors(), interruptible():
        tally = watch(asked, _print_line if as_json else _say_now_and_then, _say_broken)
    _say_at_the_end(tally)
    if as_json:
        print_json(json.dumps(_summary(tally)))
    raise typer.Exit(1 if tally.broken else 0)


def _say_at_the_end(tally: Tally) -> None:
    said = tally.p50_ms()
    parts = ", ".join(f"{name} {ms:.2f} ms" for name, ms in said.items())
    say(
        f"{tally.frames} frames, {tally.objects} objects, {tally.fps:.1f} FPS; p50: {parts or 'nothing seen'}"
        f"{f'; {tally.dropped} frames dropped' if tally.dropped else ''}"
        f"{f'; {tally.broken} pictures could not be read' if tally.broken else ''}"
    )


def _summary(tally: Tally) -> dict[str, object]:
    return {
        "frames": tally.frames,
        "detections": tally.objects,
        "dropped": tally.dropped,
        "broken": tally.broken,
        "fps": round(tally.fps, 2),
        "p50_ms": tally.p50_ms(),
    }


def _print_line(frame: Frame, found: Detections, tally: Tally) -> None:
    line = {
        "name": frame.name,
        "frame": frame.number,
        "dropped": tally.dropped,
        "objects": found.to_records(),
    }
    print_json(json.dumps(line))


def _say_now_and_then(frame: Frame, found: Detections, tally: Tally) -> None:
    del frame, found
    if tally.frames % _SAY_EVERY == 0:
        say(f"{tally.frames} frames, {tally.objects} objects, {tally.fps:.1f} FPS, {tally.dropped} dropped")


def _say_broken(error: DataError) -> None:
    say(f"left out: {error.what}")
