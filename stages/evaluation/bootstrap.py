"""Bootstrap: how sure a loss is, by drawing the validation pictures again and again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from stages.evaluation.matching import Matches
from stages.evaluation.power import CONFIDENCE
from stages.evaluation.precision import weighted_precisions
from stages.evaluation.scores import Loss, Losses
from targets.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MIN_PICTURES = 10  # with boxes: from fewer, resampling says nothing: one picture always gives the same result
MIN_CLASS_PICTURES = 5  # with boxes of it: at 3, half of all intervals miss (`benchmarks.statistics_power`)
ANYTHING_PT = (-100.0, 100.0)


def bootstrap(
    baseline: Sequence[Matches], candidate: Sequence[Matches], *, resamples: int, seed: int
) -> Losses:
    """Compare two models on the same pictures, drawn with replacement.

    Raises:
        DataError: They have no pictures or classes in common, or nothing is to be found on them.
    """
    check_pair(baseline, candidate)
    return compare_precisions(baseline, candidate, draw(len(baseline[0].boxes), resamples, seed=seed))


def compare_precisions(
    baseline: Sequence[Matches], candidate: Sequence[Matches], weights: NDArray[np.uint16]
) -> Losses:
    """Compare two models on drawn pictures.

    Matches don't depend on which pictures are drawn, so a resample only weighs them: exact, and fast. Both
    models see the same draws, so what makes a picture hard for both cancels out.

    Args:
        baseline: Matches by class id, as `candidate`.
        candidate: On the same pictures.
        weights: As `draw` gives them.
    """
    before, after = weighted_precisions(baseline, weights), weighted_precisions(candidate, weights)
    losses = before - after
    pictures = [int(np.count_nonzero(one.boxes)) for one in baseline]
    anywhere = int(np.count_nonzero(np.any([one.boxes for one in baseline], axis=0)))
    return Losses(
        map50_95=sum_up(_mean_known(losses.mean(axis=1)), pictures=anywhere),
        ap50=tuple(
            sum_up(loss[0], pictures=count, enough=MIN_CLASS_PICTURES) if count else None
            for loss, count in zip(losses, pictures, strict=True)
        ),
        baseline=float(_mean_known(before[:, :, 0].mean(axis=1))),
        candidate=float(_mean_known(after[:, :, 0].mean(axis=1))),
    )


def check_pair(baseline: Sequence[Matches], candidate: Sequence[Matches]) -> None:
    """Refuse what cannot be compared.

    Raises:
        DataError: There are no pictures or classes in common, or nothing is to be found on them.
    """
    if [one.boxes.tolist() for one in baseline] != [one.boxes.tolist() for one in candidate]:
        raise DataError(
            "The two models were not evaluated on the same pictures, so they cannot be compared.",
            hint="Evaluate both on the same data set.",
        )
    if not any(one.boxes.any() for one in baseline):
        raise DataError(
            "The pictures that the two models have in common have no boxes, so nothing can be compared.",
            hint="Label some validation pictures, or move labelled ones from train to val.",
        )


def draw(pictures: int, resamples: int, *, seed: int) -> NDArray[np.uint16]:
    """Give how often each picture counts: (pictures, 1 + resamples). The first case is the set itself.

    It takes 2 bytes a picture and resample: 10 MB for 5,000 and 1,000.
    """
    random = np.random.default_rng(seed)
    weights = np.ones((pictures, 1 + resamples), np.uint16)
    for case in range(1, 1 + resamples):
        weights[:, case] = np.bincount(random.integers(pictures, size=pictures), minlength=pictures)
    return weights


def sum_up(losses: Floats, *, pictures: int, enough: int = MIN_PICTURES) -> Loss:
    """Sum up a loss on the set itself, in front, and on its resamples, all as fractions.

    Args:
        losses: (1 + resamples,); NaN where there is none.
        pictures: On how many it rests.
        enough: From how many on an interval means something.
    """
    loss_pt, interval_pt, spread_pt = 100 * float(losses[0]), ANYTHING_PT, ANYTHING_PT[1]
    resampled = 100 * losses[1:][~np.isnan(losses[1:])]
    if pictures >= enough and resampled.size:
        interval_pt, spread_pt = find_interval(resampled, pictures=pictures), float(resampled.std())
    return Loss(loss_pt=loss_pt, interval_pt=interval_pt, spread_pt=spread_pt)


def find_interval(resampled: Floats, *, pictures: int) -> tuple[float, float]:
    """Give the 95 % interval from resamples of so many pictures, at least 2.

    Of few pictures the bare percentiles are too narrow; these are further out, as Student's t is, and the
    same for many: the expanded percentile interval (Hesterberg 2015, doi:10.1080/00031305.2015.1089789).
    """
    free = pictures - 1
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    # Student's quantile, by Fisher and Cornish's expansion: to 0.5 % from 5 pictures on.
    t = z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
    t += (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * free**3)
    tail = 100 * NormalDist().cdf(-t * math.sqrt(pictures / free))
    low, high = np.percentile(resampled, (tail, 100 - tail))
    return float(low), float(high)


def _mean_known(values: Floats) -> Floats:
    """Average over the first axis what is not NaN; NaN where all is."""
    known = ~np.isnan(values)
    mean = np.full(values.shape[1:], np.nan)
    np.divide(np.where(known, values, 0).sum(axis=0), known.sum(axis=0), out=mean, where=known.any(axis=0))
    return mean
