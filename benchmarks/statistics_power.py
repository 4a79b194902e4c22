"""Is the interval honest, and the number of pictures that would tell? By simulation, from a known population.

```
python -m benchmarks.statistics_power [--quick]
```
A population of pictures has a loss that is known. Samples are drawn from it, and each is bootstrapped as in
`verify`. Keys and what is wanted of them:
- `coverage_N`: share of samples of N pictures whose 95 % interval holds the population's loss: 0.95
- `told_at_power_50`, `told_at_power_80`: share of samples of the size that `pictures_needed` gives for that
  power, from the loss and spread known, that tell the loss from the limit: 0.5, 0.8
- `told_as_estimated_50`, `told_as_estimated_80`: the same, where loss and spread are those of a small sample
  that did not tell, as in use; at most 2,400 pictures are drawn
- `rare_coverage_N`: as `coverage_N`, for AP50 of a class that about N of 150 pictures have, however few;
  `rare_coverage_bare_N`: by the bare percentiles

`--quick` draws a quarter of the samples.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.form import show
from benchmarks.statistics_sets import Size, draw_set
from stages.evaluation.bootstrap import bootstrap, draw, find_interval
from stages.evaluation.matching import Matches, match
from stages.evaluation.power import pictures_needed
from stages.evaluation.precision import weighted_precisions
from stages.evaluation.scores import Losses

if TYPE_CHECKING:
    from numpy.typing import NDArray

POPULATION = Size(pictures=6000, classes=4, found=20)
SMALL = 150  # pictures, in the sample that is to say how many it would take
RESAMPLES = 300
GAPS_OF_SPREAD = 1.4  # from the loss to the limit, in spreads of the small sample: it cannot tell


@dataclass(frozen=True, kw_only=True, eq=False)
class Population:
    """Two models' matches on all pictures, and the losses."""

    baseline: Sequence[Matches]
    candidate: Sequence[Matches]
    losses: Losses

    @classmethod
    def of(cls, baseline: Sequence[Matches], candidate: Sequence[Matches]) -> Population:
        """Measure the losses."""
        return cls(
            baseline=baseline,
            candidate=candidate,
            losses=bootstrap(baseline, candidate, resamples=1, seed=0),
        )

    @property
    def loss_pt(self) -> float:
        """Of mAP50-95."""
        return self.losses.map50_95.loss_pt

    def draw(self, rng: np.random.Generator, pictures: int) -> NDArray[np.intp]:
        """Draw some of the pictures."""
        return rng.choice(len(self.baseline[0].boxes), pictures, replace=False)

    def cut(self, places: NDArray[np.intp]) -> list[list[Matches]]:
        """Give the baseline's and the candidate's matches on some of the pictures."""
        return [[_cut(one, places) for one in side] for side in (self.baseline, self.candidate)]

    def sample(self, places: NDArray[np.intp], seed: int) -> Losses:
        """Bootstrap some of the pictures."""
        baseline, candidate = self.cut(places)
        return bootstrap(baseline, candidate, resamples=RESAMPLES, seed=seed)


def main(arguments: list[str]) -> None:
    """Measure, and print the result."""
    samples = 60 if "--quick" in arguments else 240
    rng = np.random.default_rng(7)
    population = _draw_population()
    rows: list[dict[str, float]] = []
    ratios: dict[str, float | None] = {}
    for pictures in (50, SMALL, 600):
        row, ratios[f"coverage_{pictures}"] = _cover(population, rng, pictures, samples)
        rows.append(row)
    spread_pt = rows[1]["bootstrap_spread_pt"]
    gap_pt = GAPS_OF_SPREAD * spread_pt
    limit_pt = population.loss_pt + gap_pt
    for power in (0.5, 0.8):
        needed = round(pictures_needed(gap_pt=gap_pt, spread_pt=spread_pt, pictures=SMALL, power=power))
        told = [_tells(population, population.draw(rng, needed), limit_pt, seed) for seed in range(samples)]
        ratios[f"told_at_power_{100 * power:.0f}"] = _share(told)
        rows.append({"power": power, "limit_pt": limit_pt, "needed": needed})
    for power in (0.5, 0.8):
        row, share = _tell_as_estimated(population, rng, limit_pt, samples=samples // 2, power=power)
        rows.append(row)
        ratios[f"told_as_estimated_{100 * power:.0f}"] = share
    for pictures in (3, 5, 10, 30):
        bare, covered = _cover_rare(population, rng, pictures, samples)
        ratios[f"rare_coverage_bare_{pictures}"], ratios[f"rare_coverage_{pictures}"] = bare, covered
    show("statistics_power", rows, ratios, {})


def _draw_population() -> Population:
    dataset, baseline, candidate = draw_set(POPULATION, seed=1)
    sides = [match(one, dataset.val, classes=POPULATION.classes) for one in (baseline, candidate)]
    return Population.of(sides[0], sides[1])


def _cover(
    population: Population, rng: np.random.Generator, pictures: int, samples: int
) -> tuple[dict[str, float], float]:
    losses = [population.sample(population.draw(rng, pictures), seed).map50_95 for seed in range(samples)]
    estimates = np.array([one.loss_pt for one in losses])
    covered = [one.interval_pt[0] <= population.loss_pt <= one.interval_pt[1] for one in losses]
    return {
        "pictures": pictures,
        "loss_pt": population.loss_pt,
        "mean_estimate_pt": float(estimates.mean()),
        "true_spread_pt": float(estimates.std()),
        "bootstrap_spread_pt": float(np.mean([one.spread_pt for one in losses])),
    }, _share(covered)


def _cut(matches: Matches, places: NDArray[np.intp]) -> Matches:
    """Give the matches on some of the pictures only."""
    new_place = np.full(len(matches.boxes), -1)
    new_place[places] = np.arange(len(places))
    rows = np.flatnonzero(new_place[matches.pictures] >= 0)
    return Matches(
        scores=matches.scores[rows],
        pictures=new_place[matches.pictures[rows]],
        hits=matches.hits[:, rows],
        ignored=matches.ignored[:, rows],
        boxes=matches.boxes[places],
    )


def _tells(population: Population, places: NDArray[np.intp], limit_pt: float, seed: int) -> bool:
    low, high = population.sample(places, seed).map50_95.interval_pt
    return high <= limit_pt or low > limit_pt


def _tell_as_estimated(
    population: Population, rng: np.random.Generator, limit_pt: float, *, samples: int, power: float
) -> tuple[dict[str, float], float]:
    """Ask small samples that cannot tell how many it takes, then draw so many, at most 2,400."""
    needed, told = [], []
    for seed in range(samples):
        loss = population.sample(population.draw(rng, SMALL), seed).map50_95
        if loss.interval_pt[0] <= limit_pt < loss.interval_pt[1]:
            needed.append(
                pictures_needed(
                    gap_pt=limit_pt - loss.loss_pt, spread_pt=loss.spread_pt, pictures=SMALL, power=power
                )
            )
            told.append(
                _tells(population, population.draw(rng, min(2400, round(needed[-1]))), limit_pt, seed)
            )
    low, median, high = np.percentile(needed, (10, 50, 90))
    return {
        "power": power,
        "inconclusive_samples": len(told),
        "needed_p10": float(low),
        "needed_p50": float(median),
        "needed_p90": float(high),
    }, _share(told)


def _cover_rare(
    population: Population, rng: np.random.Generator, pictures: int, samples: int
) -> tuple[float, float]:
    """Make the last class so rare that so many pictures of a small sample have it, on average."""
    has_it = population.baseline[-1].boxes > 0
    without = np.flatnonzero(~has_it)
    some = rng.choice(np.flatnonzero(has_it), pictures * len(without) // (SMALL - pictures), replace=False)
    baseline, candidate = population.cut(np.concatenate([some, without]))
    rare = Population.of(baseline[-1:], candidate[-1:])
    true_loss = rare.losses.ap50[0]
    assert true_loss is not None
    bare, covered = [], []
    for seed in range(samples):
        places = rare.draw(rng, SMALL)
        if rare.baseline[0].boxes[places].any():
            weights = draw(SMALL, RESAMPLES, seed=seed)
            before, after = (weighted_precisions(side, weights)[0, 0] for side in rare.cut(places))
            resampled = 100 * (before - after)[1:]
            known = resampled[~np.isnan(resampled)]
            there = int(np.count_nonzero(rare.baseline[0].boxes[places]))
            bare.append(_within(true_loss.loss_pt, tuple(np.percentile(known, (2.5, 97.5)))))
            covered.append(there > 1 and _within(true_loss.loss_pt, find_interval(known, pictures=there)))
    return _share(bare), _share(covered)


def _within(value: float, interval: tuple[float, float]) -> bool:
    return interval[0] <= value <= interval[1]


def _share(answers: Sequence[bool]) -> float:
    told = list(answers)
    return sum(told) / len(told)


if __name__ == "__main__":
    main(sys.argv[1:])
