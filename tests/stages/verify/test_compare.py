"""Compare: two forms' stored detections, on a stored data set."""

import math
from dataclasses import asdict

import numpy as np
import pytest

from stages.artifact import Artifact
from stages.dataset import save_dataset
from stages.evaluation.detect import Detections
from stages.stage import no_progress
from stages.verify import Compare, CompareInputs
from targets.errors import DataError
from tests.stages.evaluation.scenes import dataset, detections, picture

SIDE_PX = 256
SMALL, LARGE = (0, 0, 20, 20), (100, 100, 220, 220)
PICTURES = [
    picture([(0, *SMALL), (1, *LARGE)], side_px=SIDE_PX, file=f"{number}.jpg") for number in range(24)
]
GOOD = [[(*SMALL, 0.9, 0), (*LARGE, 0.8, 1)]] * 24


def compared(folder, baseline, candidate, pictures=PICTURES, **settings):
    inputs = CompareInputs(
        baseline=stored(folder / "baseline", baseline),
        candidate=stored(folder / "candidate", candidate),
        index=index_of(folder / "index", pictures),
    )
    return Compare(resamples=100, **settings).run(inputs, folder / "out", no_progress)


def stored(folder, rows):
    folder.mkdir()
    detections(*rows).save(folder)
    return Artifact.of(folder)


def index_of(folder, pictures):
    folder.mkdir()
    save_dataset(dataset(pictures), folder)
    return Artifact.of(folder)


def figures(value):
    """Give all figures of a result."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [figure for one in value for figure in figures(one)]
    return [value] if isinstance(value, (int, float)) else []


def test_a_form_has_lost_nothing_against_itself(tmp_path):
    result = compared(tmp_path, GOOD, GOOD)

    assert (result.drift_pt, result.drift_ci_pt, result.spread_pt) == (0, (0, 0), 0)
    assert (result.threshold.shift, result.threshold.interval) == (0, (0, 0))
    assert result.true_scores.distance == 0
    assert (result.changes.lost, result.changes.gained, result.changes.worst) == (0, 0, ())
    assert all(math.isfinite(figure) for figure in figures(asdict(result)))


def test_small_objects_that_vanish_show_by_size_and_by_class(tmp_path):
    blind = [[large] for _, large in GOOD]

    result = compared(tmp_path, GOOD, blind)

    assert [(one.name, one.boxes) for one in result.sizes] == [("small", 24), ("large", 24)]
    assert [one.loss.loss_pt for one in result.sizes] == pytest.approx([100, 0])
    assert (result.sizes[0].baseline, result.sizes[0].candidate) == pytest.approx((1, 0))
    assert [one.ap50_loss_pt for one in result.classes] == pytest.approx([100, 0])
    assert result.changes.missed == 24


def test_pressed_scores_leave_map_alone_and_show_everywhere_else(tmp_path):
    alarmed = [[*one, (40, 40, 60, 60, 0.4, 0), (40, 40, 60, 60, 0.4, 1)] for one in GOOD]
    pressed = [[(*row[:4], row[4] * 0.25, row[5]) for row in one] for one in alarmed]

    result = compared(tmp_path, alarmed, pressed)

    assert result.drift_pt == pytest.approx(0)
    assert result.threshold.shift < -0.25
    assert (result.deployed.baseline.recall, result.deployed.candidate.recall) == (1, 0)
    assert result.deployed.recall_loss.interval_pt == (100, 100)
    assert result.true_scores.distance == pytest.approx(0.85 * 0.75, abs=1e-6)
    assert (result.changes.kept, result.changes.lost, result.changes.missed) == (0, 96, 48)


def test_the_deployed_threshold_is_a_setting(tmp_path):
    pressed = [[(*row[:4], row[4] * 0.25, row[5]) for row in one] for one in GOOD]

    result = compared(tmp_path, GOOD, pressed, conf=0.1)

    assert result.deployed.conf == 0.1
    assert result.deployed.candidate.recall == 1
    assert result.changes.lost == 0


def test_the_worst_pictures_come_first_and_no_more_than_asked_for(tmp_path):
    worse = [*GOOD[:5], [], *GOOD[6:9], [GOOD[0][0]], *GOOD[10:20], [GOOD[0][0]], *GOOD[21:]]

    result = compared(tmp_path, GOOD, worse, worst=2)

    assert [(one.file, one.missed) for one in result.changes.worst] == [("5.jpg", 2), ("9.jpg", 1)]
    assert result.changes.pictures == 3


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        pytest.param([[(*SMALL, np.nan, 0)], *GOOD[1:]], "NaN or infinity", id="nan"),
        pytest.param([[(*SMALL, 0.5, 2)], *GOOD[1:]], "other classes than the 2", id="class"),
        pytest.param(GOOD[1:], "does not fit 24 validation pictures", id="pictures"),
    ],
)
def test_bad_detections_are_an_error_on_either_side(tmp_path, bad, what):
    for place, sides in enumerate(((GOOD, bad), (bad, GOOD))):
        (tmp_path / str(place)).mkdir()
        with pytest.raises(DataError, match=what):
            compared(tmp_path / str(place), *sides)


def test_without_pictures_there_is_nothing_to_compare(tmp_path):
    nothing = Detections(counts=np.zeros(0, np.int32), boxes=np.zeros((0, 6), np.float32))
    (tmp_path / "detections").mkdir()
    nothing.save(tmp_path / "detections")
    found = Artifact.of(tmp_path / "detections")
    inputs = CompareInputs(baseline=found, candidate=found, index=index_of(tmp_path / "index", []))

    with pytest.raises(DataError, match="of 0 pictures"):
        Compare().run(inputs, tmp_path / "out", no_progress)
