"""`pipeline detect`: an engine looks at pictures, a video or a camera."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import errors, interruptible, print_json, say
from pipeline.cli.registry import Trust, environment_of

if TYPE_CHECKING:
    from targets.detections import Detections
    from targets.errors import DataError
    from targets.sources import Frame
    from targets.watcher import Tally

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
Unsigned = Annotated[
    bool, typer.Option("--allow-unsigned", help="Take an engine that nobody signed, as it is.")
]


def detect(  # noqa: PLR0913
    context: typer.Context,
    engine: Annotated[
        Path,
        typer.Argument(help="Folder of an engine: what was pulled, or what a run shipped.", metavar="DIR"),
    ],
    *,
    source: Source,
    save: Save = None,
    conf: Conf = None,
    names: Names = None,
    live: Live = None,
    limit: Annotated[int, typer.Option(min=0, help="Stop after so many frames; 0: at the end.")] = 0,
    trust: Trust = None,
    allow_unsigned: Unsigned = False,
    as_json: Lines = False,
) -> None:
    """Look at pictures with an engine, without torch and without Ultralytics.

    An engine is signed, or of a run in this project's .edgebound; else --allow-unsigned takes it as it is.
    Says how many frames a second it is, all in all, and what a frame took. Ctrl-C ends a camera's work.

    Examples:
    - `pipeline detect .edgebound/runs/LATEST/cpu --source pictures/ --save seen/`
    - `pipeline detect engine/ --source 0 --conf 0.5 --class person`
    - `pipeline detect engine/ --source street.mp4 --json | jq -c 'select(.objects)'`
    """
    from targets.trust.policy import find_policy
    from targets.watcher import Watch, describe, say_now_and_then, summarize, watch

    asked = Watch(
        engine=engine,
        source=source,
        conf=conf,
        names=tuple(names or ()),
        live=live,
        limit=limit,
        save=save,
        trust=find_policy(trust, environment_of(context)),
        allow_unsigned=allow_unsigned,
    )
    with errors(), interruptible():
        tally = watch(asked, _print_line if as_json else say_now_and_then(say), _say_broken)
    say(describe(tally))
    if as_json:
        print_json(json.dumps(summarize(tally)))
    raise typer.Exit(1 if tally.broken else 0)


def _print_line(frame: Frame, found: Detections, tally: Tally) -> None:
    from targets.watcher import line_of

    print_json(json.dumps(line_of(frame, found, tally)))


def _say_broken(error: DataError) -> None:
    say(f"left out: {error.what}")
