from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.yaml_file import load_source, override, parse
from targets.errors import ConfigError, EdgeboundError, UsageError


@dataclass(frozen=True, kw_only=True)
class Train:
    epochs: int = 100
    imgsz: int = 640
    overrides: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Model:
    weights: str


@dataclass(frozen=True, kw_only=True)
class Toy:
    model: Model
    train: Train = field(default_factory=Train)


def read(folder: Path, text: str, *settings: str) -> Toy:
    file = folder / "pipeline.yaml"
    file.write_text(text)
    return parse(Toy, override(load_source(file), settings), hint="Look here.")


def problems(folder: Path, text: str, *settings: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(folder, text, *settings)
    return [problem.removeprefix(f"{folder}/") for problem in caught.value.problems]


def test_a_file_becomes_settings_with_defaults(tmp_path: Path) -> None:
    toy = read(tmp_path, "model: {weights: a.pt}\ntrain:\n  epochs: 3\n")

    assert toy == Toy(model=Model(weights="a.pt"), train=Train(epochs=3))


def test_all_problems_come_at_once_with_line_and_nearest_key(tmp_path: Path) -> None:
    text = "modell: {}\nmodel:\n  weights: a.pt\n  wieghts: b.pt\ntrain:\n  epochs: three\n  imgsz: [1]\n"

    assert problems(tmp_path, text) == [
        "pipeline.yaml:1: unknown key 'modell'; did you mean 'model'?",
        "pipeline.yaml:4: unknown key 'model.wieghts'; did you mean 'weights'?",
        (
            "pipeline.yaml:6: train.epochs: Input should be a valid integer, "
            "unable to parse string as an integer (got 'three')"
        ),
        "pipeline.yaml:7: train.imgsz: Input should be a valid integer (got [1])",
    ]


def test_a_missing_key_is_named_at_its_section(tmp_path: Path) -> None:
    assert problems(tmp_path, "\nmodel: {}\n") == ["pipeline.yaml:2: model.weights: is missing"]


def test_a_setting_on_the_command_line_wins_and_is_named_in_errors(tmp_path: Path) -> None:
    text = "model: {weights: a.pt}\ntrain: {epochs: 3}\n"

    assert read(tmp_path, text, "train.epochs=7", "train.overrides.lr0=0.1").train == Train(
        epochs=7, overrides={"lr0": 0.1}
    )
    assert problems(tmp_path, text, "train.epoch=7") == [
        "--set train.epoch=7: unknown key 'train.epoch'; did you mean 'epochs'?"
    ]


@pytest.mark.parametrize("setting", ["train.epochs", "epochs=3", "=3", ".a=3", "train.epochs=[3"])
def test_a_setting_of_another_form_is_refused(tmp_path: Path, setting: str) -> None:
    with pytest.raises(UsageError, match="--set"):
        read(tmp_path, "model: {weights: a.pt}\n", setting)


def test_broken_yaml_is_told_with_its_line(tmp_path: Path) -> None:
    assert problems(tmp_path, "model: {weights: a.pt}\ntrain: [\n")[0].startswith("pipeline.yaml:3: ")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load_source(tmp_path / "none.yaml")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80, deadline=None)
@given(
    text=st.one_of(
        st.text(max_size=60),
        st.recursive(
            st.none() | st.integers() | st.text(max_size=5),
            lambda inner: st.dictionaries(
                st.sampled_from(["model", "train", "weights", "epochs", "x"]), inner
            ),
        ).map(lambda value: __import__("yaml").safe_dump(value)),
    )
)
def test_any_text_is_settings_or_our_error(tmp_path: Path, text: str) -> None:
    try:
        file = tmp_path / "any.yaml"
        file.write_text(text, encoding="utf-8", errors="surrogatepass")
        parse(Toy, load_source(file), hint="")
    except EdgeboundError as exc:
        assert exc.code == 2
