"""Training whose pictures other processes load: what it gives, and what becomes of their deaths."""

import os
import signal
import time
from pathlib import Path

import pytest
import torch

from stages.train import loop, tuning
from stages.train.pictures import Pictures
from stages.train.trainer import Trainer
from targets.errors import EdgeboundError
from tests.stages.train.conftest import EXACT, HALF_A_STEP, Run

pytestmark = pytest.mark.slow  # they train


class WithWorkers(Trainer):
    """A trainer whose pictures two processes load; Ultralytics lets a CPU have none."""

    def __init__(self, *args):
        super().__init__(*args)
        self.args.workers = 2


@pytest.mark.parametrize(
    ("settings", "same"),
    [
        pytest.param({"overrides": {"mosaic": 0.0, **EXACT}}, True, id="without mosaic"),
        pytest.param({"cache": "ram"}, True, id="all pictures in memory"),
        pytest.param({}, False, id="mosaics are of what a process has loaded last"),
    ],
)
def test_the_number_of_processes_changes_mosaics_alone(
    large: Run, settings: dict[str, object], same: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = large("alone", **settings)
    monkeypatch.setattr(loop, "Trainer", WithWorkers)

    shared = large("shared", **settings)

    assert (shared.checkpoint.digest == alone.checkpoint.digest) == same
    assert shared.feeding is not None
    assert (shared.feeding.workers, shared.feeding.prefetch) == (2, 4)


def test_processes_and_batches_ahead_are_tried_where_there_may_be_some(
    large: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "Trainer", WithWorkers)
    monkeypatch.setattr(tuning, "TRIAL_S", 0.1)
    monkeypatch.setattr(tuning, "loading_cpus", lambda _trainer: 2)

    found = large("out", autotune_loader=True, overrides={"mosaic": 0.0, **EXACT}).feeding

    assert found is not None
    assert found.tuning is not None
    tried = [(one.workers, one.cache, one.prefetch) for one in found.tuning.trials]
    assert tried[:2] == [(2, "", 4), (1, "", 4)]
    assert {cache for _, cache, _ in tried} == {"", "disk", "resized", "ram"}
    assert all((one.img_s or 0) > 0 for one in found.tuning.trials)
    assert (found.workers, found.cache) == (found.tuning.after.workers, found.tuning.after.cache)


def test_processes_that_die_while_settings_are_tried_do_not_end_training(
    large: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Pictures.load_image

    def die(self: Pictures, *number: int, **more: bool):
        if torch.utils.data.get_worker_info() and "tuning" in str(self.link_files[0]):
            os.kill(os.getpid(), signal.SIGKILL)
        return load(self, *number, **more)

    monkeypatch.setattr(Pictures, "load_image", die)
    monkeypatch.setattr(loop, "Trainer", WithWorkers)

    found = large("out", autotune_loader=True).feeding

    assert found is not None
    assert found.tuning is not None
    tried = [one for one in found.tuning.trials if one.cache != "ram"]
    assert all(one.why_not.startswith("a process that loads pictures died") for one in tried)
    assert (found.workers, found.cache) == (2, "")


def test_pictures_that_processes_load_come_in_the_same_order_after_a_kill(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "Trainer", WithWorkers)
    settings = {"epochs": 4, "overrides": {"mosaic": 0.0, **HALF_A_STEP}}
    whole = run(tmp_path / "whole", **settings)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "pieces", **settings, stop_at=2.5)

    pieces = run(tmp_path / "pieces", **settings)

    assert pieces.checkpoint.digest == whole.checkpoint.digest


def test_a_loading_process_that_is_killed_is_told_as_that_and_training_can_go_on(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Murdered(WithWorkers):
        def _end_batch(self):
            super()._end_batch()
            if self.epoch == 1:
                os.kill(self.train_loader.iterator._workers[0].pid, signal.SIGKILL)
                time.sleep(0.2)

    monkeypatch.setattr(loop, "Trainer", Murdered)
    with pytest.raises(EdgeboundError, match=r"A process that loads pictures \(pid \d+\) died") as caught:
        run(tmp_path, epochs=3)
    monkeypatch.setattr(loop, "Trainer", WithWorkers)

    assert "killed by a signal (Killed)" in caught.value.what
    assert "train.workers lower" in caught.value.hint
    assert len(run(tmp_path, epochs=3).epochs) == 3
