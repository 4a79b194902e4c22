"""Prove: signature, files, outputs, latency; each refused where it does not hold."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from targets.board.identity import identify
from targets.detections import Detections, Times
from targets.errors import UsageError
from targets.kit import BoardWork
from targets.prove import Audit, Check, prove, worst
from targets.release.differ import differ
from targets.release.expected import Expected, ExpectedBox, ExpectedPicture, Tolerance
from targets.runtimes import find_runtime
from tests.targets.release.conftest import Shelf
from tests.targets.release.releases import KEY, NOW, STRANGER, Recipe, make_engine, some_facts

WORK = BoardWork(runs=60, seconds=1.0, warmup_runs=5, warmup_s=0.02)


def proven(shelf: Shelf, **changes: object) -> dict[str, Check]:
    audit = replace(Audit(shelf.device, KEY.policy(), NOW, WORK), **changes)  # type: ignore[arg-type]
    told: list[Check] = []
    checks = prove(audit, told.append)
    assert list(checks) == told
    return {check.name: check for check in checks}


def verdicts(shelf: Shelf, **changes: object) -> list[str]:
    return [check.verdict for check in proven(shelf, **changes).values()]


def test_a_release_that_is_what_it_was_passes(shelf: Shelf) -> None:
    shelf.release(shelf.recipe())
    shelf.pull()

    found = proven(shelf)

    assert [check.verdict for check in found.values()] == ["pass"] * 4, found
    assert "1 boxes on 2 pictures" in found["outputs"].said
    assert "up to 1500.00 ms" in found["latency"].said
    assert worst(list(found.values())) == "pass"


def test_an_engine_for_openvino_is_pulled_and_passes_as_well(shelf: Shelf, tmp_path: Path) -> None:
    engine = make_engine(tmp_path / "openvino" / "engine", "openvino")
    facts = some_facts(target="cpu", runtime="openvino", runtime_version=find_runtime("openvino").version())
    shelf.release(Recipe(engine, facts))

    assert shelf.pull().facts.target == "cpu"
    assert verdicts(shelf) == ["pass"] * 4


def test_a_signature_that_does_not_hold_ends_it(shelf: Shelf) -> None:
    shelf.release(shelf.recipe(expires="2026-12-01T00:00:00Z"))
    shelf.pull()

    assert list(proven(shelf, policy=STRANGER.policy())) == ["signature"]
    assert verdicts(shelf, policy=KEY.policy(until="2026-11-01T00:00:00Z")) == ["error"]
    assert "expired on 2026-12-01" in proven(shelf, now=NOW.replace(year=2027))["signature"].said


@pytest.mark.parametrize("name", ["engine/model.onnx", "proof/pictures/bright.png", "LICENSE"])
def test_a_file_that_was_changed_ends_it(shelf: Shelf, name: str, change: Callable[[Path], None]) -> None:
    shelf.release(shelf.recipe())
    change(shelf.pull().folder / name)

    assert verdicts(shelf) == ["pass", "error"]


def test_a_file_too_many_ends_it(shelf: Shelf) -> None:
    shelf.release(shelf.recipe())
    (shelf.pull().folder / "engine" / "extra.so").write_text("x")

    assert verdicts(shelf) == ["pass", "error"]


def test_another_answer_than_expected_is_refused(shelf: Shelf) -> None:
    def two_lamps(expected: Expected) -> Expected:
        bright, dark = expected.pictures
        there = ExpectedBox((1, 1, 9, 9), 0.9, 0)
        return replace(expected, pictures=(bright, replace(dark, boxes=(there,))))

    shelf.release(replace(shelf.recipe(), expected=two_lamps))
    shelf.pull()

    found = proven(shelf)

    assert found["outputs"].verdict == "refuse"
    assert "dark.png: missing: hole 0.90 at 1, 1, 9, 9" in found["outputs"].said
    assert worst(list(found.values())) == "refuse"


def test_without_pictures_or_latency_nothing_is_proven(shelf: Shelf) -> None:
    shelf.release(replace(shelf.recipe(), expected=lambda one: replace(one, pictures=(), p50_ms=None)))
    shelf.pull()

    assert verdicts(shelf) == ["pass", "pass", "inconclusive", "inconclusive"]


def test_a_slow_engine_is_refused_where_it_was_timed_and_proves_nothing_elsewhere(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = identify().host
    for sequence, host in enumerate(("0123456789ab", here), 100):
        recipe = shelf.recipe(sequence=sequence)
        shelf.release(replace(recipe, expected=lambda one, host=host: replace(one, p50_ms=1e-6, host=host)))
        shelf.pull()
        found = proven(shelf)["latency"]
        if host == here:
            monkeypatch.setattr("targets.prove._excuse", lambda *_: ("", ""))  # this machine may be busy
            assert proven(shelf)["latency"].verdict == "refuse"
        else:
            assert found.verdict == "inconclusive"
            assert "another kind of machine" in found.said


def test_what_is_no_release_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no release"):
        prove(Audit(tmp_path, KEY.policy(), NOW, WORK), lambda _: None)


def compare(expected: list[tuple[float, ...]], found: list[tuple[float, ...]], **more: object) -> list[str]:
    """Say how boxes differ: x, y, width, score, class."""

    def corners(box: tuple[float, ...]) -> tuple[float, float, float, float]:
        x, y, width = box[:3]
        return x, y, x + width, y + width

    usual = Expected(
        conf=0.25, iou=0.7, max_det=300, pictures=(), tolerance=Tolerance(), p50_ms=None, p99_ms=None,
        host="", device="",
    )  # fmt: skip
    boxes = np.array([[*corners(one), *one[3:]] for one in found], np.float32).reshape(-1, 6)
    wanted = tuple(ExpectedBox(corners(one), one[3], int(one[4])) for one in expected)
    seen = Detections(boxes, ("hole", "lamp"), Times(0, 0, 0))
    return list(differ(ExpectedPicture("a.png", wanted), seen, replace(usual, **more)))  # type: ignore[arg-type]


BOX = (10.0, 10.0, 100.0, 0.8, 0.0)


@pytest.mark.parametrize(
    ("expected", "found", "differences"),
    [
        ([BOX], [BOX], 0),
        ([BOX], [(11, 10, 100, 0.77, 0)], 0),
        ([BOX], [(40, 10, 100, 0.8, 0)], 2),  # elsewhere: one is missing, one is not expected
        ([BOX], [(10, 10, 100, 0.6, 0)], 2),  # another score
        ([BOX], [(10, 10, 100, 0.8, 1)], 2),  # another class
        ([BOX], [], 1),
        ([], [BOX], 1),
        ([BOX], [BOX, BOX], 1),  # twice
        ([BOX, BOX], [BOX], 1),
        ([(10, 10, 100, 0.27, 0)], [], 0),  # near the threshold it may be there or not
        ([], [(10, 10, 100, 0.29, 0)], 0),
        ([], [(10, 10, 100, 0.31, 0)], 1),
        ([(10, 10, 0, 0.8, 0)], [(10, 10, 0, 0.8, 0)], 0),  # no area
        ([], [], 0),
    ],
)
def test_boxes_are_matched_one_to_one_and_both_ways(
    expected: list[tuple[float, ...]], found: list[tuple[float, ...]], differences: int
) -> None:
    assert len(compare(expected, found)) == differences


def test_where_there_are_more_boxes_than_are_kept_the_weakest_may_differ() -> None:
    strong, weak, other = BOX, (200.0, 10.0, 50.0, 0.4, 0.0), (300.0, 10.0, 50.0, 0.41, 0.0)

    assert compare([strong, weak], [strong, other], max_det=2) == []
    assert len(compare([strong, weak], [strong, other], max_det=3)) == 2
