"""HTML and SVG from Python: everything that is not markup already is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TypeAlias

from pipeline.report.words import printable

Node: TypeAlias = "str | int | float | Iterable[Node] | None"
Attribute: TypeAlias = str | float | bool | None
_VOID = {"meta", "br", "link", "col"}


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def render(node: Node) -> Markup:
    """Turn text, markup, or a nest of them into markup; None is nothing."""
    if isinstance(node, Markup):
        return node
    if node is None:
        return Markup()
    if isinstance(node, (str, int, float)):
        return Markup(escape(printable(str(node))))
    return Markup("".join(map(render, node)))


def tag(name: str, /, *children: Node, **attributes: Attribute) -> Markup:
    """Give an element.

    Args:
        name: Of the element.
        children: In order.
        attributes: `class_` stands for class, `aria_label` for aria-label; None and False leave one out.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    return Markup(f"<{name}{written}>" if name in _VOID else f"<{name}{written}>{render(children)}</{name}>")


def _attribute(key: str, value: Attribute) -> str:
    key = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    if isinstance(value, float):
        value = f"{value:.2f}"
    return f" {key}" if value is True else f' {key}="{escape(printable(str(value)))}"'
