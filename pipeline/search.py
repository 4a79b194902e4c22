"""Search: the INT8 form that is fastest among those which lose no more accuracy than a budget allows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar

from pipeline.int8 import Search, SearchTrial
from pipeline.runner import Step
from pipeline.subset import Choice, Names, find_subset, pareto
from stages.artifact import Artifact
from stages.build import Build, BuildInputs
from stages.quantize import Quantize, Quantized, QuantizeInputs
from stages.quantize.ranking import Block, Rank, RankInputs
from stages.quantize.ranking.cost import Load, cost_model
from stages.verify import Compare, CompareInputs, Evaluate, EvaluateInputs, Measure, MeasureInputs
from targets.errors import BudgetError
from targets.profile import TargetProfile

MOST_TRIALS = 15  # full evaluations; a search over 64 blocks takes 8 of them for its bisection
_ENGINES = 4  # that are built and measured
_NAMED = 3  # blocks in an error
_HEAD = "Keep the head in float (quantize.exclude: [head]). "

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be found, and how it is judged.

    Attributes:
        quantize: Settings of the full placement; trials exclude more.
        inputs: Of each quantization.
        rank: How the blocks of the full placement are ranked, where they have to be.
        baseline: Detections of the exported model, which drift is measured against.
        profile: Of the target.
        evaluate: How a form is evaluated: in float simulation.
        compare: How its drift is measured.
        measure: How engines are timed.
        max_age: A latency older than this is measured again.
        host: Fingerprint of this machine.
        budget_pt: The most mAP50-95 that may be lost, in points.
        most: Trials.
    """

    quantize: Quantize
    inputs: QuantizeInputs
    rank: Rank
    baseline: Artifact
    profile: TargetProfile
    evaluate: Evaluate
    compare: Compare
    measure: Measure
    max_age: timedelta
    host: str
    budget_pt: float
    most: int = MOST_TRIALS


@dataclass(frozen=True, kw_only=True)
class Searched:
    """What was found.

    Attributes:
        quantize: Settings of the form that was chosen.
        quantized: That form.
        record: The way there, for the report.
    """

    quantize: Quantize
    quantized: Quantized
    record: Search


def search(task: Task, step: Step) -> Searched:
    """Try forms until one is known to be good enough; on a target that is at hand, time the best of them.

    Args:
        task: What is to be found.
        step: Runs a stage, or knows its result. Each trial is three steps, so that an interrupted search goes
            on where it was.

    Raises:
        BudgetError: No form is within the budget, not even with all blocks but one in float.
    """
    bench = _Bench(task, step)
    if find_subset(bench.rank, bench.drift_of, budget=task.budget_pt, most=task.most) is None:
        raise _failure(bench)
    trials = bench.priced()
    if task.profile.local:
        trials = _timed(bench, trials)
    best = _best([one for one in trials if one.drift_pt <= task.budget_pt])
    record = Search(
        budget_pt=task.budget_pt,
        blocks=len(bench.blocks),
        trials=tuple(replace(one, chosen=one is best) for one in trials),
        cost_model=bench.costs.text,
        cost_unit=bench.costs.unit,
    )
    settings = bench.settings(frozenset(best.left_in_float))
    return Searched(quantize=settings, quantized=bench.forms[best.label], record=record)


class _Bench:
    """Where trials are made.

    Attributes:
        forms: Of the model, by the trial's label.
        costs: What a form costs on the target.
        blocks: By name; none before they are ranked.
    """

    def __init__(self, task: Task, step: Step) -> None:
        self.task = task
        self.step = step
        self.forms: dict[str, Quantized] = {}
        self.costs = cost_model(task.profile)
        self.blocks: dict[str, Block] = {}
        self._rest = Load(macs=0, values=0)
        self._trials: list[SearchTrial] = []

    def rank(self) -> list[Choice]:
        """Rank what can be left in float."""
        given = self.task.inputs
        inputs = RankInputs(
            onnx=given.onnx,
            statistics=given.statistics,
            index=given.index,
            pictures=given.pictures,
            dialect=given.dialect,
        )
        ranked = _known(self.step(self.task.rank, inputs, label="ranking"))
        self.blocks, self._rest = {one.name: one for one in ranked.blocks}, ranked.rest
        return [
            Choice(name=one.name, noise=one.noise, saving=self.costs.saving(one.load))
            for one in ranked.blocks
        ]

    def settings(self, left: Names) -> Quantize:
        """Give the settings that leave these blocks in float."""
        nodes = (node for name, one in self.blocks.items() if name in left for node in one.nodes)
        return replace(self.task.quantize, exclude=(*self.task.quantize.exclude, *nodes))

    def drift_of(self, left: Names) -> float:
        """Make a trial: quantize, evaluate, compare."""
        task, label = self.task, f"trial {len(self._trials) + 1}/{self.task.most}"
        form = self.step(self.settings(left), task.inputs, label=label)
        shown = EvaluateInputs(
            model=form.onnx, index=task.inputs.index, pictures=task.inputs.pictures, profile=None, host=""
        )
        found = self.step(task.evaluate, shown, label=label)
        pair = CompareInputs(baseline=task.baseline, candidate=found.detections, index=task.inputs.index)
        drift = _known(self.step(task.compare, pair, label=f"{label} against onnx fp32"))
        self.forms[label] = form
        self._trials.append(
            SearchTrial(
                label=label,
                left_in_float=tuple(name for name in self.blocks if name in left),
                drift_pt=drift.drift_pt,
                drift_ci_pt=drift.drift_ci_pt,
                cost=math.nan,
            )
        )
        return drift.drift_pt

    def priced(self) -> list[SearchTrial]:
        """Give the trials so far, in order, with what they cost if that is known."""
        return [replace(one, cost=self._cost(frozenset(one.left_in_float))) for one in self._trials]

    def _cost(self, left: Names) -> float:
        """Predict what the weighted nodes take, the head among them."""
        if not self.blocks:
            return math.nan
        whole = self._sum(frozenset(self.blocks)) if self.costs.unit == "share of float" else 1.0
        return self._sum(left) / whole

    def _sum(self, left: Names) -> float:
        rest = self.costs.of(self._rest, int8=False)
        return rest + sum(self.costs.of(one.load, int8=name not in left) for name, one in self.blocks.items())


def _known(result: ResultT) -> ResultT:
    """Give a result that a branch looks at; in a preview, its stand-in says here what it depends on."""
    bool(result)
    return result


def _timed(bench: _Bench, trials: Sequence[SearchTrial]) -> list[SearchTrial]:
    """Build and time the trials that could be best, side by side; one alone has no rival."""
    task, step = bench.task, bench.step
    front = pareto([(one.cost, one.drift_pt) for one in trials])
    near = sorted(front, key=lambda place: (trials[place].drift_pt > task.budget_pt, trials[place].cost))
    chosen = [trials[place] for place in near[:_ENGINES]]
    if len(chosen) < 2:
        return list(trials)
    engines = tuple(
        step(
            Build(precision="int8"),
            BuildInputs(model=bench.forms[one.label].onnx, profile=task.profile),
            label=f"{task.profile.runtime} {one.label}",
        ).engine
        for one in chosen
    )
    inputs = MeasureInputs(
        engines=engines,
        index=task.inputs.index,
        pictures=task.inputs.pictures,
        profile=task.profile,
        host=task.host,
    )
    measured = _known(step(task.measure, inputs, label="latency of trials", max_age=task.max_age))
    p50s = {one.label: latency.p50 for one, latency in zip(chosen, measured.latencies, strict=True)}
    return [replace(one, p50_ms=p50s.get(one.label, math.nan)) for one in trials]


def _best(within: Sequence[SearchTrial]) -> SearchTrial:
    """Give the fastest, where latencies are known; else that which the cost model says is fastest."""
    timed = [one for one in within if math.isfinite(one.p50_ms)]
    if timed:
        return min(timed, key=lambda one: one.p50_ms)
    return min(within, key=lambda one: (one.cost, one.drift_pt))


def _failure(bench: _Bench) -> BudgetError:
    """Say how close the search came."""
    task, trials = bench.task, bench.priced()
    nearest = min(trials, key=lambda one: one.drift_pt)
    low, high = nearest.drift_ci_pt
    count = len(nearest.left_in_float)
    return BudgetError(
        f"No INT8 form is within quantize.drift_budget_pt: {task.budget_pt:g}. The nearest of {len(trials)}"
        f" loses {nearest.drift_pt:.2f} pt (95 % interval {low:.2f} to {high:.2f}) with {count} of"
        f" {len(bench.blocks)} blocks in float{_named(nearest.left_in_float)}.",
        hint=f"{_HEAD if 'head' not in task.quantize.exclude else ''}Allow more, calibrate with more pictures"
        " (data.calibration), or ship a float precision (build.precision).",
    )


def _named(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return f" ({', '.join(names[:_NAMED])}{f' and {more} more' if more > 0 else ''})" if names else ""
