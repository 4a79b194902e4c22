"""The parts of the training benchmark that work without a GPU."""

import json
import math

import pytest

pytestmark = pytest.mark.slow  # they load torch


def test_a_step_is_measured_with_each_lever_that_a_cpu_has() -> None:
    from benchmarks.training_cards import build_model
    from benchmarks.training_steps import Setting, measure

    module = build_model("yolov8n.yaml", classes=2)

    steps = [
        measure(module, Setting(precision="fp32", batch=1, imgsz=64, device="cpu", **lever), steps=1)
        for lever in ({}, {"channels_last": True, "fused": True})
    ]

    assert all(step.img_s > 0 and math.isnan(step.reserved_gib) for step in steps)


def test_without_a_gpu_its_keys_are_null_with_the_reason(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from benchmarks import training

    monkeypatch.setattr(training, "on_cpu", lambda _folder, *, turns: ([], {"cpu_overhead": 0.0 * turns}))
    monkeypatch.setattr(training, "loading", lambda _folder, *, sides: [{"sides": sides}])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    training.main(["--quick"])
    document = json.loads(capsys.readouterr().out.splitlines()[-1])

    assert document["ratios"] == {**dict.fromkeys(training.GPU_KEYS), "cpu_overhead": 0.0}
    assert document["missing"] == dict.fromkeys(training.GPU_KEYS, training.NO_GPU)


def test_time_is_taken_from_the_end_of_the_first_batch() -> None:
    from benchmarks.training_runs import Took

    took = Took(batch=8)
    took.end_batch()

    assert (took.wall_s, took.cpu_s) == (0.0, 0.0)

    took.end_batch()

    assert took.batches == 2
    assert took.img_s == 8 / took.wall_s
