from typing import Any

import pytest

from pipeline.gpus.catalogue import Gpu, Tflops
from pipeline.gpus.predict import (
    CONTEXT_BYTES,
    EFFICIENCY,
    FILL,
    GIB,
    LAUNCH_S,
    Known,
    Placed,
    Task,
    largest_batch,
    needed_bytes,
    place,
    predicted_rate,
)
from stages.memory import Footprint, Need, Work

# A tenth of a GiB, and a tenth for each picture; half of the work bound by FLOP, half by traffic.
FOOTPRINT = Footprint(
    parameters=1_000_000,
    boxes=10,
    weights=4_000_000,
    optimizer=8_000_000,
    needs=tuple(
        Need(batch=batch, allocated=1, reserved=round(GIB * (0.1 + 0.1 * batch))) for batch in (1, 2, 8, 64)
    ),
    works=(Work(flop=0, traffic=1e9), Work(flop=100e9, traffic=1e6)),
    kernels=1000,
)


def card(**changes: Any) -> Gpu:
    facts = {
        "device": "A card",
        "usable_gib": 10.0,
        "bandwidth_gb_s": 1000.0,
        "tflops": Tflops(fp16=100, tf32=50, fp32=10),
        "sources": {},
    }
    return Gpu(**{**facts, **changes})


def placed(known: Known | None = None, gpu: Gpu | None = None, **changes: Any) -> Placed:
    facts = {"footprint": FOOTPRINT, "batch": 16, "pictures": 3600, "val_pictures": 0, "epochs": 10}
    return place(Task(**{**facts, **changes}), "card", gpu or card(), known or Known())


@pytest.mark.parametrize("batch", [1, 5, 16, 64, 200])
def test_memory_lies_on_the_line_between_counted_batches(batch: int) -> None:
    assert needed_bytes(FOOTPRINT, batch) == pytest.approx(CONTEXT_BYTES + GIB * (0.1 + 0.1 * batch))


def test_the_largest_batch_leaves_what_the_prediction_may_be_off() -> None:
    largest = largest_batch(FOOTPRINT, card())

    assert needed_bytes(FOOTPRINT, largest) <= FILL * 10 * GIB < needed_bytes(FOOTPRINT, largest + 1)


@pytest.mark.parametrize(
    ("batch", "fit", "taken", "accumulate"),
    [
        pytest.param(64, "yes", 64, 1, id="the nominal batch, on a large card"),
        pytest.param(16, "yes", 16, 4, id="a smaller one accumulates"),
        pytest.param(0, "yes", 64, 1, id="auto takes no more than the nominal batch"),
    ],
)
def test_what_fits(batch: int, fit: str, taken: int, accumulate: int) -> None:
    found = placed(gpu=card(usable_gib=20), batch=batch)

    assert (found.fit, found.batch, found.accumulate) == (fit, taken, accumulate)


def test_close_to_all_of_the_memory_is_tight() -> None:
    assert placed(gpu=card(usable_gib=10), batch=92).fit == "tight"


def test_what_does_not_fit_is_cut_and_accumulated() -> None:
    found = placed(gpu=card(usable_gib=2.05), batch=16)

    assert (found.fit, found.largest_batch, found.batch, found.accumulate) == ("smaller batch", 12, 12, 5)


def test_a_card_that_holds_not_even_one_picture_gets_no_rate() -> None:
    found = placed(gpu=card(usable_gib=0.5))

    assert (found.fit, found.largest_batch, found.rate_img_s, found.total_h) == ("no", 0, None, None)


def test_the_rate_is_the_roofline_of_each_group_of_kernels() -> None:
    a_picture = 1e9 / 1e12 + 100e9 / 100e12  # one bound by memory, one by FLOP

    rate = predicted_rate(Task(footprint=FOOTPRINT, batch=64), card(), 64)

    assert rate == pytest.approx(EFFICIENCY / a_picture)


def test_a_small_batch_on_a_fast_card_waits_for_its_kernels_to_be_launched() -> None:
    fast = card(bandwidth_gb_s=1e6, tflops=Tflops(fp16=1e6, tf32=1e6, fp32=1e6))

    rate = predicted_rate(Task(footprint=FOOTPRINT, batch=2), fast, 2)

    assert rate == pytest.approx(2 / (1000 * LAUNCH_S))


def test_tf32_is_fp32_where_a_card_has_none() -> None:
    old = card(tflops=Tflops(fp16=100, tf32=0, fp32=10))

    tf32, fp32 = (
        predicted_rate(Task(footprint=FOOTPRINT, batch=16, compute=compute), old, 16)
        for compute in ("tf32", "fp32")
    )

    assert tf32 == fp32


def test_hours_and_cost_follow_from_the_rate() -> None:
    found = placed(Known(rate_img_s=100, usd_per_hour=3))

    assert found.rate == "stated"
    assert found.epoch_h == pytest.approx(0.01)
    assert found.total_h == pytest.approx(0.1)
    assert found.usd == pytest.approx(0.3)


def test_validation_is_a_third_of_the_work_of_training() -> None:
    found = placed(Known(rate_img_s=100), pictures=3600, val_pictures=3600)

    assert found.epoch_h == pytest.approx(0.01 * 4 / 3)


def test_without_a_number_of_pictures_there_are_no_hours() -> None:
    found = placed(Known(usd_per_hour=3), pictures=0)

    assert found.rate_img_s
    assert (found.epoch_h, found.total_h, found.usd) == (None, None, None)
