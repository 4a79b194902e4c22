"""Several processes that train one model, and what becomes of their crashes."""

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.artifact import Artifact
from stages.stage import no_progress
from stages.train import Train, TrainInputs
from stages.train.ranks import nodes_for
from targets.errors import EdgeboundError, UsageError

TWO_RANKS = {
    "epochs": 3,
    "imgsz": 64,
    "batch": 4,
    "device": "cpu",
    "ranks": 2,
    "overrides": {"close_mosaic": 1},
}
RANK = b"stages.train.rank\0"


def rank_processes(request: Path) -> list[int]:
    """Give the ranks of a request, without torchrun, which has their command in its own."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if RANK in words and str(request).encode() in words and b"torch.distributed.run" not in words:
            found.append(int(entry.name))
    return found


@pytest.mark.slow
def test_a_rank_that_is_killed_costs_nothing_but_time(
    drawn: tuple[Artifact, Artifact], small: Artifact, tmp_path: Path
) -> None:
    inputs = TrainInputs(index=drawn[0], pictures=drawn[1], weights=small)
    killed = []

    def kill_once(done: float, total: float, note: str = "") -> None:
        if done > 1.2 and not killed:
            killed.append(max(rank_processes(tmp_path / "killed" / "ranks" / "request.json")))
            os.kill(killed[0], signal.SIGKILL)

    results = {}
    for name, progress in (("whole", no_progress), ("killed", kill_once)):
        (tmp_path / name).mkdir()
        results[name] = Train(**TWO_RANKS).run(inputs, tmp_path / name, progress)

    assert killed
    assert results["killed"].checkpoint.digest == results["whole"].checkpoint.digest
    assert "A rank crashed 1 times" in " ".join(results["killed"].notes)
    assert rank_processes(tmp_path) == []


@pytest.mark.slow
def test_a_block_that_looks_at_its_own_ranks_batch_is_refused_before_training(
    drawn: tuple[Artifact, Artifact],
    small_yaml: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "batch_scaled.py").write_text(
        "import torch\n\n"
        "class BatchScaled(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        return x / x.abs().mean()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "scaled.yaml").write_text(small_yaml("BatchScaled"))
    weights = Artifact.of(tmp_path / "scaled.yaml")
    inputs = TrainInputs(index=drawn[0], pictures=drawn[1], weights=weights, modules=("batch_scaled",))
    (tmp_path / "out").mkdir()

    with pytest.raises(EdgeboundError, match="misaligned across ranks: with two, the gradient of model"):
        Train(**TWO_RANKS).run(inputs, tmp_path / "out", no_progress)

    assert not list(tmp_path.glob("out/snapshots/*.pt"))


def test_ranks_that_do_not_divide_into_the_nodes_are_refused() -> None:
    with pytest.raises(UsageError, match=re.escape("`train.ranks: 3` does not divide into the 2 nodes")):
        nodes_for(3, {"SLURM_JOB_NUM_NODES": "2"})


def test_without_slurm_there_is_one_node() -> None:
    assert nodes_for(3, {}) == 1
