"""Parts that sheets of the page are made of."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.report.markup import Markup, Node, render, tag


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
