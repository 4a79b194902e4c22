"""Peek: what `pipeline init` needs to know."""

from pathlib import Path

import pytest

from stages.data.peek import Peek, peek
from targets.errors import DataError


def test_a_data_set_is_described(folder: Path) -> None:
    (folder / "images/train/0.jpg").write_text("broken")

    assert peek(folder / "data.yaml") == Peek(
        class_names=("bolt", "nut"), train_pictures=6, val_pictures=3, median_side_px=128
    )


def test_a_data_set_of_broken_pictures_is_refused(folder: Path) -> None:
    for file in (folder / "images/train").iterdir():
        file.write_text("broken")

    with pytest.raises(DataError, match="none of 6 pictures can be read"):
        peek(folder / "data.yaml")


def test_a_real_data_set_is_described(test_data: Path) -> None:
    assert peek(test_data / "bsdata" / "data.yaml") == Peek(
        class_names=("pitting",), train_pictures=311, val_pictures=82, median_side_px=640
    )
