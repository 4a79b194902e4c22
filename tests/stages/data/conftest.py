"""A small data set to break."""

from pathlib import Path

import cv2
import numpy as np
import pytest

YAML = "train: images/train\nval: images/val\nnames: [bolt, nut]\n"


def write_picture(path: Path, seed: int, size: tuple[int, int] = (96, 128)) -> None:
    """Write blocks of colour, unlike those of any other seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    assert cv2.imwrite(str(path), cv2.resize(blocks, size[::-1], interpolation=cv2.INTER_CUBIC))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a data folder with 6 training and 3 validation pictures of 128 x 96, a bolt and a nut each."""
    root = tmp_path / "user"
    for split, seeds in (("train", range(6)), ("val", range(6, 9))):
        for seed in seeds:
            write_picture(root / "images" / split / f"{seed}.jpg", seed)
            label = root / "labels" / split / f"{seed}.txt"
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text("0 0.5 0.5 0.25 0.5\n1 0.25 0.25 0.125 0.25\n")
    (root / "data.yaml").write_text(YAML)
    return root
