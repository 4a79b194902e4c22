"""Catalogue: the cards that are known, and a user's own from a YAML file of the same form."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Gt

from pipeline.yaml_file import Source, load_source, parse
from targets.errors import UsageError

_FILE = Path(__file__).with_name("catalogue.yaml")
_HINT = "`pipeline/gpus/catalogue.yaml` shows the form: one entry a card, each fact with its source."


@dataclass(frozen=True, kw_only=True)
class Tflops:
    """Dense rates, in 10¹² operations a second.

    Attributes:
        fp16: On tensor cores with FP32 accumulation.
        tf32: On tensor cores; 0 where there is none.
        fp32: Without tensor cores.
    """

    fp16: Annotated[float, Gt(0)]
    tf32: Annotated[float, Ge(0)]
    fp32: Annotated[float, Gt(0)]


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A card.

    Attributes:
        device: Its full name.
        usable_gib: Memory that PyTorch finds.
        bandwidth_gb_s: Of that memory, in 10⁹ bytes a second.
        tflops: What it computes at most.
        sources: Of each fact, by its name.
    """

    device: str
    usable_gib: Annotated[float, Gt(0)]
    bandwidth_gb_s: Annotated[float, Gt(0)]
    tflops: Tflops
    sources: Mapping[str, str]


@dataclass(frozen=True)
class _Written:
    card: Gpu


def gpu_names() -> list[str]:
    """Give the names of the cards that come with the program, in the order of the file."""
    return list(_load(_FILE))


def find_gpus(asked: Sequence[str]) -> dict[str, Gpu]:
    """Find cards, by name or all those in a YAML file of the user's own.

    Raises:
        UsageError: There is none of that name, or no such file.
        ConfigError: The file is wrong; with all problems and their lines.
    """
    found: dict[str, Gpu] = {}
    for name in asked:
        if name.endswith((".yaml", ".yml")):
            found |= _load(Path(name))
        else:
            found[name.lower()] = _find(name.lower())
    return found


def _find(name: str) -> Gpu:
    known = _load(_FILE)
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or [one for one in known if name in one]
    raise UsageError(
        f"There is no card '{name}' in the catalogue" + (f"; near: {', '.join(near)}." if near else "."),
        hint=f"Known: {', '.join(known)}; or give the path of a YAML file with your own.",
    )


@cache
def _load(file: Path) -> Mapping[str, Gpu]:
    source = load_source(file)
    if not source.values:
        raise UsageError(f"{file} names no card.", hint=_HINT)
    return {
        str(name).lower(): parse(_Written, _part(source, str(name)), hint=_HINT).card
        for name in source.values
    }


def _part(source: Source, name: str) -> Source:
    """Give one card's entry as a document of its own, with its places in the file."""
    places = {("card", *path[1:]): place for path, place in source.places.items() if path[:1] == (name,)}
    return Source({"card": source.values[name]}, places, source.name)
