"""Source: the digest changes with the data set and with nothing else, and asking is cheap."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stages.data import Data
from stages.data.source import anchor, find_source
from targets.errors import UsageError

YAML = "train: images/train\nval: images/val\nnames: [bolt, nut]\n"


def digest(folder: Path) -> str:
    return find_source(Data(path="data.yaml"), folder).digest


def test_an_untouched_folder_keeps_its_digest(folder: Path) -> None:
    before = digest(folder)
    (folder / "notes.md").write_text("not a part of the data set")

    assert digest(folder) == before


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda root: (root / "images/train/0.jpg").write_bytes(b"other"), id="picture changed"),
        pytest.param(lambda root: os.utime(root / "images/train/0.jpg", (1, 1)), id="picture touched"),
        pytest.param(lambda root: (root / "images/val/7.jpg").unlink(), id="picture gone"),
        pytest.param(lambda root: (root / "labels/val/7.txt").unlink(), id="label gone"),
        pytest.param(lambda root: (root / "labels/val/7.txt").write_text("0 0 0 0 0"), id="label changed"),
        pytest.param(
            lambda root: shutil.copy(root / "images/val/7.jpg", root / "images/val/x.PNG"), id="new picture"
        ),
        pytest.param(lambda root: (root / "data.yaml").write_text(f"{YAML}# x\n"), id="YAML changed"),
    ],
)
def test_any_change_changes_the_digest(folder: Path, change) -> None:
    before = digest(folder)
    change(folder)

    assert digest(folder) != before


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("", "`data.path` is not set."),
        ("missing.yaml", "There is no data set {}/missing.yaml."),
        ("images", "{}/images is neither a data YAML nor a COCO JSON."),
        ("coco8.zip", "{}/coco8.zip is neither a data YAML nor a COCO JSON."),
    ],
)
def test_no_data_set_is_a_usage_error(folder: Path, path: str, what: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_source(Data(path=path), folder)

    assert caught.value.what == what.format(folder)


def test_anchored_settings_hold_no_place(folder: Path, tmp_path: Path) -> None:
    anchored = anchor(Data(path="user/data.yaml", imgsz=320), tmp_path)

    assert anchored.source.path == folder
    assert anchored.data == Data(path="data.yaml", imgsz=320)


def test_a_source_behind_a_link_is_found_where_it_is(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)

    assert find_source(Data(path="link/data.yaml"), tmp_path) == find_source(Data(path="data.yaml"), folder)


def test_finding_a_source_loads_nothing_heavy(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from stages.data import Data; "
        "from stages.data.source import find_source; find_source(Data(path='data.yaml'), Path(sys.argv[1])); "
        "print({'cv2', 'numpy', 'pydantic', 'torch'} & sys.modules.keys())"
    )

    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"
