"""Curves of all forms over each other: precision and recall, F1, training."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipeline.ladder import Epoch, Rung, TargetResult
from pipeline.report.markup import Markup
from pipeline.report.panels import Line, panel, panels
from pipeline.report.words import figure
from stages.evaluation.scores import Curves

_MOST = 6  # lines that can be told apart


def form_curves(target: TargetResult) -> Markup | None:
    """Draw precision against recall, F1 against confidence, and where the right scores lie."""
    forms = [(rung, rung.curves) for rung in _to_draw(target) if rung.curves]
    if not forms:
        return None
    precision = [
        Line(rung.label, curves.precision, f"AP50 {figure(rung.map50, 3)}") for rung, curves in forms
    ]
    f1 = [Line(rung.label, curves.f1, *_best(curves, rung.f1_threshold)) for rung, curves in forms]
    scores = [Line(rung.label, curves.scores, _median(curves)) for rung, curves in forms]
    return panels(
        panel("Precision against recall", precision, ("recall 0", "1"), top=1.0),
        panel("F1 against confidence", f1, ("confidence 0", "1"), top=1.0),
        panel("Scores of right detections", scores, ("score 0", "1"), stepped=True),
    )


def _to_draw(target: TargetResult) -> list[Rung]:
    """Choose the baseline, the engines, then the forms between as far as there is room."""
    first = [rung for rung in target.ladder if rung.parent is None or rung.candidate]
    others = [rung for rung in target.ladder if rung not in first]
    chosen = [*first, *others][:_MOST]
    return [rung for rung in target.ladder if rung in chosen]


def _best(curves: Curves, threshold: float) -> tuple[str, int | None]:
    """Say what F1 is at its best confidence, and where that is on the curve."""
    if not 0 <= threshold <= 1:
        return "", None
    place = round(threshold * (len(curves.f1) - 1))
    return f"best {figure(curves.f1[place], 3)} at {figure(threshold)}", place


def _median(curves: Curves) -> str:
    """Say in which bin the median lies."""
    below, bins = 0.0, len(curves.scores)
    for place, share in enumerate(curves.scores):
        below += share
        if below >= 0.5:
            return f"median {figure(place / bins)} to {figure((place + 1) / bins)}"
    return "none"


def training_chart(epochs: Sequence[Epoch]) -> Markup | None:
    """Draw mAP and losses over the epochs."""
    if len(epochs) < 2:
        return None
    accuracy = {
        "mAP50": [epoch.map50 for epoch in epochs],
        "mAP50-95": [epoch.map50_95 for epoch in epochs],
    }
    names = list(dict.fromkeys(name for epoch in epochs for name in epoch.losses))
    losses = {name: [epoch.losses.get(name, math.nan) for epoch in epochs] for name in names}
    ends = (f"epoch {epochs[0].epoch}", str(epochs[-1].epoch))
    charts = (("Accuracy on the validation pictures", accuracy, 3), ("Losses", losses, 2))
    return panels(
        *(
            panel(
                title,
                [
                    Line(name, values, f"{figure(values[-1], digits)} at the end")
                    for name, values in lines.items()
                ],
                ends,
            )
            for title, lines, digits in charts
            if lines
        )
    )
