"""GPUs to train on: which there are, what a training needs of one, and what it would take and cost."""

from __future__ import annotations

from dataclasses import dataclass

from targets.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What was asked on the command line.

    Attributes:
        cards: Names in the catalogue, or YAML files.
        rates: Training rates that are known, in pictures/s: `a100=310`, or a number for all cards.
        prices: USD an hour, likewise.

    Raises:
        UsageError: Rates or prices are given, and no card.
    """

    cards: tuple[str, ...]
    rates: tuple[str, ...] = ()
    prices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.rates or self.prices) and not self.cards:
            raise UsageError(
                "--rate and --price are for cards, and none is named.", hint="Add --gpu, as --gpu a100."
            )
