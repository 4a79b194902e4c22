from collections.abc import Callable

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from stages.artifact import Artifact
from stages.checkpoint import load_module
from stages.gmac import copy_of, count_cost, count_macs

pytestmark = pytest.mark.slow  # they load torch

CheckpointOf = Callable[..., Artifact]


@pytest.mark.parametrize("family", ["yolov8n", "yolov9t", "yolov10n", "yolo11n", "yolo12n", "yolo26n"])
def test_gmac_is_what_torch_counts_operator_by_operator(family: str, checkpoint_of: CheckpointOf) -> None:
    module = load_module(checkpoint_of(family))

    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        copy_of(module).fuse(verbose=False)(torch.zeros(1, 3, 128, 128))

    assert count_cost(module, side_px=128).gmac == counter.get_total_flops() / 2e9


def test_gmac_agrees_with_thop(checkpoint_of: CheckpointOf) -> None:
    """It leaves attention out, so a model without it is asked."""
    import thop

    module = load_module(checkpoint_of("yolov8n"))
    macs, _ = thop.profile(copy_of(module).fuse(verbose=False), (torch.zeros(1, 3, 128, 128),), verbose=False)

    assert count_cost(module, side_px=128).gmac == pytest.approx(macs / 1e9, rel=0.01)


def test_counting_leaves_the_module_as_it_was(checkpoint_of: CheckpointOf) -> None:
    module = load_module(checkpoint_of("yolov8n"))
    wanted = {name: tensor.clone() for name, tensor in module.state_dict().items()}

    count_cost(module, side_px=128)
    count_macs(module, side_px=128)

    assert not module.is_fused()
    assert not any(part._forward_hooks for part in module.modules())
    assert wanted.keys() == module.state_dict().keys()
    assert all(torch.equal(wanted[name], tensor) for name, tensor in module.state_dict().items())


def test_cost_grows_with_the_picture_and_parameters_do_not(checkpoint_of: CheckpointOf) -> None:
    module = load_module(checkpoint_of("yolov8n"))

    small, large = (count_cost(module, side_px=side_px) for side_px in (64, 128))

    assert large.gmac == pytest.approx(4 * small.gmac)
    assert large.parameters == small.parameters


def test_parameters_are_those_of_the_fused_model(checkpoint_of: CheckpointOf) -> None:
    module = load_module(checkpoint_of("yolo26n"))

    parameters = count_cost(module, side_px=64).parameters

    assert parameters < 0.97 * sum(parameter.numel() for parameter in module.parameters())
