from typing import Any

import pytest

from pipeline.gpus.size_up import asked_batch, compute_of, largest_side, memory_stage, parse_figures
from stages.train import Train
from targets.errors import UsageError

CARDS = ("a100", "t4")


def test_a_bare_number_is_for_all_cards_and_a_name_for_one() -> None:
    assert parse_figures(["2", "A100=3.5"], CARDS, "--price") == {"a100": 3.5, "t4": 2.0}


@pytest.mark.parametrize("text", ["cheap", "a100=", "a100=-1", "a100=nan", "a100=inf", "h100=2", "0"])
def test_a_figure_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="a number above 0 is expected") as caught:
        parse_figures([text], CARDS, "--price")

    assert caught.value.hint == "For example --price a100=2.5."


@pytest.mark.parametrize(
    ("amp", "compute"),
    [
        ("auto", "half"),
        (True, "half"),
        ("bf16", "half"),
        ("tf32", "tf32"),
        ("fp32", "fp32"),
        (False, "fp32"),
    ],
)
def test_precision_is_what_training_will_compute_in(amp: Any, compute: str) -> None:
    assert compute_of(Train(amp=amp)) == compute


def test_multi_scale_counts_with_the_largest_side_that_the_trainer_draws() -> None:
    import random

    imgsz, multi_scale, stride = 640, 0.5, 32
    low, high = int(imgsz * (1 - multi_scale)), int(imgsz * (1 + multi_scale) + stride)
    drawn = {random.randrange(low, high) // stride * stride for _ in range(20_000)}  # as Ultralytics does

    assert largest_side(imgsz, multi_scale) == max(drawn)
    assert largest_side(imgsz, 0.0) == imgsz


def test_without_mosaics_pictures_are_as_full_as_they_are() -> None:
    assert memory_stage(Train()).mosaic
    assert not memory_stage(Train(overrides={"mosaic": 0.0})).mosaic


@pytest.mark.parametrize(("batch", "asked"), [(16, 16), ("auto", 0), (-1, 0)])
def test_a_batch_that_is_to_be_found_is_not_asked_for(batch: Any, asked: int) -> None:
    assert asked_batch(Train(batch=batch)) == asked
