"""How far two gradients are apart."""

import math

import pytest
import torch

from stages.train.agreement import worst_of

ALONE = {"long": torch.tensor([3.0, 4.0]), "short": torch.tensor([0.0, 1e-6])}


@pytest.mark.parametrize(
    ("together", "worst", "error"),
    [
        pytest.param({}, "long", 0.0, id="the same"),
        pytest.param({"long": torch.tensor([3.0, 4.5])}, "long", 0.1, id="a part of its own length"),
        pytest.param({"short": torch.tensor([0.0, 5e-6])}, "short", 8e-4, id="noise of a tiny one"),
        pytest.param({"short": torch.tensor([0.0, 1.0])}, "short", 200.0, id="a tiny one that is not"),
        pytest.param({"short": torch.tensor([0.0, math.nan])}, "short", math.nan, id="no number"),
    ],
)
def test_the_tensor_that_is_furthest_off_is_named(
    together: dict[str, torch.Tensor], worst: str, error: float
) -> None:
    assert worst_of({**ALONE, **together}, ALONE) == (worst, pytest.approx(error, rel=1e-3, nan_ok=True))
