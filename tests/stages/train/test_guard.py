"""Losses that are no number, or far too large."""

import math

import pytest

from stages.train.guard import AMP_PATIENCE, EXPLOSION_PATIENCE, LossGuard
from targets.errors import EdgeboundError

FILES = tuple(f"{number}.jpg" for number in range(10))


def see(guard: LossGuard, *losses: float) -> None:
    for number, loss in enumerate(losses, 1):
        guard.see(loss, where=f"at batch {number}", files=FILES)


def test_a_loss_that_is_no_number_is_told_with_its_batch_and_its_pictures() -> None:
    with pytest.raises(EdgeboundError) as caught:
        see(LossGuard(mixed=False), 2.0, math.nan)

    assert caught.value.what == (
        "Training diverged: the loss is nan at batch 2."
        " The batch had 0.jpg, 1.jpg, 2.jpg, 3.jpg, 4.jpg, 5.jpg, 6.jpg, 7.jpg and 2 more."
    )
    assert "look at the labels of these pictures" in caught.value.hint


def test_a_scaler_gets_over_some_that_are_no_number() -> None:
    see(LossGuard(mixed=True), *(AMP_PATIENCE - 1) * [math.inf], 2.0, *(AMP_PATIENCE - 1) * [math.inf])


def test_a_scaler_that_does_not_get_over_them_stops_and_bf16_is_advised() -> None:
    with pytest.raises(EdgeboundError, match="the loss is inf at batch 10") as caught:
        see(LossGuard(mixed=True), *AMP_PATIENCE * [math.inf])

    assert "bf16 or fp32" in caught.value.hint


def test_a_loss_that_explodes_stops_training() -> None:
    with pytest.raises(EdgeboundError, match=r"over 100 times its usual 2 for 10 batches: 300 at batch 70"):
        see(LossGuard(mixed=False), *60 * [2.0], *EXPLOSION_PATIENCE * [300.0])


@pytest.mark.parametrize(
    "losses",
    [
        [*60 * [2.0], *(EXPLOSION_PATIENCE - 1) * [300.0], 2.0, *(EXPLOSION_PATIENCE - 1) * [300.0]],
        [*20 * [0.01], *60 * [50.0]],
        [1000.0 / step for step in range(1, 300)],
    ],
    ids=["some batches without objects", "a start that nothing is known of", "a loss that falls"],
)
def test_training_goes_on_with(losses: list[float]) -> None:
    see(LossGuard(mixed=False), *losses)
