"""`proof/expected.json`: what is written is read, and nothing else."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from targets.errors import ModelError
from targets.release.expected import (
    Expected,
    ExpectedBox,
    ExpectedPicture,
    Tolerance,
    dump,
    load,
    read_expected,
)

_share = st.floats(0, 1)
_side = st.floats(0, 1e4)
_boxes = st.builds(
    lambda x, y, w, h, score, class_id: ExpectedBox((x, y, x + w, y + h), score, class_id),
    _side, _side, _side, _side, _share, st.integers(0, 1000),
)  # fmt: skip
_all = st.builds(
    Expected,
    conf=_share,
    iou=_share,
    max_det=st.integers(1, 1000),
    pictures=st.lists(
        st.builds(
            ExpectedPicture,
            st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True),
            st.lists(_boxes, max_size=3).map(tuple),
        ),
        max_size=3,
        unique_by=lambda one: one.name,
    ).map(tuple),
    tolerance=st.builds(Tolerance, _share, _share, st.floats(1, 100)),
    p50_ms=st.none() | st.floats(1e-6, 1e6),
    p99_ms=st.none() | st.floats(1e-6, 1e6),
    host=st.text(max_size=9),
    device=st.text(max_size=9),
)
USUAL = Expected(
    conf=0.25, iou=0.7, max_det=300, tolerance=Tolerance(), p50_ms=2.0, p99_ms=None, host="", device="",
    pictures=(ExpectedPicture("a.png", (ExpectedBox((1, 2, 3, 4), 0.5, 0),)),),
)  # fmt: skip


@given(_all)
def test_what_is_written_is_read(expected: Expected) -> None:
    assert load(dump(expected), Path("expected.json")) == expected


@given(
    st.text() | st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists).map(json.dumps)
)
def test_anything_else_is_an_error_of_ours(text: str) -> None:
    with pytest.raises(ModelError):
        load(text, Path("expected.json"))


@pytest.mark.parametrize(
    "wrong",
    [
        replace(USUAL, conf=1.5),
        replace(USUAL, max_det=0),
        replace(USUAL, p50_ms=0.0),
        replace(USUAL, tolerance=Tolerance(iou=-1)),
        replace(USUAL, tolerance=Tolerance(latency_factor=0.5)),
        replace(USUAL, pictures=USUAL.pictures * 2),
        replace(USUAL, pictures=(ExpectedPicture("../a.png", ()),)),
        replace(USUAL, pictures=(ExpectedPicture("a/b.png", ()),)),
        replace(USUAL, pictures=(ExpectedPicture("a.png", (ExpectedBox((3, 2, 1, 4), 0.5, 0),)),)),
        replace(USUAL, pictures=(ExpectedPicture("a.png", (ExpectedBox((1, 2, 3, 4), 0.5, -1),)),)),
    ],
)
def test_what_cannot_be_is_refused(wrong: Expected) -> None:
    with pytest.raises(ModelError, match="says what cannot be"):
        load(dump(wrong), Path("expected.json"))


def test_it_is_missed_where_it_is_not(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"expected\.json"):
        read_expected(tmp_path)
