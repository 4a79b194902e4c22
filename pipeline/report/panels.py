"""Panels: small charts with several lines, side by side, each with what it says in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.report.drawing import SERIES, Scale, svg
from pipeline.report.markup import Markup, Node, tag

_DASHES = ("", "7 4", "2 3", "10 3 2 3", "14 4", "1 4")  # told from its neighbour without colour too
_HEIGHT = 160  # pixels


@dataclass(frozen=True)
class Line:
    """A line of a panel.

    Attributes:
        values: At equal distances; NaN leaves a gap.
        said: What it comes to, in words.
        peak: Place of a value that is marked; None for none.
    """

    name: str
    values: Sequence[float]
    said: str
    peak: int | None = None


def panels(*parts: Markup | None) -> Markup:
    """Put panels side by side."""
    return tag("div", parts, class_="panels")


def panel(
    title: str,
    lines: Sequence[Line],
    ends: tuple[str, str],
    *,
    top: float | None = None,
    stepped: bool = False,
) -> Markup:
    """Draw lines from 0 up.

    Args:
        title: What is drawn.
        lines: At most six can be told apart.
        ends: What stands at the left and the right end of the axis.
        top: Of the scale; by default a little above the highest value.
        stepped: The values are those of bins, not of points.
    """
    finite = [value for one in lines for value in one.values if math.isfinite(value)]
    scale = Scale(0.0, top or (max(finite, default=1.0) or 1.0) * 1.08)
    ticks = [(tick, _HEIGHT * (1 - scale.share(tick) / 100)) for tick in scale.ticks(4)]
    grid = [tag("line", class_="grid", x1="0", x2="100%", y1=y, y2=y) for _, y in ticks]
    texts = [tag("text", f"{tick:g}", x="0", y=y - 3) for tick, y in ticks if 8 < y < _HEIGHT - 5]
    curves = [_curve(one, place, scale, stepped=stepped) for place, one in enumerate(lines)]
    inner = tag(
        "svg", curves, viewBox="0 0 100 100", preserveAspectRatio="none", width="100%", height=_HEIGHT
    )
    below = (
        tag("text", ends[0], x="0", y=_HEIGHT + 16),
        tag("text", ends[1], x="100%", y=_HEIGHT + 16, text_anchor="end"),
    )
    peaks = [_peak(one, place, scale) for place, one in enumerate(lines) if one.peak is not None]
    legend = [tag("li", _swatch(place), f"{one.name} {one.said}") for place, one in enumerate(lines)]
    return tag(
        "figure",
        tag("figcaption", title, class_="label"),
        svg(_HEIGHT + 20, grid, inner, texts, below, peaks),
        tag("ul", legend, class_="legend"),
        class_="panel",
    )


def _look(place: int) -> dict[str, str | None]:
    return {
        "class_": f"curve s{place % SERIES + 1}",
        "stroke_dasharray": _DASHES[place % len(_DASHES)] or None,
    }


def _curve(one: Line, place: int, scale: Scale, *, stepped: bool) -> Markup:
    points = [(at, value) for at, value in enumerate(one.values) if math.isfinite(value)]
    count = len(one.values)
    if stepped:
        corners = [(at + side, value) for at, value in points for side in (0, 1)]
        spots = [(at / count, value) for at, value in corners]
    else:
        spots = [(at / max(count - 1, 1), value) for at, value in points]
    path = " L".join(f"{100 * x:.2f} {100 - scale.share(y):.2f}" for x, y in spots)
    return tag("path", d=f"M{path}" if path else None, **_look(place))


def _peak(one: Line, place: int, scale: Scale) -> Node:
    assert one.peak is not None
    across = f"{100 * one.peak / (len(one.values) - 1):.2f}%"
    up = _HEIGHT * (1 - scale.share(one.values[one.peak]) / 100)
    return tag("circle", class_=f"peak s{place % SERIES + 1}", cx=across, cy=up, r=4)


def _swatch(place: int) -> Markup:
    return svg(8, tag("path", d="M0 4 H26", **_look(place)))
