"""Precisions of training, tried as far as a CPU can."""

import math
from pathlib import Path

import pytest
import torch

from stages.artifact import Artifact
from stages.stage import no_progress
from stages.train import PrecisionProbe, Train, TrainInputs
from stages.train.precisions import Mode, check_precision, fastest, make_step, set_tf32, tf32_kept, why_not
from stages.train.probe import Probe, Probed
from targets.errors import UsageError

CPU = torch.device("cpu")


def probed(precision: str, step_ms: float | None, loss_error: float | None = 0.0, **more) -> PrecisionProbe:
    return PrecisionProbe(precision=precision, step_ms=step_ms, loss_error=loss_error, **more)


@pytest.mark.parametrize(
    ("probes", "chosen"),
    [
        ([probed("fp32", 30.0), probed("tf32", 20.0), probed("fp16", 10.0), probed("bf16", 11.0)], "fp16"),
        ([probed("fp32", 30.0), probed("fp16", 10.0, overflows=1), probed("bf16", 11.0)], "bf16"),
        ([probed("fp32", 30.0), probed("fp16", 10.0, 0.05), probed("tf32", 20.0)], "tf32"),
        ([probed("fp32", 30.0), probed("fp16", 10.0, None)], "fp32"),
        ([probed("fp32", 30.0), probed("fp16", None, None, why_not="memory ran out")], "fp32"),
        ([probed("fp32", 10.0), probed("bf16", 12.0)], "fp32"),
    ],
    ids=["fastest", "overflows", "another loss", "a loss that is no number", "memory", "slower"],
)
def test_the_fastest_is_taken_that_agrees_with_fp32(probes: list[PrecisionProbe], chosen: str) -> None:
    assert fastest(probes) == chosen


def test_a_cpu_trains_in_fp32_alone() -> None:
    check_precision("auto", CPU)
    check_precision("fp32", CPU)

    for precision, reason in (("fp16", "fp16 needs an NVIDIA GPU"), ("bf16", "on an NVIDIA GPU alone")):
        with pytest.raises(UsageError, match=reason):
            check_precision(precision, CPU)
    assert why_not("bf16", CPU) == ""


def test_the_switches_of_tf32_are_as_they_were_after_training() -> None:
    before = torch.backends.cudnn.allow_tf32

    with tf32_kept():
        set_tf32(allowed=not before)
        inside = torch.backends.cudnn.allow_tf32

    assert (inside, torch.backends.cudnn.allow_tf32) == (not before, before)


class Line(torch.nn.Module):
    """As small as a model gets whose loss is made as Ultralytics makes it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)

    def forward(self, batch):
        return self.layer(batch["img"]).square().mean().reshape(1), {}


def test_a_step_of_the_probe_leaves_model_and_copy_as_they_are() -> None:
    model = Line()
    before = model.layer.weight.clone()
    step = make_step(model, Mode("fp32", "cpu"))
    batch = {"img": torch.ones(2, 4)}

    losses = [step(batch) for _ in range(3)]

    assert len(set(losses)) == 1
    assert torch.equal(model.layer.weight, before)


@pytest.mark.slow
def test_the_probe_measures_what_the_device_can_and_says_why_not_the_rest(
    drawn: tuple[Artifact, Artifact], small: Artifact, tmp_path: Path
) -> None:
    inputs = TrainInputs(index=drawn[0], pictures=drawn[1], weights=small)
    stage = Probe(train=Train(imgsz=64, batch=4, device="cpu"), steps=2)

    result = stage.run(inputs, tmp_path, no_progress)

    fp32, tf32, fp16, bf16 = result.precisions
    assert isinstance(result, Probed)
    assert (result.device, result.batch) == ("cpu", 4)
    assert (tf32.why_not, fp16.why_not) == ("tf32 needs an NVIDIA GPU", "fp16 needs an NVIDIA GPU")
    assert (fp32.loss_error, fp32.peak_mib) == (0.0, None)
    assert fp32.step_ms is not None
    assert fp32.img_s == pytest.approx(4000 / fp32.step_ms)
    assert bf16.loss_error is not None
    assert 0 < bf16.loss_error < 0.2
    assert math.isfinite(bf16.step_ms or math.nan)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_tries_all_precisions_and_trains_in_the_fastest(
    drawn: tuple[Artifact, Artifact], small: Artifact, tmp_path: Path
) -> None:
    inputs = TrainInputs(index=drawn[0], pictures=drawn[1], weights=small)

    trained = Train(epochs=2, imgsz=64, batch="auto", max_batch=8, device="0").run(
        inputs, tmp_path, no_progress
    )

    assert trained.precision == fastest(trained.probe)
    assert trained.memory is not None
    assert (trained.memory.reserved_mib or 0) > 0
    assert trained.batch <= 8
