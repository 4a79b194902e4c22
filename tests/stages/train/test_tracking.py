"""Figures of training: as JSON lines, and in TensorBoard and MLflow where they are wanted."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.train import EpochMetrics, Tracking, Trained
from stages.train.tracking import METRICS, MetricStream, check_tracking, open_trackers
from targets.errors import EdgeboundError, UsageError

Run = Callable[..., Trained]


def epoch(number: int) -> EpochMetrics:
    return EpochMetrics(
        epoch=number, box_loss=1.0, cls_loss=2.0, dfl_loss=3.0, map50=None, map50_95=0.5, lr=0.01, seconds=1.0
    )


def lines(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]


def test_steps_and_epochs_are_lines_that_can_be_read_at_once(tmp_path: Path) -> None:
    stream = MetricStream(tmp_path)

    stream.steps(1, {"epoch": 1, "loss": 2.5})
    stream.epoch(epoch(1))

    first, second = lines(tmp_path)
    stream.close()
    assert first == {"step": 1, "epoch": 1, "loss": 2.5}
    assert second["map50_95"] == 0.5
    assert second["map50"] is None


def test_what_will_come_again_is_forgotten_and_so_is_half_a_line(tmp_path: Path) -> None:
    stream = MetricStream(tmp_path)
    for number in (1, 2, 3):
        stream.steps(number, {"epoch": number})
        stream.epoch(epoch(number))
    stream.close()
    with (tmp_path / METRICS).open("a") as file:
        file.write('{"step": 4, "ep')

    resumed = MetricStream(tmp_path)
    resumed.rewind(2)
    resumed.steps(3, {"epoch": 3})
    resumed.close()

    assert [line["epoch"] for line in lines(tmp_path)] == [1, 1, 2, 2, 3]


@pytest.mark.parametrize(
    ("tracking", "package"),
    [
        (Tracking(tensorboard="events"), "torch.utils.tensorboard"),
        (Tracking(mlflow="runs"), "mlflow.tracking"),
    ],
    ids=["tensorboard", "mlflow"],
)
def test_a_missing_extra_is_told_with_the_line_that_installs_it(
    tracking: Tracking, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(UsageError, match="is not installed") as caught:
        check_tracking(tracking)

    assert "pip install 'edgebound[" in caught.value.hint


def test_nothing_is_tracked_by_default() -> None:
    assert open_trackers(Tracking(), {}) == []


def test_a_folder_that_cannot_be_written_is_told_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(EdgeboundError, match="cannot be written"):
        open_trackers(Tracking(tensorboard=str(tmp_path / "file" / "events")), {})


@pytest.mark.slow
def test_training_shows_in_tensorboard_and_mlflow(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # no server is needed for it
    uri = (tmp_path / "mlruns").as_uri()
    tracking = Tracking(tensorboard=str(tmp_path / "events"), mlflow=uri)

    trained = run(tmp_path / "out", tracking=tracking)

    events = EventAccumulator(str(tmp_path / "events"))
    events.Reload()
    client = MlflowClient(tracking_uri=uri)
    (logged,) = client.search_runs([client.get_experiment_by_name("edgebound").experiment_id])
    losses = [metrics.box_loss for metrics in trained.epochs]
    assert [one.value for one in events.Scalars("epoch/box_loss")] == pytest.approx(losses)
    assert [one.step for one in events.Scalars("step/loss")] == [1, 2, 3, 4, 5, 6]
    assert logged.data.metrics["epoch/box_loss"] == pytest.approx(losses[-1])
    assert logged.data.params["epochs"] == "2"
    assert logged.info.status == "FINISHED"
    assert trained.metrics is not None
    assert [line["step"] for line in lines(trained.metrics.path) if "step" in line] == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
def test_a_tracking_server_that_goes_away_does_not_end_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    (tracker,) = open_trackers(Tracking(mlflow=(tmp_path / "mlruns").as_uri()), {})
    for run_folder in tmp_path.glob("mlruns/*/*/"):
        shutil.rmtree(run_folder)

    tracker.steps(7, {"loss": 1.0})
    tracker.epoch(epoch(1))
    tracker.close()

    assert tracker.lost.startswith("MLflow took no more figures from step 7 on: ")


def test_an_address_that_mlflow_does_not_know_is_told_before_training() -> None:
    with pytest.raises(EdgeboundError, match="MLflow cannot track at nowhere://") as caught:
        open_trackers(Tracking(mlflow="nowhere://"), {})

    assert "train.tracking.mlflow" in caught.value.hint
