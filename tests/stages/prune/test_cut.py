from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch

from stages.gmac import count_cost
from stages.prune.cut import Prunable
from stages.prune.rewrite import find_unknown
from stages.prune.select import Rule
from stages.widths import changed_widths
from stages.yolo import blocks
from targets.errors import UsageError

pytestmark = pytest.mark.slow  # they load torch

Detector = Callable[..., Any]
RULE = Rule(scope="layer", round_to=4, reference={})
BLOCKS = {
    "nn.ZeroPad2d": [[0, 1, 0, 1]],
    "Conv": [16, 3],
    "DWConv": [16, 3],
    "GhostConv": [16],
    "C1": [16],
    "C2": [16],
    "C2f": [16, True],
    "C3": [16],
    "C3x": [16],
    "C3Ghost": [16],
    "C3k2": [16, True],
    "RepC3": [16],
    "RepNCSPELAN4": [16, 16, 8, 1],
    "ELAN1": [16, 16, 8],
    "AConv": [16],
    "ADown": [16],
    "SPP": [16],
    "SPPF": [16, 5, 3, True],
    "SPPELAN": [16, 8],
    "BottleneckCSP": [16],
    "Bottleneck": [16],
    "GhostBottleneck": [16],
    "SCDown": [16, 3, 2],
    "C2fCIB": [16, True, True],
    "C2fPSA": [16],
    "C2PSA": [16],
    "PSA": [16],
    "A2C2f": [64, True, 4],
    "HGStem": [16, 16],
    "HGBlock": [16, 16, 3],
    "HGBlock of LightConv": [16, 16, 3, True],
    "ResNetLayer": [16, 4, 1, False, 2],
}


def answer(module: Any) -> torch.Tensor:
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return module(images)[0]


def cut(module: Any, ratio: float, *, skip_unknown: bool = False, rule: Rule = RULE) -> tuple[Any, float]:
    """Give the cut module, and the GMAC that were foretold."""
    prunable = Prunable(module, side_px=64, skip_unknown=skip_unknown)
    removed = prunable.by_ratio(ratio, prunable.scores("magnitude", None), rule)
    foretold = prunable.gmac_without(removed)
    return prunable.without(removed), foretold


@pytest.mark.parametrize("block", BLOCKS)
def test_every_block_is_cut_and_costs_what_was_foretold(
    block: str, detector: Detector, tiny: Callable[..., str]
) -> None:
    module = detector("tiny", tiny(block.partition(" ")[0], BLOCKS[block]))
    wanted = answer(module)

    cut_module, foretold = cut(module, 0.5)

    gmac = count_cost(cut_module, side_px=64).gmac
    assert gmac < 0.6 * count_cost(module, side_px=64).gmac
    assert gmac == pytest.approx(foretold, abs=1e-9)
    assert torch.isfinite(answer(cut_module)).all()
    assert [type(part) for part in cut_module.modules()] == [type(part) for part in module.modules()]
    assert torch.equal(answer(module), wanted)  # it was a copy that was cut


@pytest.mark.parametrize("block", ["C2f", "RepNCSPELAN4", "C2PSA", "ADown", "C3k2", "PSA"])
def test_channels_that_do_nothing_go_without_a_trace(
    block: str, detector: Detector, tiny: Callable[..., str]
) -> None:
    """Cutting channels that are always zero changes no answer, so the cut is where it says."""
    module = detector("tiny", tiny(block, BLOCKS[block]))
    prunable = Prunable(module, side_px=64, skip_unknown=False)
    removed = prunable.by_ratio(0.5, prunable.scores("magnitude", None), RULE)
    for group, channels in removed.items():
        for member in group.members:
            if isinstance(member.layer, torch.nn.BatchNorm2d):
                gone = member.channels[torch.isin(member.roots, channels)]
                member.layer.weight.data[gone] = 0
                member.layer.bias.data[gone] = 0
    silenced = answer(deepcopy(prunable._module))

    cut_module = prunable.without(removed)

    assert (answer(cut_module) - silenced).abs().max() < 1e-3 * silenced.abs().max()


def test_a_scaled_residual_is_cut_too(detector: Detector, tiny: Callable[..., str]) -> None:
    text = tiny("A2C2f", [64, True, 1, True], width=64)
    module = detector("tiny", text)
    module.model[2].gamma.data.copy_(torch.linspace(1, 2, 64))

    cut_module, foretold = cut(module, 0.5)

    assert isinstance(cut_module.model[2], blocks.A2C2f)
    assert 0 < len(cut_module.model[2].gamma) < 64
    assert count_cost(cut_module, side_px=64).gmac == pytest.approx(foretold, abs=1e-9)
    assert torch.isfinite(answer(cut_module)).all()


def test_attention_and_what_is_tied_to_it_keep_their_widths(detector: Detector) -> None:
    module = detector("yolo11n")

    cut_module, _ = cut(module, 0.5)

    changed = changed_widths(module, cut_module)
    assert not [name for name in changed if ".attn." in name]
    assert "model.10.cv1.conv" in changed  # its inputs
    assert cut_module.model[10].cv1.conv.out_channels == module.model[10].cv1.conv.out_channels
    assert "model.10.m.0.ffn.0.conv" in changed


def test_the_head_that_a_device_never_runs_is_not_cut(detector: Detector) -> None:
    module = detector("yolo26n")

    cut_module, _ = cut(module, 0.5)

    head, before = cut_module.model[-1], module.model[-1]
    assert head.cv2[0][0].conv.out_channels == before.cv2[0][0].conv.out_channels
    assert head.one2one_cv2[0][0].conv.out_channels < before.one2one_cv2[0][0].conv.out_channels


def test_predictions_keep_their_channels(detector: Detector) -> None:
    cut_module, _ = cut(detector("yolov8n"), 0.6)

    head = cut_module.model[-1]
    assert [branch[-1].out_channels for branch in head.cv2] == [64] * 3
    assert [branch[-1].out_channels for branch in head.cv3] == [3] * 3


def test_a_target_gmac_is_met_from_below_and_nearly(detector: Detector) -> None:
    module = detector("yolov8n")
    prunable = Prunable(module, side_px=64, skip_unknown=False)
    rule = Rule(scope="layer", round_to=8, reference={})

    removed = prunable.by_gmac(prunable.cost.gmac / 2, prunable.scores("magnitude", None), rule)

    gmac = count_cost(prunable.without(removed), side_px=64).gmac
    assert 0.97 * prunable.cost.gmac / 2 < gmac <= prunable.cost.gmac / 2


def test_a_target_gmac_out_of_reach_is_refused(detector: Detector) -> None:
    prunable = Prunable(detector("yolov8n"), side_px=64, skip_unknown=False)

    with pytest.raises(UsageError, match=r"target_gmac: 0\.0001` cannot be reached"):
        prunable.by_gmac(0.0001, prunable.scores("magnitude", None), RULE)


def test_a_module_of_the_users_own_is_named(
    detector: Detector, tiny: Callable[..., str], blocks: str
) -> None:
    module = detector("tiny", tiny("PlainAttention", []), (blocks,))

    with pytest.raises(UsageError, match=r"model\.2 \(shop_blocks\.layers\.PlainAttention\)") as caught:
        Prunable(module, side_px=64, skip_unknown=False)

    assert "prune.skip_unknown" in caught.value.hint


def test_a_stock_block_without_a_rewrite_is_named(detector: Detector, tiny: Callable[..., str]) -> None:
    module = detector("tiny", tiny("C3TR", [64]))

    assert find_unknown(module) == ["model.2"]
    with pytest.raises(UsageError, match=r"model\.2 \(ultralytics\.nn\.modules\.block\.C3TR\)"):
        Prunable(module, side_px=64, skip_unknown=False)


@pytest.mark.parametrize(("block", "args"), [("PlainAttention", []), ("ChannelGate", [16]), ("Wrapped", [])])
def test_what_nobody_knows_is_left_alone_if_asked(
    block: str, args: list[int], detector: Detector, tiny: Callable[..., str], blocks: str
) -> None:
    module = detector("tiny", tiny(block, args), (blocks,))

    cut_module, foretold = cut(module, 0.5, skip_unknown=True)

    assert type(cut_module.model[2]).__name__ == block
    assert cut_module.model[1].conv.out_channels == 16  # tied to it
    assert cut_module.model[0].conv.out_channels == 8
    assert torch.isfinite(answer(cut_module)).all()
    assert count_cost(cut_module, side_px=64).gmac == pytest.approx(foretold, abs=1e-9)


def test_a_head_of_the_users_own_is_left_alone_if_asked(
    detector: Detector, tiny: Callable[..., str], blocks: str
) -> None:
    text = tiny("C2f", [16]).replace("Detect", "UndecidedHead")
    module = detector("tiny", text, (blocks,))

    cut_module, _ = cut(module, 0.5, skip_unknown=True)

    assert cut_module.model[4].conv.out_channels == 32
    assert cut_module.model[0].conv.out_channels == 8
    assert torch.isfinite(answer(cut_module)).all()
