"""Speed: how long a checkpoint will take for a picture on the targets of a run, before anybody tunes it.

Speed hangs on widths, not on weights: a cut need not be tuned to be timed. Where a target is at hand, its
engine is built and measured; elsewhere the cost model says what is the least that it can take.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from pipeline.config import Config
from pipeline.figures import Figure
from pipeline.forms import Shared, Variant
from pipeline.precision import lower
from pipeline.runner import Step
from stages.artifact import Artifact
from stages.build import Build, BuildInputs
from stages.export import ExportInputs
from stages.quantize.ranking.cost import cost_model
from stages.quantize.ranking.predict import predict_ms
from stages.verify import Measure, MeasureInputs
from targets.profile import Precision, TargetProfile


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What a picture takes.

    Attributes:
        ms: Median of the measured, or what is predicted, in milliseconds.
        source: What it rests on, for people.
    """

    ms: Figure
    source: str


def is_told(profile: TargetProfile) -> bool:
    """Say whether a target's latency can be told: it is here, or its profile has peak rates."""
    return profile.local or cost_model(profile).unit == "ms"


@dataclass(frozen=True, kw_only=True)
class Speedometer:
    """Times checkpoints on the targets of a run.

    Attributes:
        config: Of the run.
        profiles: Of the targets, by the names that they were asked for.
        shared: The data set, and the baseline.
        step: Runs a stage, or knows its result.
        host: Fingerprint of this machine.
    """

    config: Config
    profiles: Mapping[str, TargetProfile]
    shared: Shared
    step: Step
    host: str

    def slowest(self, checkpoint: Artifact, label: str) -> Speed:
        """Give the speed on the target that takes longest; NaN where that of one cannot be told.

        Args:
            checkpoint: As `stages.checkpoint` writes it.
            label: Says which one it is.

        Raises:
            EdgeboundError: It cannot be exported, quantized or built.
        """
        if not all(map(is_told, self.profiles.values())):
            return Speed(ms=math.nan, source="")
        exported = self.step(self.config.export, ExportInputs(checkpoint=checkpoint), label=label)
        bool(exported)  # in a preview: what follows depends on it
        speeds = [self._speed(profile, exported.onnx, label) for profile in self.profiles.values()]
        return max(speeds, key=lambda one: one.ms)

    def _speed(self, profile: TargetProfile, onnx: Artifact, label: str) -> Speed:
        precision = self._precision(profile)
        if profile.local:
            return self._measured(profile, onnx, precision, label)
        costs = cost_model(profile)
        ms = predict_ms(onnx, costs, int8=precision == "int8")
        return Speed(ms=ms, source=f"predicted for {precision} on {profile.name} by the {costs.text}")

    def _precision(self, profile: TargetProfile) -> Precision:
        """Give the precision that is to ship, or else the lowest, which is nearly always the fastest."""
        wish = self.config.build.precision
        return profile.precisions[-1] if wish == "auto" else wish

    def _measured(self, profile: TargetProfile, onnx: Artifact, precision: Precision, label: str) -> Speed:
        step = _Labelled(self.step, label)
        config = replace(self.config, quantize=replace(self.config.quantize, drift_budget_pt=None))
        whole = Variant(form="export", precision="fp32", runtime="onnxruntime", model=onnx)
        forms = {"fp32": onnx}
        if precision != "fp32":
            lowered = lower(config, profile, self.shared, whole, step=step, host=self.host)
            forms |= {one.precision: one.model for one in lowered.variants}
        built = step(
            Build(precision=precision), BuildInputs(model=forms[precision], profile=profile), label=precision
        )
        inputs = MeasureInputs(
            engines=(built.engine,),
            index=self.shared.data.index,
            pictures=self.shared.pictures,
            profile=profile,
            host=self.host,
        )
        age = timedelta(hours=self.config.verify.max_age_h)
        measured = step(Measure(runs=self.config.verify.runs), inputs, label="latency", max_age=age)
        bool(measured)
        source = f"measured, {profile.runtime} {precision} on {profile.name}"
        return Speed(ms=measured.latencies[0].p50, source=source)


@dataclass(frozen=True)
class _Labelled:
    """Says of each step what it is done for."""

    step: Step
    label: str

    def __call__(self, stage: Any, inputs: Any, *, label: str = "", max_age: timedelta | None = None) -> Any:
        return self.step(stage, inputs, label=f"{label}, {self.label}", max_age=max_age)
