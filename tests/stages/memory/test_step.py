"""The count on fake tensors against what PyTorch really allocates on a CPU."""

from collections.abc import Callable
from typing import Any

import pytest

from stages.artifact import Artifact

pytestmark = pytest.mark.slow  # they load torch

CheckpointOf = Callable[..., Artifact]
BATCH, SIDE_PX, BOXES = 2, 160, 5


def peak_of(events: Any) -> int:
    sizes: dict[int, int] = {}
    live = most = 0
    for key, size in events:
        live += size if size >= 0 else -sizes[key]
        sizes[key] = size
        most = max(most, live)
    return most


def real_step(module: Any) -> Any:
    """Give a function that trains `module` one step for real, in FP32."""
    import torch

    from stages.gmac import copy_of
    from stages.memory.step import draw_targets
    from stages.yolo import DEFAULT_CFG

    real = copy_of(module).train()
    real.args = DEFAULT_CFG
    criterion = real.init_criterion()
    for parameter in real.parameters():
        parameter.requires_grad_()
        parameter.grad = torch.zeros_like(parameter)
    targets = draw_targets(BATCH, BOXES)
    pictures = torch.zeros(BATCH, 3, SIDE_PX, SIDE_PX, dtype=torch.uint8)

    def step() -> None:
        criterion(real(pictures.float() / 255), targets)[0].sum().backward()

    step()  # what is made once, as anchors, is there then
    return step


@pytest.mark.parametrize("family", ["yolov8n", "yolo26n"])
def test_the_peak_is_what_pytorchs_profiler_sees(family: str, checkpoint_of: CheckpointOf) -> None:
    from torch.profiler import ProfilerActivity, profile

    from stages.checkpoint import load_module
    from stages.memory.step import record_step

    module = load_module(checkpoint_of(family))
    step = real_step(module)

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    changes = [
        event.nbytes() for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"
    ]
    real = max(sum(changes[:place]) for place in range(len(changes) + 1))
    counted = record_step(module, batch=BATCH, side_px=SIDE_PX, boxes=BOXES, half=False, workspaces=False)

    assert peak_of(counted.events) == pytest.approx(real, rel=0.05)


def test_all_that_autograd_saves_is_in_the_count(checkpoint_of: CheckpointOf) -> None:
    import torch

    from stages.checkpoint import load_module
    from stages.memory.step import record_step

    module = load_module(checkpoint_of("yolov8n"))
    step = real_step(module)
    saved: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        step()
    counted = record_step(module, batch=BATCH, side_px=SIDE_PX, boxes=BOXES, half=False, workspaces=False)

    assert sum(saved.values()) < peak_of(counted.events) < 1.5 * sum(saved.values())


def test_mixed_precision_takes_little_more_than_half(checkpoint_of: CheckpointOf) -> None:
    from stages.checkpoint import load_module
    from stages.memory.step import record_step

    module = load_module(checkpoint_of("yolov8n"))

    full, half = (
        peak_of(record_step(module, batch=2, side_px=320, boxes=BOXES, half=half).events)
        for half in (False, True)
    )

    assert 0.5 < half / full < 0.65


def test_the_model_is_left_as_it_was(checkpoint_of: CheckpointOf) -> None:
    import torch

    from stages.checkpoint import load_module
    from stages.memory.step import record_step

    module = load_module(checkpoint_of("yolov8n"))
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}

    record_step(module, batch=1, side_px=64, boxes=1, half=True)

    assert not module.training
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())


def test_a_model_that_decides_by_values_is_refused(
    checkpoint_of: CheckpointOf, small_yaml: Callable[..., str], blocks: str
) -> None:
    from stages.checkpoint import load_module
    from stages.memory.step import record_step
    from targets.errors import ModelError

    checkpoint = checkpoint_of("undecided", small_yaml("Undecided"), (blocks,))

    with pytest.raises(ModelError, match="cannot be told without running it"):
        record_step(load_module(checkpoint), batch=1, side_px=64, boxes=1, half=False)
