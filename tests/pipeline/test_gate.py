"""The gate: what passes, what is refused, what stays open, and what ships."""

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.gate import SEVERITY, Judgement, Terms, exit_code, judge, overall
from pipeline.ladder import ClassFigures, Failure, LatencyFigures, Released, Rung, RunReport, TargetResult
from pipeline.limits import Limits
from stages.evaluation.scores import (
    AtThreshold,
    Changes,
    Deployed,
    Loss,
    SizeLoss,
    ThresholdShift,
    TrueScores,
)
from targets.errors import EdgeboundError
from targets.profile import Budgets

NOW = datetime(2026, 5, 4, 12, tzinfo=timezone.utc)
NAN = math.nan
TERMS = Terms(now=NOW)


def rung(name: str, parent: str | None = None, **given: object) -> Rung:
    """Give a form that passes; `given` says what is special about it."""
    fields: dict[str, object] = {
        "form": "export", "precision": "fp32", "runtime": "onnxruntime", "candidate": False,
        "map50_95": 0.5, "map50": 0.7, "drift_pt": 0.0, "step_drift_pt": 0.0,
        "drift_ci_pt": (-0.05, 0.05), "step_drift_ci_pt": (-0.05, 0.05), "latency_ms": None,
        "size_bytes": 12_000_000, "host": "", "simulated": False, "cached": False, "f1_threshold": 0.4,
        "pictures": 1000, "classes": (hole(),),
    }  # fmt: skip
    return Rung(id=name, parent=parent, **{**fields, **given})


def hole(loss_pt: float = 0.0, ci: tuple[float, float] = (-1.0, 1.0), boxes: int = 300) -> ClassFigures:
    return ClassFigures(name="hole", ap50=0.7, ap50_95=0.5, ap50_loss_pt=loss_pt, ci=ci, boxes=boxes)


def timed(
    p50: float, p99: float = 9.0, n: int = 200, noise: str = "", ci: tuple[float, float] | None = None
) -> LatencyFigures:
    return LatencyFigures(p50=p50, p90=p50 * 1.1, p99=p99, n=n, noise=noise, p99_ci=ci or (p99, p99))


def loss(pt: float = 0.0, ci: tuple[float, float] = (-0.5, 0.5), spread: float = 0.25) -> Loss:
    return Loss(loss_pt=pt, interval_pt=ci, spread_pt=spread)


def size(name: str = "small", boxes: int = 300, **given: Loss) -> SizeLoss:
    return SizeLoss(name=name, boxes=boxes, baseline=0.5, candidate=0.5, **{"loss": loss(), **given})


def threshold(shift: float = 0.0, ci: tuple[float, float] = (-0.02, 0.02)) -> ThresholdShift:
    return ThresholdShift(baseline=0.4, candidate=0.4 + shift, shift=shift, interval=ci)


def deployed(*detections: int, **given: Loss | None) -> Deployed:
    """Give what is left at the deployed confidence; `detections` of the baseline and of the candidate."""
    before, after = detections or (400, 400)
    sides = {
        "baseline": AtThreshold(detections=before, precision=0.8, recall=0.7),
        "candidate": AtThreshold(detections=after, precision=0.8, recall=0.7),
    }
    return Deployed(conf=0.25, **sides, **{"precision_loss": loss(), "recall_loss": loss(), **given})


def changes(lost_share: Loss | None) -> Changes:
    return Changes(
        kept=392, lost=8, gained=3, missed=2, false_alarms=1, lost_share=lost_share, score_loss=0.0,
        pictures=9, worst=(),
    )  # fmt: skip


def scores(distance: float | None) -> TrueScores:
    return TrueScores(baseline=0.8, candidate=None if distance is None else 0.8, distance=distance)


def engine(precision: str, parent: str, *, p50: float, **given: object) -> Rung:
    fields = {"form": "build", "runtime": "openvino", "candidate": True, "precision": precision}
    timing = {"latency_ms": timed(p50), "measured_at": NOW.isoformat(), "host": "a1b2"}
    beyond_map = {
        "sizes": (size(),), "threshold": threshold(), "deployed": deployed(), "true_scores": scores(0.01),
        "changes": changes(loss(2.0, (1.0, 3.0))),
    }  # fmt: skip
    return rung(f"openvino-{precision}", parent, **{**fields, **timing, **beyond_map, **given})


def ladder(**special: dict[str, object]) -> tuple[Rung, ...]:
    """Give a whole ladder in which INT8 ships; `special` changes rungs by their name."""
    make = {
        "train": lambda more: rung("train", form="train", runtime="pytorch", **more),
        "onnx": lambda more: rung("onnx", "train", **more),
        "onnx8": lambda more: rung("onnx8", "onnx", **{"form": "quantize", "precision": "int8", **more}),
        "fp32": lambda more: engine("fp32", "onnx", **{"p50": 8.0, **more}),
        "int8": lambda more: engine("int8", "onnx8", **{"p50": 4.0, **more}),
    }
    return tuple(build(special.get(name, {})) for name, build in make.items())


def verdicts(judgement: Judgement) -> dict[str, str]:
    return {one.id: one.verdict for one in judgement.ladder}


# ------------------------------------------------------------------------------------ one form


@pytest.mark.parametrize(
    ("drift_pt", "ci", "verdict"),
    [
        pytest.param(0.4, (0.1, 0.7), "pass", id="whole interval within the limit"),
        pytest.param(-2.0, (-3.0, -1.0), "pass", id="better is never refused"),
        pytest.param(0.9, (0.6, 1.0), "pass", id="upper bound exactly at the limit"),
        pytest.param(0.9, (0.6, 1.2), "inconclusive", id="limit inside the interval"),
        pytest.param(1.1, (1.0, 1.2), "inconclusive", id="lower bound exactly at the limit"),
        pytest.param(3.2, (2.7, 3.8), "refuse", id="whole interval beyond the limit"),
        pytest.param(1.3, (0.2, 0.8), "inconclusive", id="estimate beyond its own interval"),
        pytest.param(0.9, (1.2, 1.5), "inconclusive", id="estimate below its own interval"),
        pytest.param(3.2, (NAN, NAN), "inconclusive", id="no interval"),
        pytest.param(NAN, (0.1, 0.7), "refuse", id="an estimate that is lost"),
        pytest.param(0.4, (NAN, 0.7), "refuse", id="an end of the interval that is lost"),
        pytest.param(NAN, (NAN, NAN), "inconclusive", id="nothing was measured"),
        pytest.param(0.4, (0.1, math.inf), "inconclusive", id="unbounded interval"),
    ],
)
def test_a_form_is_judged_by_both_ends_of_its_interval(
    drift_pt: float, ci: tuple[float, float], verdict: str
) -> None:
    judged = judge(ladder(onnx8={"step_drift_pt": drift_pt, "step_drift_ci_pt": ci}), TERMS)

    assert verdicts(judged)["onnx8"] == verdict


def test_a_refusal_says_value_interval_and_limit() -> None:
    judged = judge(ladder(onnx8={"step_drift_pt": 3.2, "step_drift_ci_pt": (2.7, 3.8)}), TERMS)

    reason = "step drift 3.20 pt (95 % interval 2.70 to 3.80), limit 1.00 pt"
    assert judged.ladder[2].reasons == (reason,)
    assert judged.ladder[4].reasons == (f"made from onnx int8: {reason}",)


def test_an_open_verdict_says_how_many_pictures_would_settle_it() -> None:
    drift = {"drift_pt": 0.5, "drift_ci_pt": (-1.5, 2.5), "drift_spread_pt": 1.0, "pictures": 120}

    judged = judge(ladder(int8=drift), TERMS)

    assert judged.ladder[4].reasons == (  # 120 · (2.8 · 1.0 / 1.0)²: stages.evaluation.power
        (
            "drift 0.50 pt (95 % interval -1.50 to 2.50), limit 1.50 pt: "
            "about 950 validation pictures would settle it, there are 120"
        ),
    )


def test_the_spread_of_an_older_report_is_told_by_its_interval() -> None:
    drift = {"drift_pt": 0.5, "drift_ci_pt": (0.5 - 1.96, 0.5 + 1.96), "pictures": 120}

    judged = judge(ladder(int8=drift), TERMS)

    assert "about 950 validation pictures" in judged.ladder[4].reasons[0]


def test_a_loss_right_at_the_limit_is_never_settled() -> None:
    judged = judge(ladder(int8={"drift_pt": 1.5, "drift_ci_pt": (1.0, 2.0)}), TERMS)

    assert (
        judged.ladder[4]
        .reasons[0]
        .endswith("no reasonable number of validation pictures would settle it, there are 1000")
    )


def test_figures_that_rounding_would_make_equal_get_more_digits() -> None:
    judged = judge(ladder(onnx={"step_drift_pt": 0.102, "step_drift_ci_pt": (0.101, 0.103)}), TERMS)

    assert judged.ladder[1].reasons == (
        "step drift 0.1020 pt (95 % interval 0.1010 to 0.1030), limit 0.1000 pt",
    )


@pytest.mark.parametrize(
    ("form", "precision", "limit_pt"),
    [
        ("export", "fp32", 0.1), ("build", "fp32", 0.1), ("export", "fp16", 0.3), ("build", "fp16", 0.3),
        ("quantize", "int8", 1.0), ("build", "int8", 1.0), ("prune", "fp32", 1.0), ("distill", "fp32", 1.0),
        ("train", "fp32", 1.5),
    ],
)  # fmt: skip
def test_each_step_has_its_limit(form: str, precision: str, limit_pt: float) -> None:
    assert Limits().step_limit_pt(rung("x", form=form, precision=precision)) == limit_pt


# ------------------------------------------------------------------------------------ one candidate


@pytest.mark.parametrize(
    ("special", "verdict", "reason"),
    [
        pytest.param(
            {"classes": (hole(9.0, (6.0, 12.0)),)},
            "refuse", "AP50 loss of hole 9.00 pt (95 % interval 6.00 to 12.00), limit 5.00 pt", id="lost",
        ),
        pytest.param(
            {"classes": (hole(NAN, (NAN, NAN), boxes=0),)},
            "inconclusive", "no box in the validation pictures: hole", id="no box",
        ),
        pytest.param({"classes": ()}, "inconclusive", "no class was evaluated", id="no class"),
        pytest.param(
            {"threshold": threshold(-0.15, (-0.19, -0.12))}, "refuse",
            "shift of the best threshold 0.15 (95 % interval 0.12 to 0.19), limit 0.10", id="pressed",
        ),
        pytest.param(
            {"threshold": threshold(-0.05, (-0.2, 0.04)), "pictures": 0}, "inconclusive",
            "shift of the best threshold 0.05 (95 % interval 0.00 to 0.20), limit 0.10", id="maybe pressed",
        ),
        pytest.param(
            {"threshold": None},
            "inconclusive", "shift of the best threshold was not measured, limit 0.10", id="no threshold",
        ),
        pytest.param(
            {"sizes": (size(loss=loss(30, (25, 36))),)}, "refuse",
            "mAP50-95 loss of small boxes 30.00 pt (95 % interval 25.00 to 36.00), limit 5.00 pt",
            id="small boxes lost",
        ),
        pytest.param(
            {"sizes": ()}, "inconclusive", "not all sizes of boxes were compared", id="no sizes"
        ),
        pytest.param(
            {"sizes": (size(boxes=299),)}, "inconclusive", "not all sizes of boxes were compared",
            id="a size is missing",
        ),
        pytest.param(
            {"true_scores": scores(0.4)},
            "refuse", "distance of right scores 0.40, limit 0.10", id="scores fell",
        ),
        pytest.param(
            {"true_scores": scores(None)}, "inconclusive",
            "distance of right scores was not measured, limit 0.10", id="nothing right",
        ),
        pytest.param(
            {"deployed": deployed(recall_loss=loss(9, (8, 10)))}, "refuse",
            "recall loss at confidence 0.25 9.00 pt (95 % interval 8.00 to 10.00), limit 5.00 pt",
            id="recall",
        ),
        pytest.param(
            {"deployed": deployed(precision_loss=loss(9, (8, 10)))}, "refuse",
            "precision loss at confidence 0.25 9.00 pt (95 % interval 8.00 to 10.00), limit 5.00 pt",
            id="precision",
        ),
        pytest.param(
            {"deployed": deployed(400, 0, precision_loss=None)}, "inconclusive",
            "the candidate detects nothing at the deployed confidence 0.25", id="silent candidate",
        ),
        pytest.param(
            {"deployed": deployed(0, 400, precision_loss=None)}, "inconclusive",
            "the baseline detects nothing at the deployed confidence 0.25", id="silent baseline",
        ),
        pytest.param(
            {"deployed": None}, "inconclusive",
            "detections at the deployed confidence were not compared", id="not compared",
        ),
        pytest.param(
            {"changes": changes(loss(30, (25, 35)))}, "refuse",
            "detections lost at confidence 0.25 30.00 pt (95 % interval 25.00 to 35.00), limit 20.00 pt",
            id="detections lost",
        ),
        pytest.param(
            {"map50_95": NAN}, "refuse", "a figure of mAP50-95 is lost: what was measured with it is there",
            id="lost mAP",
        ),
        pytest.param({"map50_95": 1.5}, "inconclusive", "mAP50-95 1.500 is no fraction", id="nonsense mAP"),
        pytest.param({"latency_ms": None}, "inconclusive", "latency was not measured", id="not timed"),
        pytest.param(
            {"latency_ms": timed(NAN)}, "refuse",
            "a figure of latency is lost: what was measured with it is there", id="lost p50",
        ),
        pytest.param(
            {"simulated": True}, "inconclusive", "simulated: not measured on the device itself", id="double"
        ),
        pytest.param(
            {"measured_at": (NOW - timedelta(hours=30)).isoformat()},
            "inconclusive", "latency is stale: 30.0 h old, limit 24.0 h", id="stale",
        ),
        pytest.param(
            {"measured_at": "2026-05-05T12:00:00Z"},
            "inconclusive", "latency was measured in the future (2026-05-05T12:00:00Z): a clock is wrong",
            id="from the future",
        ),
        pytest.param(
            {"measured_at": None}, "inconclusive", "when the latency was measured is not known", id="undated"
        ),
        pytest.param(
            {"measured_at": "today"}, "inconclusive", "when the latency was measured is not known", id="today"
        ),
    ],
)  # fmt: skip
def test_a_candidate_needs_all_its_evidence(special: dict[str, object], verdict: str, reason: str) -> None:
    judged = judge(ladder(int8=special), TERMS).ladder[4]

    assert (judged.verdict, judged.reasons[0]) == (verdict, reason)


def test_a_class_that_only_the_baseline_was_asked_about_is_missing() -> None:
    both = (hole(), replace(hole(), name="rust"))

    judged = judge(ladder(train={"classes": both}, onnx={"classes": both}), TERMS)

    assert judged.ladder[4].reasons == ("classes not evaluated: rust",)


def test_many_absent_classes_make_one_reason() -> None:
    absent = tuple(replace(hole(NAN, (NAN, NAN), boxes=0), name=f"c{n}") for n in range(80))

    judged = judge(ladder(int8={"classes": (hole(), *absent)}), TERMS)

    reason = "no box in the validation pictures: c0, c1, c2, c3, c4, c5, c6, c7 and 72 more"
    assert judged.ladder[4].reasons == (reason,)


def test_dates_with_z_and_without_a_zone_are_utc() -> None:
    for date in ("2026-05-04T11:00:00Z", "2026-05-04T11:00:00", "2026-05-04T13:00:00+02:00"):
        judged = judge(ladder(int8={"measured_at": date}), TERMS)

        assert judged.ladder[4].verdict == "pass"


@pytest.mark.parametrize(
    ("budgets", "special", "verdict", "reasons"),
    [
        (Budgets(p99_ms=10), {}, "pass", ()),
        (Budgets(p99_ms=8), {}, "refuse", ("p99 9.00 ms (95 % interval 9.00 to 9.00), limit 8.00 ms",)),
        (Budgets(p99_ms=10), {"latency_ms": timed(4.0, ci=(8.0, 11.0))}, "inconclusive",
         ("p99 9.00 ms (95 % interval 8.00 to 11.00), limit 10.00 ms",)),
        (Budgets(p99_ms=10), {"latency_ms": timed(4.0, ci=(8.5, NAN))}, "inconclusive",
         ("p99 9.00 ms (95 % interval 8.50 to inf), limit 10.00 ms",)),
        (Budgets(p99_ms=8), {"latency_ms": timed(4.0, ci=(8.5, NAN))}, "refuse",
         ("p99 9.00 ms (95 % interval 8.50 to inf), limit 8.00 ms",)),
        (Budgets(p99_ms=8), {"latency_ms": timed(4.0, noise="0.4 of its runs took twice as long")},
         "inconclusive", ("p99 cannot be believed: 0.4 of its runs took twice as long",)),
        (Budgets(p99_ms=10), {"latency_ms": timed(4.0, p99=NAN)}, "inconclusive",
         ("p99 was not measured, limit 10.00 ms",)),
        (Budgets(p99_ms=10), {"latency_ms": timed(4.0, n=20)}, "inconclusive",
         ("20 timed runs, a p99 needs 100",)),
        (Budgets(memory_mib=512), {}, "inconclusive", ("memory was not measured, limit 512.00 MiB",)),
        (Budgets(memory_mib=512), {"memory_mib": 600.0}, "refuse", ("memory 600.00 MiB, limit 512.00 MiB",)),
    ],
)  # fmt: skip
def test_budgets_of_the_target_hold_for_candidates(
    budgets: Budgets, special: dict[str, object], verdict: str, reasons: tuple[str, ...]
) -> None:
    judged = judge(ladder(int8=special), replace(TERMS, budgets=budgets)).ladder[4]

    assert (judged.verdict, judged.reasons) == (verdict, reasons)


@pytest.mark.parametrize(
    ("map50_95", "reason"),
    [
        (
            0.0,
            "the baseline finds nothing (mAP50-95 0.000): it has nothing to lose, so no drift means anything",
        ),
        (NAN, "mAP50-95 was not measured"),
    ],
)
def test_without_a_baseline_nothing_is_proven(map50_95: float, reason: str) -> None:
    judged = judge(ladder(train={"map50_95": map50_95}), TERMS)

    assert judged.verdict == "inconclusive"
    assert judged.reasons == (f"pytorch fp32: {reason}",)
    assert verdicts(judged)["openvino-int8"] == "inconclusive"


# ------------------------------------------------------------------------------------ what ships


def test_the_fastest_passing_candidate_ships_and_the_others_say_why_not() -> None:
    judged = judge(ladder(), TERMS)

    assert judged.verdict == "pass"
    assert judged.ships is not None
    assert judged.ships.id == "openvino-int8"
    assert judged.reasons == (
        "openvino int8 ships: p50 4.00 ms, drift 0.00 pt",
        "openvino fp32: passes, but is slower: p50 8.00 ms against 4.00 ms of openvino int8",
    )


def test_int8_must_earn_its_place() -> None:
    judged = judge(ladder(int8={"p50": 7.5}), TERMS)

    assert judged.reasons == (
        "openvino fp32 ships: p50 8.00 ms, drift 0.00 pt",
        (
            "openvino int8: passes, but is only 1.067 times as fast: "
            "p50 7.50 ms against 8.00 ms of openvino fp32, limit 1.10"
        ),
    )


@pytest.mark.parametrize(("p50", "ships"), [(8.0 / 1.1, "openvino-int8"), (8.0 / 1.099, "openvino-fp32")])
def test_ten_percent_is_enough(p50: float, ships: str) -> None:
    judged = judge(ladder(int8={"p50": p50}, fp32={"p50": p50 * 1.1 if ships.endswith("8") else 8.0}), TERMS)

    assert judged.ships is not None
    assert judged.ships.id == ships


def test_int8_that_was_asked_for_and_is_no_faster_is_refused() -> None:
    judged = judge(ladder(int8={"p50": 7.5}), replace(TERMS, wish="int8"))

    assert (judged.verdict, judged.ships) == ("refuse", None)
    assert judged.reasons == (
        (
            "openvino int8: INT8 is 1.067 times as fast as openvino fp32: "
            "p50 7.50 ms against 8.00 ms, limit 1.10"
        ),
    )


@pytest.mark.parametrize(
    ("fp32_ci", "int8_ci", "ships"),
    [
        ((7.0, 9.0), (3.5, 4.5), "int8"),  # at worst 1.56 times as fast
        ((4.2, 9.0), (3.5, 4.5), "fp32"),  # at worst 0.93 times: nobody can tell
    ],
)
def test_noise_does_not_matter_where_it_is_smaller_than_the_difference(
    fp32_ci: tuple[float, float], int8_ci: tuple[float, float], ships: str
) -> None:
    slow = replace(timed(8.0, noise="it jumps"), p50_ci=fp32_ci)
    fast = replace(timed(4.0, noise="it jumps"), p50_ci=int8_ci)

    judgement = judge(ladder(fp32={"latency_ms": slow}, int8={"latency_ms": fast}), TERMS)

    assert judgement.ships is not None
    assert judgement.ships.precision == ships


def test_an_int8_that_was_asked_for_and_is_too_slow_is_refused_even_if_its_accuracy_is_open() -> None:
    rungs = ladder(int8={"p50": 9.0, "drift_pt": 1.0, "drift_ci_pt": (0.5, 2.0)})

    judgement = judge(rungs, replace(TERMS, wish="int8"))

    assert judgement.verdict == "refuse"
    assert "times as fast as openvino fp32" in judgement.reasons[0]
    assert "drift 1.00 pt" in judgement.reasons[1]


@pytest.mark.parametrize(
    "unproven",
    [{"simulated": True}, {"measured_at": None}, {"doubts": ("clocks moved",)}, {"latency_ms": None}],
)
def test_a_latency_that_does_not_count_refuses_nothing(unproven: dict[str, object]) -> None:
    rungs = ladder(int8={"p50": 9.0, **unproven})

    assert judge(rungs, replace(TERMS, wish="int8")).verdict == "inconclusive"


@pytest.mark.parametrize(("high", "verdict"), [(8.5, "refuse"), (30.0, "inconclusive")])
def test_an_int8_that_was_asked_for_is_refused_for_its_speed_only_where_noise_allows(
    high: float, verdict: str
) -> None:
    slow = replace(timed(9.0, noise="it jumps"), p50_ci=(8.0, 10.0))
    rival = replace(timed(8.0, noise="it jumps"), p50_ci=(7.5, high))
    rungs = ladder(fp32={"latency_ms": rival}, int8={"latency_ms": slow})

    assert judge(rungs, replace(TERMS, wish="int8")).verdict == verdict


def test_int8_that_was_asked_for_ships_where_it_is_faster_or_alone() -> None:
    asked = replace(TERMS, wish="int8")

    assert judge(ladder(), asked).verdict == "pass"
    assert judge(ladder(int8={"p50": 7.5}, fp32={"simulated": True}), asked).verdict == "pass"


@pytest.mark.parametrize("noisy", ["fp32", "int8"])
def test_int8_does_not_earn_its_place_by_a_measurement_that_cannot_be_believed(noisy: str) -> None:
    p50 = {"fp32": 8.0, "int8": 4.0}[noisy]
    rungs = ladder(**{noisy: {"latency_ms": timed(p50, noise="it jumps")}})

    judged, asked = judge(rungs, TERMS), judge(rungs, replace(TERMS, wish="int8"))

    assert judged.ships is not None
    assert judged.ships.id == "openvino-fp32"
    told = f"cannot be told: openvino {noisy}: it jumps"
    assert judged.reasons[1] == f"openvino int8: passes, but whether it is faster {told}"
    assert (asked.verdict, asked.reasons) == (
        "inconclusive", (f"openvino int8: whether INT8 is faster {told}",)
    )  # fmt: skip


def test_int8_ships_where_no_other_candidate_passes() -> None:
    judged = judge(ladder(fp32={"p50": 3.0, "simulated": True}), TERMS)

    assert judged.ships is not None
    assert judged.ships.id == "openvino-int8"
    assert "openvino fp32: simulated: not measured on the device itself" in judged.reasons


def test_a_refused_quantized_form_refuses_only_the_engine_made_from_it() -> None:
    judged = judge(ladder(onnx8={"step_drift_pt": 40.0, "step_drift_ci_pt": (38.0, 42.0)}), TERMS)

    assert verdicts(judged) == {
        "train": "pass", "onnx": "pass", "onnx8": "refuse", "openvino-fp32": "pass", "openvino-int8": "refuse"
    }  # fmt: skip
    assert judged.reasons == (
        "openvino fp32 ships: p50 8.00 ms, drift 0.00 pt",
        (
            "openvino int8: made from onnx int8: "
            "step drift 40.00 pt (95 % interval 38.00 to 42.00), limit 1.00 pt"
        ),
    )


def test_a_refused_shared_form_refuses_the_target_and_is_named_once() -> None:
    judged = judge(ladder(onnx={"step_drift_pt": 2.0, "step_drift_ci_pt": (1.0, 3.0)}), TERMS)

    assert judged.verdict == "refuse"
    assert judged.ships is None
    assert judged.reasons == ("onnx fp32: step drift 2.00 pt (95 % interval 1.00 to 3.00), limit 0.10 pt",)


def test_a_fixed_precision_ships_that_or_nothing() -> None:
    refused = {"drift_pt": 9.0, "drift_ci_pt": (8.0, 10.0)}

    judged = judge(ladder(int8=refused), replace(TERMS, wish="int8"))

    assert judged.verdict == "refuse"
    assert judged.reasons == ("openvino int8: drift 9.00 pt (95 % interval 8.00 to 10.00), limit 1.50 pt",)


def test_a_fixed_precision_need_not_be_the_fastest() -> None:
    judged = judge(ladder(), replace(TERMS, wish="fp32"))

    assert judged.reasons == (
        "openvino fp32 ships: p50 8.00 ms, drift 0.00 pt",
        "openvino int8: passes, but fp32 was asked for",
    )


def test_one_refused_and_one_open_candidate_leave_the_target_open() -> None:
    refused = {"drift_pt": 9.0, "drift_ci_pt": (8.0, 10.0)}

    judged = judge(ladder(int8=refused, fp32={"latency_ms": None}), TERMS)

    assert judged.verdict == "inconclusive"
    assert [reason.split(":")[0] for reason in judged.reasons] == ["openvino int8", "openvino fp32"]


def test_without_an_engine_the_target_is_open() -> None:
    judged = judge(ladder()[:3], TERMS)

    assert (judged.verdict, judged.reasons) == ("inconclusive", ("no engine was built and measured",))
    assert judge((), TERMS).verdict == "inconclusive"


def test_without_an_engine_a_refused_form_still_refuses() -> None:
    lossy = {"step_drift_pt": 40.0, "step_drift_ci_pt": (38.0, 42.0)}

    assert judge(ladder(onnx=lossy)[:3], TERMS).verdict == "refuse"
    assert judge(ladder(onnx8=lossy)[:3], TERMS).verdict == "inconclusive"
    assert judge(ladder(onnx8=lossy)[:3], replace(TERMS, wish="int8")).verdict == "refuse"


def test_what_a_builder_could_not_make_stays_unsupported() -> None:
    unsupported = {"verdict": "unsupported", "reasons": ("no kernel for Mish",)}

    judged = judge(ladder(fp32=unsupported, int8=unsupported), TERMS)

    assert judged.verdict == "unsupported"
    assert judged.reasons == ("openvino fp32: no kernel for Mish", "openvino int8: no kernel for Mish")


def test_the_float_simulation_of_a_quantized_graph_is_its_reference() -> None:
    assert judge(ladder(onnx8={"simulated": True}), TERMS).verdict == "pass"


def test_a_pruned_model_answers_for_everything_made_from_it() -> None:
    pruned = rung(
        "pruned", "train", form="prune", runtime="pytorch", step_drift_pt=3.0, step_drift_ci_pt=(2, 4)
    )
    train, onnx, *rest = ladder()

    judged = judge((train, pruned, replace(onnx, parent="pruned"), *rest), TERMS)

    assert judged.verdict == "refuse"
    assert judged.reasons[0].startswith("pruned pytorch fp32: step drift 3.00 pt")


@pytest.mark.parametrize(
    "disorder",
    [
        pytest.param(lambda rungs: rungs[::-1], id="children first"),
        pytest.param(lambda rungs: (*rungs, rungs[-1]), id="one id twice"),
        pytest.param(lambda rungs: rungs[:2] + rungs[3:], id="a parent is missing"),
        pytest.param(lambda rungs: (*rungs, rung("other")), id="two without a parent"),
    ],
)
def test_a_ladder_in_disorder_is_an_error(disorder) -> None:
    with pytest.raises(EdgeboundError, match="not in order"):
        judge(disorder(ladder()), TERMS)


# ------------------------------------------------------------------------------------ all targets


def target(verdict: str, *reasons: str) -> TargetResult:
    return TargetResult(
        verdict=verdict, reasons=reasons, engine=None, precision=None, runtime=None, ladder=()
    )


@pytest.mark.parametrize(
    ("found", "worst"),
    [
        (["pass", "pass"], "pass"),
        (["pass", "inconclusive"], "inconclusive"),
        (["inconclusive", "unsupported"], "unsupported"),
        (["unsupported", "refuse", "pass"], "refuse"),
        (["refuse", "error", "pass"], "error"),
        ([], "inconclusive"),
    ],
)
def test_the_worst_target_decides(found: list[str], worst: str) -> None:
    assert overall({str(n): target(verdict) for n, verdict in enumerate(found)})[0] == worst


def test_reasons_of_the_worst_target_come_first_and_each_names_its_target() -> None:
    targets = {
        "cpu": target("pass", "a"),
        "nx": target("inconclusive", "b"),
        "orin": target("refuse", "c", "d"),
    }

    assert overall(targets)[1] == ("orin: c", "orin: d", "nx: b")
    assert overall({"cpu": targets["cpu"]})[1] == ("cpu: a",)


@pytest.mark.parametrize(
    ("verdict", "error", "code"),
    [
        ("pass", None, 0), ("refuse", None, 3), ("inconclusive", None, 4), ("unsupported", None, 5),
        ("error", Failure(what="w", hint="h", code=2), 2), ("error", None, 1),
        ("pass", Failure(what="w", hint="h", code=0), 1),
    ],
)  # fmt: skip
def test_exit_codes(verdict: str, error: Failure | None, code: int) -> None:
    report = RunReport(
        run="r", verdict=verdict, reasons=(), error=error, run_dir="", seconds=0, data="demo", targets={}
    )

    assert exit_code(report) == code


# ------------------------------------------------------------------------------------ properties

GOOD = {
    "p50": 4.0, "map50_95": 0.5, "drift_pt": 0.0, "drift_ci_pt": (-0.1, 0.1), "step_drift_pt": 0.0,
    "step_drift_ci_pt": (-0.1, 0.1), "classes": (hole(),), "sizes": (size(), size("large", boxes=5)),
    "threshold": threshold(), "deployed": deployed(), "true_scores": scores(0.01), "changes": changes(loss()),
    "memory_mib": 400.0, "startup_ms": 90.0, "measured_at": NOW.isoformat(), "simulated": False,
    "released": Released(
        run="before", label="openvino int8", drift_pt=0.1, drift_ci_pt=(-0.1, 0.3), spread_pt=0.1,
        classes=(hole(),),
    ),
}  # fmt: skip
PLACES = (
    ("p50",), ("drift_pt",), ("drift_ci_pt", 0), ("drift_ci_pt", 1), ("step_drift_pt",),
    ("step_drift_ci_pt", 0), ("step_drift_ci_pt", 1), ("classes", 0, "ap50_loss_pt"), ("classes", 0, "ci", 0),
    ("classes", 0, "ci", 1), ("sizes", 0, "loss", "loss_pt"), ("sizes", 0, "loss", "interval_pt", 0),
    ("sizes", 0, "loss", "interval_pt", 1), ("true_scores", "distance"),
    ("deployed", "precision_loss", "loss_pt"), ("deployed", "precision_loss", "interval_pt", 0),
    ("deployed", "precision_loss", "interval_pt", 1), ("deployed", "recall_loss", "loss_pt"),
    ("deployed", "recall_loss", "interval_pt", 0), ("deployed", "recall_loss", "interval_pt", 1),
    ("changes", "lost_share", "loss_pt"), ("changes", "lost_share", "interval_pt", 0),
    ("changes", "lost_share", "interval_pt", 1), ("released", "drift_pt"), ("released", "drift_ci_pt", 0),
    ("released", "drift_ci_pt", 1), ("released", "classes", 0, "ap50_loss_pt"),
    ("released", "classes", 0, "ci", 0), ("released", "classes", 0, "ci", 1), ("memory_mib",),
)  # fmt: skip
FIGURES = st.floats(-1, 0.9) | st.floats(-5, 20) | st.just(NAN)  # often within the limits
WORSE = st.floats(0, 50)
thorough = settings(
    suppress_health_check=[HealthCheck.too_slow], max_examples=60
)  # of the machine, not of us


@st.composite
def candidates(draw: st.DrawFn) -> dict[str, object]:
    """Draw an INT8 engine that passes but for some of its figures."""
    int8 = {**GOOD, "simulated": draw(st.booleans())}
    for place, figure in draw(st.lists(st.tuples(st.sampled_from(PLACES), FIGURES), max_size=6)):
        int8 = put(int8, place, lambda _, figure=figure: figure)
    return {**int8, "measured_at": draw(st.sampled_from([NOW.isoformat(), "2026-05-01T00:00:00Z", None]))}


def taken(_: object) -> float:
    return NAN


def put(value: object, path: tuple[object, ...], change: Callable[[Any], object]) -> object:
    """Give the same with one figure changed."""
    if not path:
        return change(value)
    key, *rest = path
    if isinstance(value, tuple):
        return tuple(put(one, tuple(rest), change) if n == key else one for n, one in enumerate(value))
    if isinstance(value, dict):
        return {**value, key: put(value[key], tuple(rest), change)}
    return replace(value, **{key: put(getattr(value, key), tuple(rest), change)})


def verdict_of(int8: dict[str, object]) -> str:
    terms = replace(TERMS, budgets=Budgets(p99_ms=10, memory_mib=500), baseline="before")
    return judge(ladder(int8=int8), terms).ladder[4].verdict


@thorough
@given(int8=candidates(), what=st.sampled_from(PLACES), by=WORSE)
def test_a_worse_figure_never_improves_the_verdict(
    int8: dict[str, object], what: tuple[object, ...], by: float
) -> None:
    worse = put(int8, what, lambda figure: figure + by)

    assert SEVERITY.index(verdict_of(worse)) <= SEVERITY.index(verdict_of(int8))


@thorough
@given(int8=candidates(), by=st.floats(1, 20))
def test_a_threshold_that_moved_further_never_improves_the_verdict(
    int8: dict[str, object], by: float
) -> None:
    one = int8["threshold"]
    further = threshold(one.shift * by, (one.interval[0] * by, one.interval[1] * by))

    after = verdict_of({**int8, "threshold": further})

    assert SEVERITY.index(after) <= SEVERITY.index(verdict_of(int8))


LEAVES = (
    *PLACES,
    ("map50_95",),
    ("threshold", "shift"),
    ("threshold", "interval", 0),
    ("threshold", "interval", 1),
)


@thorough
@given(int8=candidates(), what=st.sampled_from(LEAVES))
def test_a_figure_taken_away_never_passes_nor_improves_the_verdict(
    int8: dict[str, object], what: tuple[object, ...]
) -> None:
    after = verdict_of(put(int8, what, taken))

    assert after != "pass"
    assert SEVERITY.index(after) <= SEVERITY.index(verdict_of(int8))


NONE_AT_ALL = {
    "sizes": (), "classes": (), "threshold": None, "deployed": None, "true_scores": None, "changes": None,
    "released": None, "latency_ms": None, "measured_at": None,
}  # fmt: skip


@thorough
@given(int8=candidates(), what=st.sampled_from(sorted(NONE_AT_ALL)))
def test_evidence_taken_away_never_passes_nor_improves_what_was_open(
    int8: dict[str, object], what: str
) -> None:
    before, after = verdict_of(int8), verdict_of({**int8, what: NONE_AT_ALL[what]})

    assert after != "pass"
    assert before != "inconclusive" or after == "inconclusive"


@pytest.mark.parametrize("what", LEAVES, ids=str)
def test_a_figure_that_is_taken_from_a_candidate_that_passes_refuses_it(what: tuple[object, ...]) -> None:
    assert (verdict_of(GOOD), verdict_of(put(GOOD, what, taken))) == ("pass", "refuse")


@pytest.mark.parametrize("what", NONE_AT_ALL)
def test_a_whole_measurement_that_is_taken_leaves_a_candidate_open(what: str) -> None:
    after = verdict_of({**GOOD, what: NONE_AT_ALL[what]})

    assert (verdict_of(GOOD), after) == ("pass", "inconclusive")


@thorough
@given(int8=candidates(), fp32=candidates())
def test_the_gate_gives_the_same_answer_again_even_to_a_judged_ladder(
    int8: dict[str, object], fp32: dict[str, object]
) -> None:
    rungs = ladder(int8=int8, fp32=fp32)

    once = judge(rungs, TERMS)

    assert repr(judge(rungs, TERMS)) == repr(once)  # repr: NaN differs from itself
    assert repr(judge(once.ladder, TERMS)) == repr(once)
    assert (once.ships is not None) == (once.verdict == "pass")
    assert once.reasons
