"""Parts that sheets of the page are made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from pipeline.report.markup import Markup, Node, render, tag

BLANK = re.compile(r"\s")
Kind = Literal["run", "target"]
FIRST = 6
"""Reasons in the banner: what one reads in a minute."""


def listed(reasons: Sequence[str], most: int = 12) -> Markup | None:
    """List reasons; of a great many, the rest on demand."""
    if not reasons:
        return None
    shown = tag("ul", [tag("li", reason) for reason in reasons[:most]], class_="reasons")
    if len(reasons) <= most:
        return shown
    rest = listed(reasons[most:], len(reasons))
    return render((shown, tag("details", tag("summary", f"{len(reasons) - most} more"), rest, class_="more")))


def block(title: str, note: str, content: Node) -> Markup | None:
    """Give a part of a sheet under its own heading; nothing where there is nothing to show."""
    return (
        tag("div", tag("h3", title), tag("p", note) if note else None, content, class_="block")
        if content
        else None
    )


def details(title: str, content: Node) -> Markup | None:
    """Give what is shown on demand; nothing where there is nothing to show."""
    return tag("details", tag("summary", title), content) if content else None


def sheet(title: str, *content: Node, beside: Node = None, kind: Kind = "run") -> Markup:
    """Give a section of the page under a heading that its contents link to; `beside` stands at it."""
    name = anchor_of(title, kind)
    heading = tag("header", tag("h2", title, id=name), beside)
    return tag("section", heading, content, class_="sheet", aria_labelledby=name)


def anchor_of(title: str, kind: Kind = "run") -> str:
    """Give the id of a sheet's heading, without blanks; a target may have the name of a sheet of the run."""
    return f"{kind}-{BLANK.sub('-', title)}"


def key_figures(entries: Iterable[tuple[str, str, str]]) -> Markup:
    """Give figures to be read first: name, value, note."""
    cells = [
        tag("div", tag("dt", name), tag("dd", value, tag("small", note) if note else None))
        for name, value, note in entries
    ]
    return tag("dl", cells, class_="key")


def facts_list(facts: Mapping[str, str]) -> Markup:
    """Give names with their values."""
    return tag("dl", [(tag("dt", name), tag("dd", value)) for name, value in facts.items()], class_="facts")
