"""Power: how many pictures it takes to tell a loss from a limit. Loads no heavy package."""

from __future__ import annotations

import math
from statistics import NormalDist

CONFIDENCE = 0.95  # of the interval that is held against the limit
POWER = 0.8  # what is usual where a study is planned


def pictures_needed(*, gap_pt: float, spread_pt: float, pictures: int, power: float = POWER) -> float:
    """Give how many pictures would tell, if the loss is what it seems to be.

    The spread falls with the square root of the pictures. An interval that just reaches the limit is not
    enough: with new pictures the estimate moves, and every other time to the wrong side. So the limit has to
    be as far away as the half-width of the interval, and so much more that the estimate stays clear of it.

    Args:
        gap_pt: From the loss to the limit, in points; its sign does not matter.
        spread_pt: Standard deviation of the loss over resamples of the pictures, in points.
        pictures: That it comes from.
        power: Share of the cases in which so many pictures tell.

    Returns:
        Infinity where the loss is on the limit; NaN where one of the figures is.
    """
    if gap_pt == 0:
        return math.inf
    normal = NormalDist()
    errors = normal.inv_cdf((1 + CONFIDENCE) / 2) + normal.inv_cdf(power)
    return pictures * (errors * spread_pt / gap_pt) ** 2
