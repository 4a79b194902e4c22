"""Curves: how precision falls with recall, how F1 goes with the confidence, and where right scores lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from stages.evaluation.f1 import F1_GRID, mean_f1_curve
from stages.evaluation.matching import Matches
from stages.evaluation.precision import RECALLS
from stages.evaluation.scores import Curves

if TYPE_CHECKING:
    from numpy.typing import NDArray

CONFIDENCE_STEPS = 100
SCORE_BINS = 20
DIGITS = 4  # a drawing shows no more, and a report stays small


def find_curves(matches: Sequence[Matches]) -> Curves:
    """Give the curves of a form at IoU 0.5, over the classes that have boxes.

    Args:
        matches: By class id; of some class there are boxes.
    """
    known = [one for one in matches if one.boxes.any()]
    right = np.concatenate([one.scores[one.hits[0]] for one in known])
    shares = np.histogram(right, bins=SCORE_BINS, range=(0, 1))[0] / max(len(right), 1)
    f1 = mean_f1_curve(matches, np.ones((len(matches[0].boxes), 1), np.uint16))[:, 0]
    return Curves(
        precision=_round(np.mean([_precision_at_recalls(one) for one in known], axis=0)),
        f1=_round(f1[:: (len(F1_GRID) - 1) // CONFIDENCE_STEPS]),
        scores=_round(shares),
    )


def _precision_at_recalls(matches: Matches) -> NDArray[np.float64]:
    """Give COCO's precision of one class, (101,): the best at any higher recall, 0 where none is reached."""
    hits = matches.hits[0, ~matches.ignored[0]]
    right = np.cumsum(hits)
    precision = np.maximum.accumulate((right / np.arange(1, len(hits) + 1))[::-1])[::-1]
    reached = np.searchsorted(right / matches.boxes.sum(), RECALLS, side="left")
    return np.append(precision, 0.0)[reached]


def _round(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(np.round(values, DIGITS).tolist())
