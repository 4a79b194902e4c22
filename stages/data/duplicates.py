"""Duplicates: pictures with the same bytes, and pictures that look the same.

A hash of 64 bits will not do: before a fixed camera it sees duplicates everywhere (difference hash,
distance <= 4: 38,732 of 77,028 pairs of bsdata, none of them one). So pictures are compared as 20 x 20
thumbnails without their slow gradients, and two look the same where best scaling leaves less than `LIMIT`
grey levels between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.data.pictures import Read
from stages.stage import Progress

SIDE = 20
BLUR = 2.0  # standard deviation of what is taken as slow, in pixels of the thumbnail

# Root mean square, in grey levels. Measured on bccd-mini, bsdata and the demo data: the same picture saved
# again (JPEG quality 60 or 85; 0.5 or 1.5 times the size; 5 % brighter) is at most 0.55 away; the nearest
# two different ones 0.84 (demo), 0.97 (bsdata: one spot, hours apart), 6.4 (bccd-mini).
LIMIT = 0.7
CORRELATION = 0.85  # at least, for pictures so flat that everything is near; the same, saved again: 0.92
ROWS = 512  # compared at once with all others: 200 MB of correlations at 100,000 pictures


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Each pair is a picture and the first one that it repeats, as paths.

    Attributes:
        exact_within: Same bytes, same split.
        exact_across: Same bytes, the first one in train, the other in val.
        near_within: They look the same, same split.
        near_across: They look the same, the first one in train, the other in val.
        leaked: Paths of all training pictures that repeat one of val, either way.
    """

    exact_within: tuple[tuple[str, str], ...]
    exact_across: tuple[tuple[str, str], ...]
    near_within: tuple[tuple[str, str], ...]
    near_across: tuple[tuple[str, str], ...]
    leaked: frozenset[str]


def look(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Give what is compared of a picture (H, W, 3): (SIDE * SIDE,), in grey levels around 0."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    thumbnail = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    thumbnail -= cv2.GaussianBlur(thumbnail, (0, 0), BLUR)
    flat: NDArray[np.float32] = (thumbnail - thumbnail.mean()).ravel()
    return flat


def find_duplicates(train: Sequence[Read], val: Sequence[Read], progress: Progress) -> Pairs:
    """Find all, training pictures first. Exact ones are not near ones as well."""
    within, first_train = _exact(train)
    within_val, first_val = _exact(val)
    fresh = [one for key, one in first_val.items() if key not in first_train]
    near = _near(list(first_train.values()), fresh, progress)
    leaked = near.leaked | first_val.keys()
    return Pairs(
        exact_within=(*within, *within_val),
        exact_across=tuple(
            (one.path, first_train[key].path) for key, one in first_val.items() if key in first_train
        ),
        near_within=tuple(near.within),
        near_across=tuple(near.across),
        leaked=frozenset(read.path for read in train if read.sha256 in leaked),
    )


def _exact(reads: Sequence[Read]) -> tuple[list[tuple[str, str]], dict[str, Read]]:
    """Give pairs, and the first picture of each content."""
    first: dict[str, Read] = {}
    pairs = []
    for read in reads:
        earlier = first.setdefault(read.sha256, read)
        if earlier is not read:
            pairs.append((read.path, earlier.path))
    return pairs, first


@dataclass(frozen=True, kw_only=True)
class _Near:
    within: list[tuple[str, str]]
    across: list[tuple[str, str]]
    leaked: set[str]  # contents


def _near(train: Sequence[Read], val: Sequence[Read], progress: Progress) -> _Near:
    reads = [*train, *val]
    looks = np.stack([read.look for read in reads])
    spread = np.sqrt(np.mean(looks**2, axis=1))
    # What has less contrast than the limit looks like any other such picture: it is left out.
    looks /= np.where(spread < LIMIT, np.inf, spread * SIDE)[:, None]
    least = _least_correlation(spread)
    near = _Near(within=[], across=[], leaked=set())
    for start in range(0, len(reads), ROWS):
        alike = _alike(looks, least, start, min(start + ROWS, len(reads)))
        for row in np.flatnonzero(alike.any(axis=1)).tolist():
            path, same = reads[start + row].path, alike[row]
            own_split = len(train) if start + row >= len(train) else 0
            near.within.extend((path, reads[other].path) for other in _first(same, own_split, len(same)))
            near.across.extend((path, reads[other].path) for other in _first(same, 0, own_split))
        of_val = alike[max(0, len(train) - start) :, : len(train)].any(axis=0)
        near.leaked.update(train[place].sha256 for place in np.flatnonzero(of_val).tolist())
        progress(start + len(alike), len(reads), "comparing pictures")
    return near


def _least_correlation(spread: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give for each picture the correlation with another of which less than `LIMIT` of it is left over.

    What the least squares fit of a gain and an offset leaves is spread * sqrt(1 - correlation**2).
    """
    share = np.minimum(LIMIT / np.maximum(spread, LIMIT), 1)
    least: NDArray[np.float32] = np.maximum(np.sqrt(1 - share**2), CORRELATION).astype(np.float32)
    return least


def _alike(
    looks: NDArray[np.float32], least: NDArray[np.float32], start: int, stop: int
) -> NDArray[np.bool_]:
    """Tell for each picture from `start` to `stop`, and each before it, whether they look the same."""
    correlation = looks[start:stop] @ looks[:stop].T
    # For either of the two will do, as the fit may go either way.
    alike: NDArray[np.bool_] = (correlation > least[start:stop, None]) | (correlation > least[None, :stop])
    alike[:, start:] = np.tril(alike[:, start:], -1)
    return alike


def _first(same: NDArray[np.bool_], start: int, stop: int) -> list[int]:
    return [start + int(place) for place in np.flatnonzero(same[start:stop])[:1]]
