"""A cut module goes through our trainer, which trains the module that it is given."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from stages.artifact import Artifact
from stages.checkpoint import load_module, save_checkpoint
from stages.dataset import load_dataset
from stages.prune import Prune
from stages.prune.session import cut_in_steps
from stages.stage import no_progress
from stages.train import Train, TrainInputs
from stages.train.course import Job
from stages.train.session import take_best, train_rank
from stages.train.snapshots import Snapshots
from stages.train.start import Start
from stages.widths import changed_widths
from targets.model import load_model_spec

pytestmark = pytest.mark.slow  # they train


@pytest.mark.parametrize("family", ["yolov8n", "yolo26n"])
def test_a_cut_model_is_tuned_saved_and_loaded(
    family: str, checkpoint_of: Callable[..., Artifact], drawn: tuple[Artifact, Artifact], tmp_path: Path
) -> None:
    checkpoint = checkpoint_of(family)
    index, pictures = drawn
    cut = cut_in_steps(Prune(ratio=0.4, criterion="magnitude"), load_module(checkpoint), side_px=96)
    before = {name: tensor.clone() for name, tensor in cut.module.state_dict().items()}
    start = Start(cut.module, family=family, names=("hole", "scratch", "stain"), note="")

    job = Job(
        stage=Train(epochs=1, imgsz=64, batch=4, device="cpu", seed=0, workers=0),
        inputs=TrainInputs(index=index, pictures=pictures, weights=checkpoint),
        dataset=load_dataset(index),
        out=tmp_path / "train",
        progress=no_progress,
    )
    train_rank(job, start)
    state = take_best(start, Snapshots(tmp_path / "train" / "snapshots"), taught=False)
    save_checkpoint(
        cut.module,
        spec=load_model_spec(checkpoint.path),
        packages=(),
        folder=tmp_path / "tuned",
        provenance={"prune": {}},
    )

    tuned = load_module(Artifact.of(tmp_path / "tuned"))
    after = tuned.state_dict()
    assert state["finished"]
    assert not changed_widths(cut.module, tuned)
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before if name.endswith("conv.weight"))
