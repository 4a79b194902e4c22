"""`pipeline kit` and `pipeline accept`: boards that only a person can reach."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import (
    HERE,
    Config,
    Demo,
    Json,
    Root,
    Set,
    errors,
    import_from,
    interruptible,
    print_json,
    say,
)
from pipeline.cli.registry import ways_of


def kit(  # noqa: PLR0913
    context: typer.Context,
    *,
    target: Annotated[
        str, typer.Option("--target", "-t", help="Target profile whose engines a board builds.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder to make, or a .zip file. Default: kit-TARGET in the root."),
    ] = None,
    config: Config = None,
    demo: Demo = False,
    settings: Set = None,
    root: Root = HERE,
    as_json: Json = False,
) -> None:
    """Write the kit with which a board that cannot be reached builds, measures and verifies.

    Trains, exports and quantizes first, as far as that is not done yet. On the board, in the kit's folder:
    `python3 agent.pyz run`; then, here, `pipeline accept receipt.zip`.

    Examples:
    - `pipeline kit --target orin@6.2`
    - `pipeline kit --target orin-nano-8gb -o /media/usb/kit.zip`
    """
    import json

    from pipeline.asked import request_of
    from pipeline.by_hand import write_kit
    from pipeline.kits import Order
    from pipeline.progress import display

    with errors(as_json=as_json):
        import_from(root)
        order = Order(config=str(config or ""), settings=tuple(settings or ()), demo=demo, asked=(target,))
        request = request_of(order, root, ways_of(context, None, None, None), until="build")
        with interruptible(), display() as reporter:
            written = write_kit(request, out or root / f"kit-{target.replace('@', '-')}", reporter)
    say(f"Wrote {written}. There: python3 agent.pyz run. Then here: pipeline accept receipt.zip")
    if as_json:
        print_json(json.dumps({"kit": str(written)}))


def accept(
    context: typer.Context,
    receipt: Annotated[Path, typer.Argument(help="The receipt.zip that the agent wrote, or its folder.")],
    *,
    root: Root = HERE,
    as_json: Json = False,
) -> None:
    """Take in what a board did with a kit, and judge the run.

    A receipt for another kit, from another module or JetPack, or that was changed is refused.

    Example:
    - `pipeline accept /media/usb/receipt.zip`
    """
    from pipeline import by_hand
    from pipeline.gate import exit_code
    from pipeline.progress import display
    from pipeline.summary import show

    with errors(as_json=as_json):
        import_from(root)
        with interruptible(), display() as reporter:
            report = by_hand.accept(receipt, root, reporter, ways_of(context, None, None, None))
        show(report)
    if as_json:
        print_json(report.to_json())
    raise typer.Exit(exit_code(report))
