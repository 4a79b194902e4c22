"""Render: the demo data pass the checks of any other data set."""

from dataclasses import replace
from pathlib import Path

from stages.data import Data, DataInputs
from stages.data.render import Render, RenderInputs
from stages.stage import no_progress


def test_the_demo_passes_the_checks_and_is_the_same_each_time(tmp_path: Path) -> None:
    render = Render(train=12, val=12, size_px=160, seed=1)
    for name in ("a", "b", "out"):
        (tmp_path / name).mkdir()

    first = render.run(RenderInputs(), tmp_path / "a", no_progress)
    second = render.run(RenderInputs(), tmp_path / "b", no_progress)
    prepared = Data(path="data.yaml", imgsz=160).run(
        DataInputs(source=first.data), tmp_path / "out", no_progress
    )

    assert second.data == replace(first.data, path=tmp_path / "b" / "data")
    assert (prepared.train_pictures, prepared.val_pictures) == (12, 12)
    assert sum(vars(prepared.summary.duplicates).values()) == 0
