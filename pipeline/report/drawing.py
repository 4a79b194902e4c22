"""What charts are drawn with: inline SVG, placed in percent of the width and in pixels of the height."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.report.markup import Markup, Node, tag
from pipeline.report.words import figure

HATCH = Markup(
    '<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>'
    '<pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<line class="hatch" x1="0" y1="0" x2="0" y2="6"/></pattern></defs></svg>'
)
"""The pattern of what lies beyond a limit; once a page."""
SERIES = 6  # colours of lines and bars


@dataclass(frozen=True)
class Scale:
    """An axis from `low` to `high`."""

    low: float
    high: float

    def share(self, value: float) -> float:
        """Give the place of `value` in percent of the width, at the edge if it lies outside."""
        place = (value - self.low) / (self.high - self.low) * 100
        return min(max(place, 0.0), 100.0)

    def at(self, value: float) -> str:
        """Give the place as SVG wants it."""
        return f"{self.share(value):.2f}%"

    def ticks(self, about: int = 5) -> list[float]:
        """Give round values inside, some `about` of them."""
        rough = (self.high - self.low) / about
        power = 10 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
        first = math.ceil(self.low / step - 1e-9)
        return [index * step for index in range(first, math.floor(self.high / step + 1e-9) + 1)]


def svg(height: int, *content: Node, **attributes: str) -> Markup:
    """Give a drawing of full width; what it says must be said in words beside it."""
    return tag("svg", *content, height=height, aria_hidden="true", focusable="false", **attributes)


def line(class_: str, x: str, y1: float, y2: float) -> Markup:
    """Give an upright line."""
    return tag("line", class_=class_, x1=x, x2=x, y1=y1, y2=y2)


def axis(scale: Scale, unit: str) -> Markup:
    """Give a row with the figures of an axis."""
    ticks = scale.ticks()
    digits = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9)) if len(ticks) > 1 else 1
    marks = [
        tag("text", figure(tick, digits), x=scale.at(tick), y=12, text_anchor=anchor(scale.share(tick)))
        for tick in ticks
    ]
    drawn = tag("div", svg(16, marks), class_="drawn")
    return tag("div", drawn, tag("div", unit, class_="value soft"), class_="row")


def anchor(share: float) -> str:
    """Give the side that a text has its place at, so that it does not stick out."""
    return "start" if share < 3 else "end" if share > 97 else "middle"


def hatched(limit: float, scale: Scale, height: int) -> Iterator[Markup]:
    """Hatch what lies beyond the limit."""
    width = f"{100 - scale.share(limit):.2f}%"
    yield tag("rect", class_="beyond", x=scale.at(limit), y=0, width=width, height=height)
    yield line("limit", scale.at(limit), 0, height)


def row(name: str, note: str, drawn: Markup, value: str, more: str) -> Markup:
    """Give a drawing between what it is called and what it comes to."""
    return tag(
        "div",
        tag("div", name, tag("small", note), class_="name"),
        tag("div", value, tag("small", more), class_="value"),
        tag("div", drawn, class_="drawn"),
        class_="row",
    )
