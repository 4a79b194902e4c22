from collections.abc import Callable
from pathlib import Path

import pytest

from stages.artifact import Artifact
from stages.memory import Footprint, Memory, MemoryInputs
from stages.stage import no_progress

pytestmark = pytest.mark.slow  # they load torch

CheckpointOf = Callable[..., Artifact]


@pytest.fixture(scope="module")
def counted(checkpoint_of: CheckpointOf, tmp_path_factory: pytest.TempPathFactory) -> Footprint:
    inputs = MemoryInputs(checkpoint=checkpoint_of("yolov8n"))
    return Memory(imgsz=128, boxes=5).run(inputs, tmp_path_factory.mktemp("memory"), no_progress)


def test_weights_and_optimizer_are_four_bytes_a_value(counted: Footprint) -> None:
    assert counted.weights == 4 * counted.parameters
    assert counted.optimizer == 8 * counted.parameters  # two moments


def test_more_pictures_need_more(counted: Footprint) -> None:
    reserved = [need.reserved for need in counted.needs]

    assert reserved == sorted(reserved)
    assert all(need.allocated <= need.reserved for need in counted.needs)


def test_training_is_three_times_the_work_of_inference(
    counted: Footprint, checkpoint_of: CheckpointOf
) -> None:
    from stages.checkpoint import load_module
    from stages.gmac import count_macs

    macs = sum(count_macs(load_module(checkpoint_of("yolov8n")), side_px=128).values())

    # The first layer needs no gradient of the picture.
    assert sum(work.flop for work in counted.works) == pytest.approx(3 * 2 * macs, rel=0.03)


def test_two_recordings_tell_any_batch(checkpoint_of: CheckpointOf, small_yaml: Callable[..., str]) -> None:
    from stages.checkpoint import load_module
    from stages.memory.step import record_step
    from stages.memory.trace import _in_order, fit

    module = load_module(checkpoint_of("small", small_yaml()))
    two, four, six = (
        record_step(module, batch=batch, side_px=128, boxes=5, half=True) for batch in (2, 4, 6)
    )

    told = list(fit(two, four).at(6))

    assert told == list(_in_order(six.events))


def test_recordings_of_two_models_make_no_line(
    checkpoint_of: CheckpointOf, small_yaml: Callable[..., str]
) -> None:
    from stages.checkpoint import load_module
    from stages.memory.step import record_step
    from stages.memory.trace import fit
    from targets.errors import ModelError

    small = load_module(checkpoint_of("small", small_yaml()))
    other = load_module(checkpoint_of("deeper", small_yaml("Conv", 16, 3)))

    recorded = [record_step(one, batch=2, side_px=64, boxes=1, half=True) for one in (small, other)]

    with pytest.raises(ModelError, match="different work"):
        fit(recorded[0], recorded[1])


def test_the_fullest_picture_is_counted_with_three_more_in_a_mosaic(drawn: tuple[Artifact, Artifact]) -> None:
    from stages.memory.count import fullest

    index, _ = drawn

    assert (fullest(index, mosaic=False), fullest(index, mosaic=True)) == (1, 4)


@pytest.mark.parametrize(("optimizer", "values"), [("SGD", 1), ("AdamW", 2), ("MuSGD", 2), ("RMSprop", 2)])
def test_what_an_optimizer_keeps_is_what_ultralytics_makes_it_keep(
    optimizer: str, values: int, checkpoint_of: CheckpointOf, small_yaml: Callable[..., str]
) -> None:
    import torch

    from stages.checkpoint import load_module
    from stages.memory.count import optimizer_values
    from stages.yolo import DetectionTrainer

    module = load_module(checkpoint_of("small", small_yaml())).train()
    made = DetectionTrainer.build_optimizer(None, module, name=optimizer)
    for parameter in module.parameters():
        parameter.requires_grad_()
        parameter.grad = torch.zeros_like(parameter)
    made.step()

    kept = sum(
        tensor.numel()
        for state in made.state.values()
        for tensor in state.values()
        if torch.is_tensor(tensor)
    )
    assert optimizer_values(optimizer) == values
    assert kept / sum(parameter.numel() for parameter in module.parameters()) == pytest.approx(
        values, rel=0.03
    )


def test_the_stage_is_light_until_it_runs(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = "import sys, stages.memory; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.stdout.strip() == "False"
