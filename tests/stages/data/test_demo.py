from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from stages.data import demo
from stages.stage import no_progress

if TYPE_CHECKING:
    from pathlib import Path

SIZE_PX = 96


def rendered(out: Path, *, train: int = 12, val: int = 8, seed: int = 0) -> dict[str, bytes]:
    demo.render_demo(out, train=train, val=val, size_px=SIZE_PX, seed=seed, progress=no_progress)
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def drawn(count: int = 40) -> list[demo.Defect]:
    rngs = [np.random.default_rng(seed) for seed in range(count)]
    return [defect for rng in rngs for defect in demo.render_picture(SIZE_PX, rng)[1]]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    first = rendered(tmp_path / "first")

    assert rendered(tmp_path / "again") == first
    assert rendered(tmp_path / "other", seed=1) != first


def test_a_larger_set_begins_with_the_smaller_one(tmp_path: Path) -> None:
    small = rendered(tmp_path / "small")

    large = rendered(tmp_path / "large", train=20, val=9)

    assert len(large) == len(small) + 2 * (8 + 1)
    assert {name: large[name] for name in small} == small


def test_it_is_a_data_folder_that_can_be_moved(tmp_path: Path) -> None:
    files = rendered(tmp_path, train=2, val=1)

    assert files.pop("data.yaml").decode() == (
        "train: images/train\nval: images/val\nnames:\n  0: hole\n  1: scratch\n  2: stain\n"
    )
    assert sorted(files) == [
        "images/train/000000.jpg",
        "images/train/000001.jpg",
        "images/val/000000.jpg",
        "labels/train/000000.txt",
        "labels/train/000001.txt",
        "labels/val/000000.txt",
    ]


def test_no_picture_occurs_twice(tmp_path: Path) -> None:
    pictures = [content for name, content in rendered(tmp_path).items() if name.startswith("images")]

    assert len(set(pictures)) == len(pictures) == 20


def test_pictures_are_not_written_among_others(tmp_path: Path) -> None:
    rendered(tmp_path)

    with pytest.raises(FileExistsError):
        rendered(tmp_path, train=1)


def test_every_kind_of_defect_occurs_and_so_do_clean_pictures(tmp_path: Path) -> None:
    labels = [content for name, content in rendered(tmp_path, train=30).items() if name.startswith("labels")]

    kinds = {line.split()[0] for content in labels for line in content.splitlines()}
    assert kinds == {b"0", b"1", b"2"}
    assert b"" in labels


def test_a_box_goes_just_around_the_pixels_that_drawing_changes() -> None:
    for defect in drawn():
        grey = np.full((SIZE_PX, SIZE_PX, 3), 130.0)
        changed = (np.abs(defect.draw(grey) - grey) > 1).any(axis=2)
        rows, columns = np.nonzero(changed.any(axis=1))[0], np.nonzero(changed.any(axis=0))[0]

        assert defect.box_px() == (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)


def test_a_label_is_the_box_in_shares_of_the_picture() -> None:
    for defect in drawn():
        kind, *shares = demo.label_line(defect).split()
        x, y, width, height = (float(share) * SIZE_PX for share in shares)
        box = x - width / 2, y - height / 2, x + width / 2, y + height / 2

        assert int(kind) == defect.kind
        assert box == pytest.approx(defect.box_px(), abs=1e-3)
        assert min(box) >= -1e-3
        assert max(box) <= SIZE_PX + 1e-3
        assert min(width, height) >= demo.MIN_SIDE_PX - 1e-3
