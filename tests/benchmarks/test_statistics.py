"""The benchmark of the statistics: its two sides agree, and its samples are what they say."""

import numpy as np
import pytest

from benchmarks import statistics
from benchmarks.statistics_power import Population
from benchmarks.statistics_sets import Size, draw_set
from stages.evaluation.detect import Detections
from stages.evaluation.matching import match

TINY = Size(pictures=30, classes=3, found=12)


def test_both_sides_say_the_same(monkeypatch):
    monkeypatch.setattr(statistics, "SMALL", TINY)
    monkeypatch.setattr(statistics, "RESAMPLES", 20)

    rows, ratios = statistics.against_evaluating(resamples=3)

    assert ratios["difference_pt"] < 1e-9
    assert ratios["times_as_fast_as_evaluating"] > 0
    assert rows[1]["what"] == "by evaluating, extrapolated from 3 resamples"


def test_a_whole_comparison_is_made_from_what_was_stored(tmp_path, monkeypatch):
    monkeypatch.setattr(statistics, "RESAMPLES", 20)
    statistics.store(tmp_path, TINY)

    figures = statistics.compare(tmp_path)

    assert figures.keys() == {"wall_s", "cpu_s", "peak_mib", "drift_pt"}
    assert figures["drift_pt"] > 0


def test_a_drawn_set_is_the_same_each_time_and_has_as_much_as_was_asked_for():
    one, other = (draw_set(TINY, seed=5) for _ in range(2))

    assert one[1].counts.tolist() == [12] * 30
    assert len(one[0].val) == 30
    assert [side.boxes.tolist() for side in one[1:]] == [side.boxes.tolist() for side in other[1:]]


def test_a_sample_of_a_population_is_what_matching_its_pictures_gives():
    data, *sides = draw_set(TINY, seed=5)
    population = Population.of(*(match(side, data.val, classes=3) for side in sides))
    places = np.array([4, 17, 2])

    sample = population.cut(places)

    for side, cut in zip(sides, sample, strict=True):
        ends = np.cumsum(side.counts)
        rows = [side.boxes[ends[place] - side.counts[place] : ends[place]] for place in places]
        found = Detections(counts=side.counts[places], boxes=np.concatenate(rows))
        for one, other in zip(
            cut, match(found, [data.val[place] for place in places], classes=3), strict=True
        ):
            assert one.scores.tolist() == pytest.approx(other.scores.tolist())
            assert one.hits.tolist() == other.hits.tolist()
            assert one.boxes.tolist() == other.boxes.tolist()
