"""Subset: which blocks to leave in float, so that little latency is lost and drift is within a budget. Pure.

Drift is taken to be monotone: with more in float it is no larger. Blocks are put in order of noise by what
it costs to leave them in float, and the shortest prefix that is good enough is found by bisection, beginning
where noise says that it ends; then the costliest are put back into INT8, one by one, where the budget allows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

Names = frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A block that can be left in float.

    Attributes:
        name: Of the block.
        noise: That it makes in INT8, noise by signal as energies.
        saving: Time that INT8 saves on it, in any unit; at least 0.
    """

    name: str
    noise: float
    saving: float


def in_order(choices: Iterable[Choice]) -> list[Choice]:
    """Give the blocks whose noise costs least to avoid first; where INT8 saves nothing, above all."""
    return sorted(choices, key=lambda one: (-_noise_per_saving(one), -one.noise, one.name))


def _noise_per_saving(choice: Choice) -> float:
    return choice.noise / choice.saving if choice.saving > 0 else math.inf


def find_subset(
    choices: Callable[[], Sequence[Choice]], drift_of: Callable[[Names], float], *, budget: float, most: int
) -> Names | None:
    """Find which blocks to leave in float.

    Args:
        choices: Gives the blocks, at least one; not asked where all of it can be INT8.
        drift_of: Measures the drift with these blocks in float; never asked twice about the same.
        budget: The most drift that is good enough; NaN never is.
        most: Calls of `drift_of`; at least 2.

    Returns:
        A set that was measured and is within the budget; None if there is none, not even with all blocks but
        the last in float.
    """
    known = _Known(drift_of, budget, most)
    if known.is_within(frozenset()):
        return frozenset()
    ordered = in_order(choices())
    found = _shortest_prefix(ordered, known)
    if found is None:
        return None
    for one in sorted(ordered, key=lambda one: -one.saving):
        if one.name in found and known.is_within(found - {one.name}):
            found -= {one.name}
    return found


def _shortest_prefix(ordered: Sequence[Choice], known: _Known) -> Names | None:
    """Find the shortest prefix within the budget; not the empty one, and one block is left in INT8."""
    prefixes = [frozenset(one.name for one in ordered[:length]) for length in range(len(ordered))]
    low, high = 0, len(prefixes) - 1  # lengths: `low` is not within the budget, `high` is thought to be
    length = _predicted(ordered, known)
    while high - low > 1:
        length = min(max(length, low + 1), high - 1)
        if known.is_within(prefixes[length], spare=1):
            high = length
        else:
            low = length
        length = (low + high) // 2
    return prefixes[high] if known.is_within(prefixes[high]) else None


def _predicted(ordered: Sequence[Choice], known: _Known) -> int:
    """Predict the length, as if drift were proportional to the noise of what is left in INT8."""
    drift = known.drifts[frozenset()]
    allowed = known.budget / drift * sum(one.noise for one in ordered) if drift > 0 else 0.0
    left = 0.0
    for length in range(len(ordered), 0, -1):
        left += ordered[length - 1].noise
        if left > allowed:
            return length
    return 0


@dataclass
class _Known:
    """What was measured, and what follows from it.

    Attributes:
        left: Measurements that may still be made.
        drifts: What was measured, by the blocks in float.
    """

    drift_of: Callable[[Names], float]
    budget: float
    left: int
    drifts: dict[Names, float] = field(default_factory=dict)

    def is_within(self, names: Names, *, spare: int = 0) -> bool:
        """Say whether these in float are enough; no, where that cannot be measured any more.

        Args:
            names: Blocks in float.
            spare: Measurements to keep for later.
        """
        if names not in self.drifts:
            # With more in float it was not enough. (Not "not above": NaN is not enough either.)
            if any(names < one and not drift <= self.budget for one, drift in self.drifts.items()):
                return False
            if self.left <= spare:
                return False
            self.left -= 1
            self.drifts[names] = self.drift_of(names)
        return self.drifts[names] <= self.budget


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Give the places of the points that no other beats in both figures; smaller is better.

    Of equal points the first counts. They come sorted by their first figure.
    """
    front: list[int] = []
    lowest = math.inf
    for place in sorted(range(len(points)), key=lambda place: points[place]):
        if points[place][1] < lowest:
            front.append(place)
            lowest = points[place][1]
    return front
