import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from pipeline.config import load_config
from pipeline.starter import write_starter
from targets.errors import DataError, UsageError


def start(data: Path, root: Path, weights: str = "yolo11n.pt") -> str:
    return write_starter(data, root, weights=weights, force=True).read_text()


def test_it_says_what_it_saw(project: Path) -> None:
    text = start(project / "steel" / "data.yaml", project)

    assert "# 12 training and 6 validation pictures, median long side 64 px" in text
    assert "classes: hole, scratch, stain." in text


def test_what_it_hints_at_are_the_defaults(project: Path) -> None:
    text = start(project / "steel" / "data.yaml", project)
    plain = load_config(None, [], demo=False, folder=project)

    head, body = text.split("\nmodel:")
    hinted = re.sub(r"^( *)# (?= *\w+:)", r"\1", f"model:{body}", flags=re.MULTILINE)
    (project / "pipeline.yaml").write_text(hinted)
    config = load_config(None, [], demo=False, folder=project)

    assert head.count("\n") == 3
    assert config.model.modules == ("my_blocks",)
    assert config.train.device == "0"
    assert config == replace(
        plain, model=config.model, train=replace(plain.train, device=config.train.device)
    )


@pytest.mark.parametrize("name", ["my models/a.pt", "yes", "1e3", "a: b #c.pt", "'quoted'.pt", "é.pt", "{x}"])
def test_names_of_weights_survive(project: Path, name: str) -> None:
    start(project / "steel" / "data.yaml", project, weights=name)

    assert load_config(None, [], demo=False, folder=project).model.weights == name


def test_the_data_set_is_found_from_the_project_wherever_it_lies(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "elsewhere" / "deep"
    root.mkdir(parents=True)
    monkeypatch.chdir(project)

    start(Path("steel/data.yaml"), root)
    path = load_config(None, [], demo=False, folder=root).data.path

    assert not os.path.isabs(path)  # noqa: PTH117
    assert (root / path).resolve() == project / "steel" / "data.yaml"


def test_class_names_cannot_break_the_comment(project: Path) -> None:
    data = project / "steel" / "data.yaml"
    record = yaml.safe_load(data.read_text())
    names = ["a\nmodel: {weights: evil.pt}", "b\r\u2028\x85c", "\x07"]
    data.write_text(yaml.safe_dump({**record, "names": names}))

    start(data, project)

    assert load_config(None, [], demo=False, folder=project).model.weights == "yolo11n.pt"


def test_a_file_that_is_there_stays_and_a_broken_data_set_writes_nothing(project: Path) -> None:
    before = (project / "pipeline.yaml").read_text()
    data = project / "steel" / "data.yaml"

    with pytest.raises(UsageError, match="is there already"):
        write_starter(data, project, weights="a.pt", force=False)
    data.write_text("names: [a]\n")
    with pytest.raises(DataError):
        write_starter(data, project, weights="a.pt", force=True)

    assert (project / "pipeline.yaml").read_text() == before
