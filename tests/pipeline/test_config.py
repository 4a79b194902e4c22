from pathlib import Path

import pytest

from pipeline.config import Config, ModelSection, load_config
from stages.data import Data
from stages.data.render import Render
from stages.train import Train
from targets.errors import ConfigError, UsageError

MINIMAL = "model: {weights: yolo11n.pt}\ndata: {path: data.yaml}\n"


def load(folder: Path, text: str, *settings: str) -> Config:
    (folder / "pipeline.yaml").write_text(text)
    return load_config(None, settings, demo=False, folder=folder)


def test_two_keys_are_enough(tmp_path: Path) -> None:
    config = load(tmp_path, MINIMAL)

    assert config == Config(model=ModelSection(weights="yolo11n.pt"), data=Data(path="data.yaml"))
    assert config.quantize.exclude == ("head",)
    assert config.build.precision == "auto"
    assert config.demo is None


def test_the_demo_brings_its_own(tmp_path: Path) -> None:
    config = load_config(None, [], demo=True, folder=tmp_path)

    assert config.demo == Render(train=2000, val=1000, size_px=128)
    assert config.model.weights == "yolo11n.yaml"
    assert config.train.overrides["nbs"] == 16
    assert config.gate == Config(model=config.model, data=config.data).gate


def test_the_demo_takes_settings_too(tmp_path: Path) -> None:
    settings = ["demo.train=8", "train.overrides.mosaic=0.5", "quantize.exclude=[]"]

    config = load_config(None, settings, demo=True, folder=tmp_path)

    assert config.demo == Render(train=8, val=1000, size_px=128)
    assert (config.train.overrides["mosaic"], config.train.overrides["nbs"]) == (0.5, 16)
    assert config.quantize.exclude == ()


def test_a_file_that_is_named_is_taken_in_place_of_the_one_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("model: {weights: b.pt}\ndata: {path: data.yaml}\n")
    (tmp_path / "pipeline.yaml").write_text(MINIMAL)

    config = load_config(tmp_path / "other.yaml", [], demo=False, folder=tmp_path)

    assert config.model.weights == "b.pt"


@pytest.mark.parametrize(
    ("text", "train"),
    [
        ("device: 0", Train(device="0")),
        ("device: cpu", Train(device="cpu")),
        ("batch: -1", Train(batch=-1)),
        ("epochs: 0", Train(epochs=0)),
        ("overrides: {mosaic: 0.0}", Train(overrides={"mosaic": 0.0})),
    ],
)
def test_values_at_the_edge_are_taken(tmp_path: Path, text: str, train: Train) -> None:
    assert load(tmp_path, f"{MINIMAL}train: {{{text}}}\n").train == train


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("train: {weights: a.pt}", "pipeline.yaml:3: train.weights follows model.weights; set that"),
        ("data: {imgsz: 96}", "pipeline.yaml:3: data.imgsz follows train.imgsz; set that"),
    ],
)
def test_what_follows_another_setting_cannot_be_set(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, f"{MINIMAL}{text}\n")

    assert caught.value.problems == [f"{tmp_path}/{problem}"]


@pytest.mark.parametrize("key", ["epochs", "model", "mosiac"])
def test_overrides_are_checked_before_anything_runs(tmp_path: Path, key: str) -> None:
    with pytest.raises(UsageError, match=rf"train\.overrides\.{key}"):
        load(tmp_path, f"{MINIMAL}train: {{overrides: {{{key}: 1}}}}\n")


def test_an_empty_file_is_told_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "")

    assert caught.value.problems == [
        f"{tmp_path}/pipeline.yaml: data: is missing",
        f"{tmp_path}/pipeline.yaml: model: is missing",
    ]
