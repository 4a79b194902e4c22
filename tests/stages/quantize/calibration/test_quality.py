"""Quality: what a calibration set lacks is said in words."""

from collections.abc import Sequence

import numpy as np
import pytest

from stages.dataset import Dataset, Picture
from stages.quantize.calibration.quality import FEW, notes_on_pictures, notes_on_values
from stages.quantize.calibration.statistics import BINS, Statistics
from targets.model import InputSpec

SPEC = InputSpec(height=320, width=320)


def picture(name: str, *boxes: tuple[int, float], width: int = 320, height: int = 320) -> Picture:
    """Give a picture with boxes of a class and a side, as fraction of the picture."""
    rows = [[number, 0.5, 0.5, side, side] for number, side in boxes]
    return Picture(
        file=f"{name}.png",
        sha256=name,
        width=width,
        height=height,
        boxes=np.array(rows, np.float64).reshape(-1, 5),
        crowd=np.zeros(len(rows), np.bool_),
    )


def notes(chosen: Sequence[Picture], val: Sequence[Picture]) -> list[str]:
    dataset = Dataset(
        class_names=("bolt", "nut", "ring", "pin"),
        train=tuple(chosen),
        val=tuple(val),
        calibration=tuple(chosen),
    )
    return list(notes_on_pictures(dataset, chosen, SPEC))


def enough(*boxes: tuple[int, float]) -> list[Picture]:
    return [picture(f"train{number}", *boxes) for number in range(FEW)]


def test_a_set_like_val_is_not_talked_about() -> None:
    assert notes(enough((0, 0.2), (1, 0.05)), [picture("val", (0, 0.2), (1, 0.05))]) == []


def test_too_few_pictures_are_told() -> None:
    (told,) = notes(enough((0, 0.2))[1:], [picture("val", (0, 0.2))])

    assert told.startswith(f"Only {FEW - 1} pictures calibrate")


@pytest.mark.parametrize(
    ("val", "told"),
    [
        pytest.param([(1, 0.2)], "No calibration picture shows these classes of val: nut.", id="a class"),
        pytest.param(
            [(0, 0.05), (0, 0.5)],
            "No calibration picture has a small or a large box, in COCO's terms, but val has.",
            id="sizes",
        ),
    ],
)
def test_what_val_has_and_calibration_lacks_is_told(val: list[tuple[int, float]], told: str) -> None:
    assert notes(enough((0, 0.2)), [picture("val", *val)]) == [told]


def test_sizes_are_those_in_the_input_of_the_model() -> None:
    chosen = [picture(f"train{number}", (0, 0.2), width=640, height=640) for number in range(FEW)]

    assert notes(chosen, [picture("val", (0, 0.2), width=160, height=160)]) == []


def test_what_val_lacks_is_no_matter() -> None:
    assert notes(enough((0, 0.2), (1, 0.5)), [picture("val", (0, 0.2))]) == []


def test_pictures_that_are_in_val_too_are_told() -> None:
    chosen = enough((0, 0.2))

    (told,) = notes(chosen, [*chosen[:5], picture("val", (0, 0.2))])

    assert told.endswith("where they flatter: train0.png, train1.png, train2.png and 2 more.")


def statistics(low: float, high: float) -> Statistics:
    return Statistics(top=1.0, counts=np.zeros(BINS), low=low, high=high, count=1)


def test_what_is_the_same_all_over_is_told() -> None:
    seen = {"live": statistics(-1, 1), "dead": statistics(0, 0), "stuck": statistics(0.5, 0.5)}

    assert list(notes_on_values(seen, ["grey.png"])) == [
        "Calibration pictures of one colour, which say nothing: grey.png.",
        "Tensors that are 0 on all calibration pictures: dead.",
        "Tensors that have the same value everywhere on all calibration pictures: stuck.",
    ]


def test_of_values_that_differ_nothing_is_told() -> None:
    assert list(notes_on_values({"live": statistics(-1, 1)}, [])) == []
