"""Training that is killed goes on, and ends as training that was not."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from stages.artifact import Artifact
from stages.train.snapshots import Snapshots
from targets.errors import DiskFullError, ModelError
from tests.stages.train.conftest import HALF_A_STEP, Run

pytestmark = pytest.mark.slow  # they load torch, and train

KILLED = """
import os, signal, sys
from pathlib import Path
from stages.artifact import Artifact
from stages.stage import no_progress
from stages.train import Train, TrainInputs
index, pictures, weights = (Artifact.of(Path(path)) for path in sys.argv[1:4])
stage = Train(epochs=5, imgsz=64, batch=4, device="cpu", overrides={overrides!r})
inputs = TrainInputs(index=index, pictures=pictures, weights=weights)
trained = stage.run(inputs, Path(sys.argv[4]), {progress})
print(trained.checkpoint.digest)
"""
AT_BATCH = "lambda done, total, note='': done > {moment} and os.kill(os.getpid(), signal.SIGKILL)"


@pytest.mark.parametrize("accumulating", [False, True], ids=["a step a batch", "gradients summed up"])
def test_interrupted_training_ends_with_the_same_bytes(accumulating: bool, run: Run, tmp_path: Path) -> None:
    overrides = HALF_A_STEP if accumulating else {}
    whole = run(tmp_path / "whole", epochs=4, overrides=overrides)
    for stop_at in (0.4, 1.5, 3.1):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "pieces", epochs=4, overrides=overrides, stop_at=stop_at)

    pieces = run(tmp_path / "pieces", epochs=4, overrides=overrides)

    assert pieces.checkpoint.digest == whole.checkpoint.digest
    assert [epoch.box_loss for epoch in pieces.epochs] == [epoch.box_loss for epoch in whole.epochs]
    assert [epoch.lr for epoch in pieces.epochs] == [epoch.lr for epoch in whole.epochs]


def test_killed_training_ends_with_the_same_bytes(
    drawn: tuple[Artifact, Artifact], small: Artifact, run: Run, tmp_path: Path
) -> None:
    whole = run(tmp_path / "whole", epochs=5, overrides=HALF_A_STEP)
    paths = (drawn[0].path, drawn[1].path, small.path, tmp_path / "out")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def go_on(progress: str) -> subprocess.CompletedProcess[str]:
        code = KILLED.format(overrides=HALF_A_STEP, progress=progress)
        command = [sys.executable, "-c", code, *map(str, paths)]
        return subprocess.run(command, capture_output=True, text=True, env=environment)

    in_an_epoch = go_on(AT_BATCH.format(moment=1.5))
    at_its_end = go_on(AT_BATCH.format(moment=2.99))
    done = go_on("no_progress")

    assert (in_an_epoch.returncode, at_its_end.returncode) == (-signal.SIGKILL, -signal.SIGKILL)
    assert done.stdout.strip() == whole.checkpoint.digest, done.stderr


def test_weights_and_their_average_are_kept_in_full_precision(run: Run, tmp_path: Path) -> None:
    run(tmp_path)

    state = Snapshots(tmp_path / "snapshots").load()

    assert state is not None
    for tensors in (state["model"], state["ema"]):
        weight = tensors["model.0.conv.weight"]
        assert weight.dtype == torch.float32
        assert not torch.equal(weight, weight.half().float())


def test_snapshots_of_another_model_are_refused(
    run: Run, small_yaml: Callable[..., str], tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "out", stop_at=1.5)
    (tmp_path / "wider.yaml").write_text(small_yaml().replace("[32, 3, 2]", "[48, 3, 2]"))

    with pytest.raises(ModelError, match=r"are of another model: model\.5\.conv\.weight differs") as caught:
        run(tmp_path / "out", weights=Artifact.of(tmp_path / "wider.yaml"))

    assert "Remove that folder" in caught.value.hint


def test_a_full_disk_leaves_the_last_good_snapshot_and_training_goes_on_from_it(
    run: Run, tmp_path: Path
) -> None:
    whole = run(tmp_path / "whole", epochs=3)
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run(out, epochs=3, stop_at=1.5)
    keep = Snapshots._write

    def write(self: Snapshots, name: str, content: object) -> None:
        (self.folder / f"{name}.partial").symlink_to("/dev/full")
        keep(self, name, content)

    Snapshots._write = write  # type: ignore[method-assign]
    try:
        with pytest.raises(DiskFullError, match="the snapshot before this one is still there"):
            run(out, epochs=3)
    finally:
        Snapshots._write = keep  # type: ignore[method-assign]

    assert max(path.name for path in (out / "snapshots").iterdir()) == "epoch-00001.pt"
    assert run(out, epochs=3).checkpoint.digest == whole.checkpoint.digest
