from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from stages.prune.criteria import score
from stages.prune.cut import Prunable
from stages.prune.select import Rule

pytestmark = pytest.mark.slow  # they load torch

Detector = Callable[..., Any]
RULE = Rule(scope="layer", round_to=1, reference={})


@pytest.fixture
def module(detector: Detector, tiny: Callable[..., str]) -> Any:
    return detector("tiny", tiny("C2f", [16, True]))


def removed_of_first(module: Any, criterion: str, losses: Any = None) -> list[int]:
    """Give the channels of the first convolution that go when half of them do."""
    prunable = Prunable(module, side_px=64, skip_unknown=False)
    removed = prunable.by_ratio(0.5, prunable.scores(criterion, losses), RULE)
    return next(channels.tolist() for group, channels in removed.items() if group.name == "model.0.conv")


def test_magnitude_takes_the_channels_of_small_weights(module: Any) -> None:
    for part in (module.model[0].conv, module.model[1].conv):
        part.weight.data.fill_(1)
    module.model[0].bn.weight.data.fill_(1)
    module.model[0].conv.weight.data[[1, 3, 5, 7, 9, 11]] = 0.1  # what makes the channels
    module.model[1].conv.weight.data[:, [0, 2]] = 0.01  # what takes them

    assert removed_of_first(module, "magnitude") == [0, 1, 2, 3, 5, 7, 9, 11]


def test_bn_scale_looks_at_scales_alone(module: Any) -> None:
    module.model[0].bn.weight.data.fill_(1)
    module.model[0].bn.weight.data[:8] = -0.1
    module.model[0].conv.weight.data[:8] = 100

    assert removed_of_first(module, "bn_scale") == list(range(8))


def test_taylor_takes_the_channels_that_the_loss_does_not_feel(module: Any) -> None:
    module.model[1].conv.weight.data[:, 4:12] = 0  # nothing beyond feels them

    def losses(module: Any) -> Iterator[torch.Tensor]:
        for seed in range(2):
            images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(seed))
            yield module(images)[0].square().mean()

    assert removed_of_first(module, "taylor", losses) == list(range(4, 12))


def test_a_channel_is_worth_all_that_goes_with_it_in_its_own_place(module: Any) -> None:
    """A shortcut ties two layers, and the last one takes both."""
    prunable = Prunable(module, side_px=64, skip_unknown=False)
    group = next(
        group
        for group in prunable._graph.groups
        if "model.2.cv1.second.conv" in [prunable._names[member.layer] for member in group.members]
    )
    names = [prunable._names[member.layer] for member in group.members]

    scores = score(group, "magnitude", {})

    assert {"model.2.cv1.second.conv", "model.2.m.0.cv2.conv", "model.2.cv2.conv"} <= set(names)
    weights = prunable._module.model[2]
    wanted = torch.zeros(8)
    for conv in (weights.cv1.second, weights.m[0].cv2):
        wanted += conv.conv.weight.detach().square().sum((1, 2, 3)) + conv.bn.weight.detach().square()
    wanted += weights.m[0].cv1.conv.weight.detach().square().sum((0, 2, 3))
    taken = weights.cv2.conv.weight.detach().square().sum((0, 2, 3))
    wanted += taken[8:16] + taken[16:24]
    assert torch.allclose(scores, wanted / wanted.mean(), atol=1e-5)
