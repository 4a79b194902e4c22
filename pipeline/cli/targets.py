"""`pipeline targets`: the target profiles, as a list, or one with the source of each fact."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.options import Json, errors, print_json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from targets.profile import TargetProfile


def targets(
    name: Annotated[str | None, typer.Argument(help="Show everything about this one.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """List the target profiles, or show one with its sources.

    Example:
    - `pipeline targets orin`
    """
    from pipeline.profiles import find_profile, profile_names

    with errors(as_json=as_json):
        profiles = [find_profile(one) for one in ([name] if name else profile_names())]
    if name:
        _show_one(profiles[0])
    else:
        _show_all(profiles)
    if as_json:
        print_json(json.dumps([_record(profile) for profile in profiles]))


def _record(profile: TargetProfile) -> dict[str, Any]:
    """Give a profile with the facts of its JetPack releases in place."""
    from dataclasses import asdict

    from targets.platforms import load_jetpacks

    releases = load_jetpacks()
    known = [asdict(releases[one]) for one in profile.jetpacks if one in releases]
    return {**asdict(profile), "jetpack_releases": known}


def _show_all(profiles: Sequence[TargetProfile]) -> None:
    table = _table(
        "target", "device", "runtime", "SM", "precisions", "GB", "INT8 TOPS", "FP16 TFLOPS", "JetPack"
    )
    for one in profiles:
        figures = (one.memory_gb, one.rates.int8_tops, one.rates.fp16_tflops)
        minors = dict.fromkeys(".".join(release.split(".")[:2]) for release in one.jetpacks)
        table.add_row(
            one.name,
            one.device,
            f"{one.runtime} {one.runtime_version}".strip(),
            one.sm,
            " ".join(one.precisions),
            *("" if figure is None else f"{figure:g}" for figure in figures),
            " ".join(f"[bold]{minor}[/]" if one.jetpack.startswith(minor) else minor for minor in minors),
        )
    console = _console()
    console.print(table)
    console.print(
        "Rates are dense, in the fastest power mode; what is not known is empty. "
        "`pipeline targets orin@7.2` shows all of one, for one JetPack release."
    )


def _show_one(profile: TargetProfile) -> None:
    from rich.markup import escape

    from targets.platforms import load_jetpacks

    table = _table("", "", "source")
    said = ""
    for key, value in _facts(profile):
        source = profile.sources.get(key.partition(".")[0], "") if value else ""
        table.add_row(key, escape(value), '"' if source and source == said else escape(source))
        said = source or said
    console = _console()
    console.print(table)
    if not profile.jetpacks:
        return
    releases = _table("JetPack", "L4T", "TensorRT", "CUDA", "cuDNN", "Python", "DLA", "source")
    for one in load_jetpacks(profile.module).values():
        dla = "yes" if one.dla else "no"
        row = (one.release, " ".join(one.l4t), one.tensorrt, one.cuda, one.cudnn, one.python, dla)
        source = '"' if one.source == said else one.source
        releases.add_row(*(escape(cell) for cell in (*row, source)))
        said = one.source
    console.print(releases)


def _facts(profile: TargetProfile) -> Iterator[tuple[str, str]]:
    """Give key and value of each fact, those of parts as `part.key`; what is not known as nothing."""
    from dataclasses import fields, is_dataclass

    for one in fields(profile):
        value = getattr(profile, one.name)
        if is_dataclass(value):
            for inner in fields(value):
                yield f"{one.name}.{inner.name}", _text(getattr(value, inner.name))
        elif one.name not in {"sources", "jetpacks"}:
            yield one.name, _text(value)


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(str(one) for one in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def _console() -> Console:
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    return console if console.is_terminal else Console(stderr=True, highlight=False, width=160)


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 1), header_style="dim")
    for column in columns:
        table.add_column(column)
    return table
