"""Measure: candidates in turns, on pictures of the data set, from verified folders."""

import gc
import hashlib
import json
import math
import random
from datetime import datetime, timedelta, timezone
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import TypeAdapter

from stages.artifact import Artifact
from stages.dataset import Dataset, Picture, save_dataset
from stages.stage import no_progress
from stages.verify.measure import Measure, Measured, MeasureInputs
from targets.engine import write_manifest
from targets.errors import DataError, ModelError
from targets.latency import interval
from targets.model import InputSpec, ModelSpec
from targets.profile import TargetProfile
from targets.runtimes.null import NullRuntime

BRISK = Measure(runs=25, warmup=1, warmup_s=0.0)
PROFILE = TargetProfile(name="null", device="none", runtime="null")


def _engine(folder: Path) -> Artifact:
    folder.mkdir()
    ModelSpec(family="toy", class_names=("hole",), input=InputSpec(32, 32)).save(folder)
    NullRuntime().build(folder / "model.onnx", PROFILE, folder)
    write_manifest(folder, profile=PROFILE, precision="fp32", runtime_version="1")
    return Artifact.of(folder)


def _picture(folder: Path, index: int) -> Picture:
    file = folder / f"{index}.png"
    cv2.imwrite(str(file), np.full((20, 30, 3), index, np.uint8))
    return Picture(
        file=file.name,
        sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        width=30,
        height=20,
        boxes=np.zeros((0, 5)),
        crowd=np.zeros(0, bool),
    )


def _inputs(folder: Path, *, pictures: int) -> MeasureInputs:
    places = [folder / name for name in ("index", "pictures")]
    for place in places:
        place.mkdir()
    val = tuple(_picture(places[1], index) for index in range(pictures))
    save_dataset(Dataset(class_names=("hole",), train=(), val=val, calibration=()), places[0])
    return MeasureInputs(
        engines=(_engine(folder / "fp32"), _engine(folder / "int8")),
        index=Artifact.of(places[0]),
        pictures=Artifact.of(places[1]),
        profile=PROFILE,
        host="abc",
    )


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    folder = tmp_path_factory.mktemp("measured")
    return BRISK.run(_inputs(folder, pictures=3), folder / "out", no_progress)


def test_every_engine_gets_its_latency(measured: Measured) -> None:
    assert [latency.n for latency in measured.latencies] == [25, 25]
    assert all(0 < latency.p50 <= latency.p90 <= latency.p99 for latency in measured.latencies)
    assert len(measured.steady) == 2
    assert measured.host == "abc"
    age = datetime.now(timezone.utc) - datetime.fromisoformat(measured.measured_at)
    assert age < timedelta(minutes=1)


def test_end_to_end_takes_longer_than_inference_alone(measured: Measured) -> None:
    for alone, whole in zip(measured.latencies, measured.end_to_end, strict=True):
        assert whole.n == 25
        assert whole.p50 > alone.p50


def test_every_engine_is_started_in_a_process_of_its_own(measured: Measured) -> None:
    assert len(measured.starts) == 2
    for start in measured.starts:
        assert start.startup_ms > 0
        assert 10 < start.memory_mib < 400  # Python and numpy, not what this test has loaded


def test_result_survives_json(measured: Measured) -> None:
    adapter = TypeAdapter(Measured)

    assert adapter.validate_python(json.loads(adapter.dump_json(measured))) == measured


def test_garbage_is_collected_again_afterwards(measured: Measured) -> None:
    assert gc.isenabled()


def test_by_default_there_are_calls_enough_to_know_a_p99() -> None:
    chance = random.Random(0)
    samples = [chance.random() for _ in range(Measure().runs)]

    assert math.isfinite(interval(samples, 0.99)[1])


def test_engine_that_changed_since_it_was_built_is_not_measured(tmp_path: Path) -> None:
    inputs = _inputs(tmp_path, pictures=1)
    (inputs.engines[1] / "null.json").write_text('{"output_shape": [1, 1, 1]}')

    with pytest.raises(ModelError, match="not the file"):
        BRISK.run(inputs, tmp_path / "out", no_progress)


def test_without_validation_pictures_there_is_nothing_to_measure_with(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no validation picture"):
        BRISK.run(_inputs(tmp_path, pictures=0), tmp_path / "out", no_progress)
