"""What the report says of training."""

from dataclasses import replace

import pytest
from sample_report import sample_run, sample_training

from pipeline.report.markdown import markdown
from pipeline.summary import show
from pipeline.training import describe_training, speed_up, training_line, tuning_sentence
from stages.artifact import Artifact
from stages.train import PeakMemory, Trained
from stages.train.figures import Feeding

FEEDING = Feeding(waiting_s=1, computing_s=9, workers=0, prefetch=0, cache="")


def trained(tmp_path, **more) -> Trained:
    checkpoint = Artifact(tmp_path, "sha256:0")
    return Trained(checkpoint=checkpoint, epochs=(), best_epoch=1, notes=(), **more)


def test_weights_that_were_taken_as_they_are_have_no_training(tmp_path) -> None:
    assert describe_training(trained(tmp_path, device="")) is None


def test_a_training_on_a_cpu_says_what_there_is(tmp_path) -> None:
    memory = PeakMemory(allocated_mib=None, reserved_mib=None, resident_mib=1536)
    given = {"batch": 16, "asked_batch": 16, "effective_batch": 64, "memory": memory, "feeding": FEEDING}

    training = describe_training(trained(tmp_path, device="cpu", precision="fp32", **given))

    assert training is not None
    assert speed_up(training) is None
    assert training_line(training) == (
        "device cpu, precision FP32, batch 16 (64 to an optimizer step), memory at its peak 1.5 GiB (main"
        " memory), waiting for pictures 10.0 % (of the time)"
    )


def test_speed_up_is_over_fp32_without_tf32() -> None:
    assert speed_up(sample_training()) == pytest.approx(268 / 96)
    assert speed_up(replace(sample_training(), probe=())) is None


def test_settings_of_loading_that_could_not_be_bettered_are_said_to_be_so() -> None:
    feeding = sample_training().feeding
    assert feeding is not None
    assert feeding.tuning is not None
    same = replace(feeding, tuning=replace(feeding.tuning, after=feeding.tuning.before))

    assert (
        tuning_sentence(same) == "3 settings of loading were tried, none faster than yours: 120 pictures/s."
    )
    assert tuning_sentence(FEEDING) == ""


def test_terminal_and_pull_request_say_it_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    show(sample_run())

    said = (
        "training: device cuda:0 (NVIDIA L4), precision FP16 (2.79 × FP32), batch 16 (memory ran out with 32"
    )
    assert said in capsys.readouterr().err
    assert "Training: device cuda:0 (NVIDIA L4), precision FP16 (2.79 × FP32)" in markdown(sample_run())
