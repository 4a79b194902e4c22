"""Labels: whatever is in the file, boxes come out, or problems with file and line."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.data.labels import collect, parse_labels

FILE = "labels/a.txt"


def numbers() -> st.SearchStrategy[str]:
    """Give words that may stand in a label file, or look as if they might."""
    return st.one_of(
        st.integers(-1, 4).map(str),
        st.floats(-0.1, 1.1).map(lambda value: f"{value:.4g}"),
        st.sampled_from(["nan", "inf", "-0", "1e400", "0_1", "٣", "bolt", "#", "\x00", "1e-320"]),
    )


LINES = st.lists(st.lists(numbers(), min_size=4, max_size=9).map(" ".join)).map("\n".join)


@settings(deadline=None)
@given(content=st.one_of(st.binary(), LINES.map(str.encode)))
def test_any_bytes_give_boxes_in_the_picture_or_problems_with_file_and_line(content: bytes) -> None:
    labels = parse_labels(content, FILE, 3)

    for problem in labels.problems:
        file, line, text = problem.split(":", 2)
        assert file == FILE
        assert 1 <= int(line) <= len(content) + 1
        assert text.strip()
    number, x, y, width, height = labels.boxes.T
    assert np.isin(number, [0, 1, 2]).all()
    assert (width > 0).all()
    assert (height > 0).all()
    for centre, size in ((x, width), (y, height)):
        assert (centre - size / 2 >= -1e-9).all()
        assert (centre + size / 2 <= 1 + 1e-9).all()


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("bolt 0.5 0.5 0.1 0.1", "'bolt' is not a number"),
        ("0 0.5 0.5 nan 0.1", "'nan' is not a finite number"),
        ("0 0.5 0.5 1e999 0.1", "'1e999' is not a finite number"),
        ("0 0.5 0.5 0_1 0.1", "'0_1' is not a number"),
        ("2 0.5 0.5 0.1 0.1", "class 2 is out of range; there are 2 classes, 0 to 1"),
        ("-1 0.5 0.5 0.1 0.1", "class -1 is out of range; there are 2 classes, 0 to 1"),
        ("0.5 0.5 0.5 0.1 0.1", "class 0.5 is not a whole number"),
        ("0 0.5 0.5 -0.1 0.1", "box of negative size, -0.1 x 0.1"),
        (
            "0 1.0 0.5 0.1 0.1",
            "box outside the picture, x from 0.95 to 1.05; fractions, 0 to 1, are expected",
        ),
        ("0 320 240 20 30", "box outside the picture, x from 310 to 330; fractions, 0 to 1, are expected"),
        (
            "0 0.5 0.5 0.1",
            "4 columns; a box has 5 (class, centre x and y, width, height), a polygon 7, 9, …",
        ),
        (
            "0 0.5 0.5 0.1 0.1 0.9",
            "6 columns; a box has 5 (class, centre x and y, width, height), a polygon 7, 9, …",
        ),
    ],
)
def test_a_wrong_line_is_named_with_its_number(line: str, problem: str) -> None:
    labels = parse_labels(f"0 0.5 0.5 0.1 0.1\n\n{line}\n".encode(), FILE, 2)

    assert labels.problems == (f"{FILE}:3: {problem}",)


def test_all_wrong_lines_are_named() -> None:
    labels = parse_labels(b"x 1 1 1 1\n0 0.5 0.5 0.1 0.1\n9 0.5 0.5 0.1 0.1\n", FILE, 2)

    assert [problem.split(":")[1] for problem in labels.problems] == ["1", "3"]


def test_what_is_not_text_is_named_with_its_line() -> None:
    labels = parse_labels(b"0 0.5 0.5 0.1 0.1\n\xff\xfe\n", FILE, 2)

    assert labels.problems == (f"{FILE}:2: not text: invalid start byte",)


def test_a_mark_of_byte_order_and_windows_lines_do_not_matter() -> None:
    labels = parse_labels(b"\xef\xbb\xbf0 0.5 0.5 0.1 0.1\r\n1.0 0.5 0.5 0.1 0.2\r\n", FILE, 2)

    assert labels.problems == ()
    assert labels.boxes.tolist() == [[0, 0.5, 0.5, 0.1, 0.1], [1, 0.5, 0.5, 0.1, 0.2]]


def test_a_polygon_becomes_the_box_around_it() -> None:
    labels = parse_labels(b"1 0.25 0.5 0.75 0.5 0.5 0.75 0.5 0.25\n", FILE, 2)

    assert labels.boxes.tolist() == [[1, 0.5, 0.5, 0.5, 0.5]]


def test_a_box_slightly_over_the_edge_is_clipped_and_counted() -> None:
    labels = parse_labels(b"0 0.0 0.5 0.016 0.5\n", FILE, 2)

    assert labels.boxes == pytest.approx(np.array([[0, 0.004, 0.5, 0.008, 0.5]]))
    assert (labels.clipped, labels.problems) == (1, ())


def test_a_box_inside_keeps_its_very_numbers() -> None:
    labels = parse_labels(b"0 0.3333333 0.1 0.2 0.2\n", FILE, 2)

    assert labels.boxes.tolist() == [[0, 0.3333333, 0.1, 0.2, 0.2]]


def test_empty_and_repeated_boxes_are_left_out_and_counted() -> None:
    labels = parse_labels(b"0 0.5 0.5 0 0.1\n" + 2 * b"0 0.5 0.5 0.1 0.1\n", FILE, 2)

    assert labels.boxes.tolist() == [[0, 0.5, 0.5, 0.1, 0.1]]
    assert (labels.empty, labels.repeated) == (1, 1)


def test_boxes_of_crowds_are_marked() -> None:
    rows = [("a", (5, 0.5, 0.5, 0.1, 0.1)), ("b", (0, 0.5, 0.5, 0.1, 0.1)), ("c", (0, 0.5, 0.5, 0.2, 0.2))]

    labels = collect(rows, 1, crowd=[False, True, False])

    assert labels.crowd.tolist() == [True, False]
