from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from stages.artifact import Artifact
from stages.checkpoint import load_module
from stages.gmac import count_gmac, count_parameters, count_places, deployed, fused_away, macs_of, shape_of
from stages.yolo import blocks

pytestmark = pytest.mark.slow  # they load torch

CheckpointOf = Callable[..., Artifact]


def attention_macs(module: Any) -> dict[str, int]:
    """Count what the two products of each attention cost, from the shapes that it gets."""
    macs: dict[str, int] = {}

    def note(name: str) -> Any:
        def hook(part: Any, args: Any, output: torch.Tensor) -> None:
            pixels = output.shape[2] * output.shape[3]
            if isinstance(part, blocks.AAttn):
                macs[name] = 2 * part.area * (pixels // part.area) ** 2 * part.head_dim * part.num_heads
            else:
                macs[name] = pixels**2 * (part.key_dim + part.head_dim) * part.num_heads

        return hook

    for name, part in module.named_modules():
        if isinstance(part, blocks.Attention | blocks.AAttn):
            part.register_forward_hook(note(name))
    with torch.no_grad():
        module(torch.zeros(1, 3, 128, 128))
    return macs


@pytest.mark.parametrize("family", ["yolov8n", "yolov9t", "yolov10n", "yolo11n", "yolo12n", "yolo26n"])
def test_gmac_is_the_sum_over_convolutions_and_attention(family: str, checkpoint_of: CheckpointOf) -> None:
    module = load_module(checkpoint_of(family))
    places = count_places(module, side_px=128)
    gone = {part for one in fused_away(module) for part in one.modules()}

    convolutions = sum(
        macs_of(part, shape_of(part), places=places[name])
        for name, part in module.named_modules()
        if isinstance(part, nn.Conv2d) and part not in gone and name in places
    )

    total = convolutions + sum(attention_macs(module).values())
    assert count_gmac(module, side_px=128) == pytest.approx(total / 1e9, rel=1e-9)


def test_gmac_agrees_with_thop(checkpoint_of: CheckpointOf) -> None:
    """thop leaves attention out, so a model without it is asked."""
    import thop

    module = load_module(checkpoint_of("yolov8n"))
    macs, _ = thop.profile(deployed(module), (torch.zeros(1, 3, 128, 128),), verbose=False)

    assert count_gmac(module, side_px=128) == pytest.approx(macs / 1e9, rel=0.01)


def test_counting_leaves_the_module_as_it_was(checkpoint_of: CheckpointOf) -> None:
    module = load_module(checkpoint_of("yolov8n"))
    wanted = {name: tensor.clone() for name, tensor in module.state_dict().items()}

    count_gmac(module, side_px=128)
    count_places(module, side_px=128)

    assert not module.is_fused()
    assert wanted.keys() == module.state_dict().keys()
    assert all(torch.equal(wanted[name], tensor) for name, tensor in module.state_dict().items())


def test_a_module_that_looks_at_values_is_counted_too(
    checkpoint_of: CheckpointOf, small_yaml: Callable[..., str], blocks: str
) -> None:
    module = load_module(checkpoint_of("undecided", small_yaml("Undecided"), (blocks,)))
    plain = load_module(checkpoint_of("plain", small_yaml()))

    assert count_gmac(module, side_px=64) == count_gmac(plain, side_px=64) > 0


def test_parameters_are_those_of_the_fused_model(checkpoint_of: CheckpointOf) -> None:
    module = load_module(checkpoint_of("yolo26n"))

    assert count_parameters(module) < 0.97 * sum(parameter.numel() for parameter in module.parameters())
