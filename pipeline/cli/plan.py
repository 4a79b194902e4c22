"""`pipeline plan`: which steps a run would take, and on which GPUs its training fits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import (
    HERE,
    Config,
    Demo,
    Json,
    Root,
    Set,
    Target,
    errors,
    import_from,
    interruptible,
    print_json,
    say,
)

if TYPE_CHECKING:
    from pipeline.config import Config as Configuration
    from pipeline.gpus import Wish


def plan(  # noqa: PLR0913
    *,
    target: Target = None,
    config: Config = None,
    demo: Demo = False,
    settings: Set = None,
    gpu: Annotated[
        list[str] | None,
        typer.Option(
            "--gpu",
            help="Card to place training on: a name, a YAML file of your own, or `list`. Repeatable.",
        ),
    ] = None,
    rate: Annotated[
        list[str] | None,
        typer.Option(
            "--rate", help="Training rate that is known, in pictures/s: 310, or a100=310. Repeatable."
        ),
    ] = None,
    price: Annotated[
        list[str] | None,
        typer.Option("--price", help="Price of a card, in USD/hour: 2.1, or a100=2.1. Repeatable."),
    ] = None,
    root: Root = HERE,
    as_json: Json = False,
) -> None:
    """Show which steps a run would take, which are cached, and what the others took last time.

    With `--gpu`, show instead whether training fits each card, how long it would take and what it would cost.
    That checks the data set, builds the model and counts what its training allocates; nothing is trained, and
    no GPU is needed.

    Examples:
    - `pipeline plan --target cpu --set train.epochs=50`
    - `pipeline plan --gpu rtx4090 --gpu a100 --price a100=2.1`
    """
    from pipeline.config import load_config
    from pipeline.gpus import Wish

    with errors(as_json=as_json):
        wish = Wish(cards=tuple(gpu or ()), rates=tuple(rate or ()), prices=tuple(price or ()))
        if "list" in wish.cards:
            document = _catalogue()
        else:
            import_from(root)
            configuration = load_config(config, settings or [], demo=demo, folder=root)
            document = _place(configuration, root, wish) if gpu else _steps(configuration, target, root)
    if as_json:
        print_json(document)


def _steps(config: Configuration, target: list[str] | None, root: Path) -> str:
    from dataclasses import asdict

    from pipeline.preview import preview
    from pipeline.profiles import find_profiles
    from pipeline.summary import show_plan

    planned = preview(config, find_profiles(target or ["cpu"]), root)
    show_plan(planned)
    return json.dumps([asdict(step) for step in planned])


def _place(config: Configuration, root: Path, wish: Wish) -> str:
    from dataclasses import asdict

    from pipeline.gpus.size_up import size_up
    from pipeline.gpus.table import show_cards
    from pipeline.progress import display
    from pipeline.runner import Runner
    from pipeline.store import Store

    store = Store(root / ".edgebound")
    store.prepare()
    with interruptible(), display() as reporter:
        sized = size_up(config, wish, Runner(store, reporter), folder=root)
    show_cards(sized)
    return json.dumps(asdict(sized))


def _catalogue() -> str:
    from dataclasses import asdict

    from pipeline.gpus.catalogue import find_gpus, gpu_names

    cards = find_gpus(gpu_names())
    for name, card in cards.items():
        say(f"{name:<10} {card.device}, {card.usable_gib:g} GiB, {card.tflops.fp16:g} TFLOPS FP16")
    return json.dumps({name: asdict(card) for name, card in cards.items()})
