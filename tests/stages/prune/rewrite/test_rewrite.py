from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import nn

from stages.prune.rewrite import Halves, ScaledA2C2f, WholeDown, fold, rewrite
from stages.yolo import blocks

BLOCKS = {
    "C2": lambda: blocks.C2(16, 16, n=2),
    "C2f": lambda: blocks.C2f(16, 24, n=2, shortcut=True),
    "C3k2": lambda: blocks.C3k2(16, 16, n=2),
    "C3k2 of C3k": lambda: blocks.C3k2(16, 16, n=1, c3k=True),
    "C3k2 with attention": lambda: blocks.C3k2(64, 64, n=1, attn=True),
    "C2fCIB": lambda: blocks.C2fCIB(16, 16, n=1, shortcut=True, lk=True),
    "C2fPSA": lambda: blocks.C2fPSA(64, 64, n=1),
    "C2PSA": lambda: blocks.C2PSA(128, 128, n=2),
    "PSA": lambda: blocks.PSA(128, 128),
    "RepNCSPELAN4": lambda: blocks.RepNCSPELAN4(16, 24, 16, 8, n=1),
    "ELAN1": lambda: blocks.ELAN1(16, 16, 16, 8),
    "ADown": lambda: blocks.ADown(16, 24),
    "A2C2f with a scaled residual": lambda: blocks.A2C2f(64, 64, n=1, residual=True),
}


@pytest.fixture(params=BLOCKS)
def block(request: pytest.FixtureRequest, shake: Any) -> nn.Sequential:
    torch.manual_seed(0)
    return shake(nn.Sequential(BLOCKS[request.param]()))


def answer(block: nn.Sequential) -> torch.Tensor:
    width = next(part.in_channels for part in block.modules() if isinstance(part, nn.Conv2d))
    width *= 2 if isinstance(block[0], blocks.ADown) else 1
    images = torch.randn(2, width, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return block(images)


def test_a_rewritten_block_answers_the_same(block: nn.Sequential) -> None:
    wanted = answer(block)

    rewrite(block)

    assert any(isinstance(part, Halves | WholeDown | ScaledA2C2f) for part in block.modules())
    assert (answer(block) - wanted).abs().max() <= 1e-5
    assert wanted.std() > 0.01


def test_a_folded_block_is_the_stock_block_again(block: nn.Sequential) -> None:
    wanted = answer(block)
    original = deepcopy(block)

    rewrite(block)
    fold(block)

    state, kept = original.state_dict(), block.state_dict()
    assert [type(part) for part in block.modules()] == [type(part) for part in original.modules()]
    assert state.keys() == kept.keys()
    assert all(torch.equal(state[name], kept[name]) for name in state)
    assert torch.equal(answer(block), wanted)
    assert all(parameter.requires_grad for parameter in block.parameters())


def test_halves_of_different_widths_do_not_fold() -> None:
    halves = Halves(blocks.C2f(16, 16).cv1)
    halves.second = Halves(blocks.C2f(16, 8).cv1).second

    with pytest.raises(AssertionError):
        halves.fold()
