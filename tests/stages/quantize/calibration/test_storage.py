"""Storage: statistics survive their files, and nothing else is taken for them."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages.artifact import Artifact
from stages.quantize.calibration.statistics import BINS, Collector, Statistics
from stages.quantize.calibration.storage import FIGURES, RECORD, Origin, load_statistics, save_statistics
from targets.errors import DataError

ORIGIN = Origin(model="sha256:m", data="sha256:d", pictures=2)


def made() -> dict[str, Statistics]:
    random = np.random.default_rng(0)
    found = {}
    for name, shape in (("images", (1, 3, 8, 8)), ("flat", (5,)), ("a0", (1, 8, 4, 4))):
        collector = Collector()
        collector.add(random.normal(size=shape).astype(np.float32))
        found[name] = collector.finish()
    return {name: one for name, one in found.items() if one is not None}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("statistics")
    save_statistics(made(), ORIGIN, folder)
    return folder


def test_what_is_stored_is_what_is_loaded(stored: Path) -> None:
    loaded = load_statistics(Artifact(stored, ""))

    assert list(loaded) == ["images", "flat", "a0"]
    for name, one in made().items():
        figures = [(two.top, two.low, two.high, two.count) for two in (one, loaded[name])]
        assert figures[0] == figures[1]
        assert (one.counts == loaded[name].counts).all()
        assert (one.means == loaded[name].means).all()


def test_the_record_says_what_the_figures_are_of(stored: Path) -> None:
    assert json.loads((stored / RECORD).read_text()) == {
        "schema": 1, "model": "sha256:m", "data": "sha256:d", "pictures": 2, "bins": BINS,
        "tensors": ["images", "flat", "a0"],
    }  # fmt: skip


def test_the_same_statistics_give_the_same_bytes(stored: Path, tmp_path: Path) -> None:
    save_statistics(made(), ORIGIN, tmp_path)

    assert Artifact.of(tmp_path).digest == Artifact.of(stored).digest


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_file_that_was_cut_off_or_changed_is_refused_or_read_right(
    stored: Path, tmp_path: Path, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from([FIGURES, RECORD]))
    content = bytearray((stored / name).read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content = content[:place]
    else:
        content[place] ^= data.draw(st.integers(1, 255))
    for one in (FIGURES, RECORD):
        (tmp_path / one).write_bytes((stored / one).read_bytes())
    (tmp_path / name).write_bytes(content)

    try:
        loaded = load_statistics(Artifact(tmp_path, ""))
    except DataError as exc:
        assert exc.hint
    else:
        assert all((loaded[old].counts == one.counts).all() for old, one in made().items() if old in loaded)


def rewrite(folder: Path, stored: Path, **changed: np.ndarray) -> Artifact:
    (folder / RECORD).write_bytes((stored / RECORD).read_bytes())
    with np.load(stored / FIGURES) as figures:
        np.savez(folder / FIGURES, **{**figures, **changed})
    return Artifact(folder, "")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        pytest.param({"counts": np.zeros((3, 7))}, "counts of shape", id="other bins"),
        pytest.param({"tops": np.zeros(2)}, "tops of shape", id="fewer tensors"),
        pytest.param({"lows": np.array([np.nan, 0, 0])}, "lows of shape", id="not finite"),
        pytest.param({"counts": np.full((3, BINS), -1.0)}, "counts below 0", id="negative counts"),
        pytest.param({"tops": np.array([3.0, 1, 1])}, "no powers of two", id="another top"),
        pytest.param({"channels": np.array([3, 0, 9])}, "means of shape", id="means that do not fit"),
        pytest.param({"tops": np.array([object()] * 3)}, "allow_pickle", id="objects are never unpickled"),
        pytest.param({"tops": np.array(["a", "b", "c"])}, "could not convert", id="text"),
    ],
)
def test_figures_of_another_kind_are_refused(
    stored: Path, tmp_path: Path, changed: dict[str, np.ndarray], told: str
) -> None:
    with pytest.raises(DataError, match=told):
        load_statistics(rewrite(tmp_path, stored, **changed))


def test_a_plain_array_is_refused(stored: Path, tmp_path: Path) -> None:
    rewrite(tmp_path, stored)
    with (tmp_path / FIGURES).open("wb") as file:
        np.save(file, np.zeros(3))

    with pytest.raises(DataError, match="cannot be read as the statistics"):
        load_statistics(Artifact(tmp_path, ""))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        pytest.param({"schema": 2}, "format version 2; this program reads up to 1", id="newer"),
        pytest.param({"bins": 128}, "128 bins", id="other bins"),
        pytest.param({"tensors": ["images"]}, "of shape", id="other tensors"),
        pytest.param({"tensors": None}, "cannot be read as the statistics", id="no tensors"),
    ],
)
def test_a_record_of_another_kind_is_refused(
    stored: Path, tmp_path: Path, changed: dict[str, object], told: str
) -> None:
    rewrite(tmp_path, stored)
    record = json.loads((stored / RECORD).read_text())
    (tmp_path / RECORD).write_text(json.dumps({**record, **changed}))

    with pytest.raises(DataError, match=told):
        load_statistics(Artifact(tmp_path, ""))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        load_statistics(Artifact(tmp_path, ""))
