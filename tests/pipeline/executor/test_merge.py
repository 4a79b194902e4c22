"""Several jobs' reports as the report of one run."""

from dataclasses import replace
from pathlib import Path

from pipeline.config import load_config
from pipeline.executor.merge import merge
from pipeline.gate import exit_code
from pipeline.ladder import Epoch, RunReport, Step, TargetResult, Verdict
from pipeline.profiles import find_profiles
from pipeline.request import Request
from targets.errors import EdgeboundError

REQUEST = Request(
    config=load_config(None, (), demo=True, folder=Path()),
    profiles=find_profiles(("cpu", "cpu-ort")),
    folder=Path(),
)


def step(label: str, *, cached: bool) -> Step:
    return Step(stage=label, label=label, key=label, seconds=1.0, cached=cached)


def target(verdict: Verdict, *reasons: str) -> TargetResult:
    return TargetResult(
        verdict=verdict, reasons=reasons, engine=None, precision=None, runtime=None, ladder=(), profile={}
    )


def report(steps: tuple[Step, ...], **targets: TargetResult) -> RunReport:
    return RunReport(
        run="", verdict="inconclusive", reasons=(), error=None, run_dir="", seconds=0.0, data="demo",
        targets={name.replace("_", "-"): one for name, one in targets.items()}, steps=steps,
    )  # fmt: skip


SHARED = report((step("train", cached=False),), cpu=target("inconclusive"), cpu_ort=target("inconclusive"))


def test_each_target_is_as_its_own_job_found_it() -> None:
    merged = merge(
        SHARED,
        {
            "cpu": report((step("train", cached=True), step("build", cached=False)), cpu=target("pass")),
            "cpu-ort": report((step("train", cached=True),), cpu_ort=target("refuse", "too much drift")),
        },
        REQUEST,
    )

    assert {name: one.verdict for name, one in merged.targets.items()} == {"cpu": "pass", "cpu-ort": "refuse"}
    assert (merged.verdict, merged.reasons) == ("refuse", ("cpu-ort: too much drift",))
    assert [(one.label, one.cached) for one in merged.steps] == [("train", False), ("build", False)]


def test_a_target_whose_job_failed_leaves_the_others_their_results() -> None:
    merged = merge(
        SHARED,
        {
            "cpu": report((), cpu=target("pass")),
            "cpu-ort": EdgeboundError("cpu-ort: job 7 lost its node.", hint="Run the same command again."),
        },
        REQUEST,
    )

    assert merged.targets["cpu"].verdict == "pass"
    assert merged.targets["cpu-ort"].reasons == (
        "cpu-ort: job 7 lost its node.",
        "Run the same command again.",
    )
    assert exit_code(merged) == 1


def test_a_run_of_one_job_is_as_that_job_found_it() -> None:
    epochs = (Epoch(epoch=1, map50=0.5, map50_95=0.3),)

    assert merge(replace(SHARED, epochs=epochs), {}, REQUEST).epochs == epochs
