"""Sections of `pipeline.yaml` that are the plan's own, or add to a stage's settings."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen

from stages.prune import Prune
from stages.quantize import Quantize
from stages.quantize.calibration import Calibrate
from targets.profile import Precision


@dataclass(frozen=True, kw_only=True)
class ModelSection:
    """The model to begin with.

    Attributes:
        weights: A checkpoint `.pt`, a model YAML (trained from scratch), or the name of one.
        modules: Python packages to import first, for blocks of your own.
    """

    weights: Annotated[str, MinLen(1)]
    modules: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class QatSection:
    """Quantization-aware training, by Ultralytics and NVIDIA's ModelOpt.

    Attributes:
        steps: Optimizer steps.
        lr0: Learning rate of AdamW at the start, whatever `train.optimizer` is: the weights are good already.
        distill: The model as it was teaches.
    """

    steps: Annotated[int, Ge(1)] = 500
    lr0: Annotated[float, Gt(0)] = 2e-5
    distill: bool = False


@dataclass(frozen=True, kw_only=True)
class QuantizeSection(Quantize):
    """INT8: how it is made, and how much it may lose.

    Attributes:
        calibration: Training pictures that calibration looks at; 0: all that were picked.
        equalize: Equalize the channels of neighbouring convolutions first, where ReLU, LeakyReLU or nothing
            stands between them; SiLU lets no factor through.
        drift_budget_pt: Leave the cheapest set of layers in higher precision with which INT8 loses no more
            mAP50-95 than this, in points, against the exported model; without it all that can be is INT8.
        qat: Train the model for INT8 where all of that loses too much: more than `drift_budget_pt` in every
            form, or without a budget more than `gate.int8_drift_pt`. Needs the extra `qat`.
    """

    calibration: Annotated[int, Ge(0)] = 0
    equalize: bool = False
    drift_budget_pt: Annotated[float, Ge(0)] | None = None
    qat: QatSection | None = None

    @property
    def stage(self) -> Quantize:
        """The settings of one quantization."""
        return Quantize(**{one.name: getattr(self, one.name) for one in fields(Quantize)})

    @property
    def calibrate(self) -> Calibrate:
        """The settings of calibration."""
        return Calibrate(pictures=self.calibration)


@dataclass(frozen=True, kw_only=True)
class PruneSection(Prune):
    """Pruning: how much goes, and how the rest is tuned. One goal: a ratio, GMAC, latency, drift, or ratios.

    Attributes:
        ratios: Try each of these, and go on with the largest whose drift is within the limit: `max_drift_pt`,
            or else `gate.prune_drift_pt`. The report has the frontier.
        max_drift_pt: Find the largest ratio that loses no more than this against the baseline, in points.
        target_latency_ms: Find the smallest ratio with which a picture takes no more than this on every
            target of the run: p50 of an engine that is built and measured here, or what the cost model says
            of a target that is not, which is the least it can take.
        distill: The baseline teaches while the cut model is tuned.
        distill_weight: Of the loss against the baseline's features. Ultralytics' own default of 6 holds a
            model back that has these features already: docs/compression.md.
        steps: Optimizer steps of fine-tuning, over all iterations; with few pictures epochs are few steps.
        lr_factor: Learning rate of fine-tuning, as a part of `train.lr0`; the optimizer `auto` takes its own.
    """

    ratios: tuple[Annotated[float, Gt(0), Lt(1)], ...] = ()
    max_drift_pt: Annotated[float, Ge(0)] | None = None
    target_latency_ms: Annotated[float, Gt(0)] | None = None
    distill: bool = True
    distill_weight: Annotated[float, Gt(0)] = 1.0
    steps: Annotated[int, Ge(1)] = 1000
    lr_factor: Annotated[float, Gt(0)] = 0.5

    @property
    def stage(self) -> Prune:
        """The settings of one cut; iterations are the plan's, which tunes between them."""
        settings = {one.name: getattr(self, one.name) for one in fields(Prune)}
        return Prune(**{**settings, "iterations": 1})


@dataclass(frozen=True, kw_only=True)
class DistillSection:
    """A student of its own, taught by the baseline.

    Attributes:
        student: A checkpoint `.pt`, a model YAML (trained from scratch), or the name of one.
    """

    student: Annotated[str, MinLen(1)]


@dataclass(frozen=True, kw_only=True)
class BuildSection:
    """What to ship.

    Attributes:
        precision: `auto` ships the fastest candidate that passes; a precision ships that or nothing.
        tries: Builds of each TensorRT engine on its board; the fastest is kept, the spread is reported.
        optimization_level: Of the TensorRT builder, 0 to 5; -1 leaves its own default.
        workspace_mib: Of the TensorRT builder; 0 leaves its own default.
        dla_core: Deep learning accelerator to build for, where the target has one, with fallback to the GPU;
            -1: the GPU alone.
    """

    precision: Literal["auto"] | Precision = "auto"
    tries: Annotated[int, Ge(1), Le(20)] = 1
    optimization_level: Annotated[int, Ge(-1), Le(5)] = -1
    workspace_mib: Annotated[int, Ge(0)] = 0
    dla_core: Annotated[int, Ge(-1), Le(1)] = -1


@dataclass(frozen=True, kw_only=True)
class VerifySection:
    """How forms are verified.

    Attributes:
        runs: Timed inferences of each engine that runs on this machine; under 400, the upper end of p99 is
            not known.
        board_runs: Timed inferences of each engine on its board, in each mode.
        board_seconds: … which end after so many seconds.
        board_warmup_s: Untimed inference before, in seconds; up to three times as long until it is steady.
        streams: Inferences under way at once when a board measures throughput.
        resamples: Of the paired bootstrap.
        max_age_h: A latency older than this is measured again.
    """

    runs: Annotated[int, Ge(20)] = 400
    board_runs: Annotated[int, Ge(20)] = 1000
    board_seconds: Annotated[float, Gt(0)] = 10.0
    board_warmup_s: Annotated[float, Gt(0)] = 1.0
    streams: Annotated[int, Ge(1), Le(16)] = 2
    resamples: Annotated[int, Ge(100)] = 1000
    max_age_h: Annotated[float, Gt(0)] = 24.0


@dataclass(frozen=True, kw_only=True)
class ReleaseSection:
    """What `pipeline release` gives away.

    Attributes:
        name: Of the model; empty: of the repository, or of the project's folder. A device that has taken a
            release of one name refuses an older one of the same name.
        license: SPDX expression, or a file of the project; empty: AGPL-3.0-or-later, as Ultralytics asks.
        pictures: Validation pictures that go with each engine, with what it found on them: `pipeline verify`
            looks at them again on the device. 0: no picture is published.
    """

    name: str = ""
    license: str = ""
    pictures: Annotated[int, Ge(0), Le(32)] = 4


@dataclass(frozen=True, kw_only=True)
class CacheSection:
    """The shared cache: a repository where machines find results of steps that another has made.

    Attributes:
        remote: `host/name`, or `oci:folder`; empty: none.
        push: `auto` puts there what was made here if there is a key; `true` asks for one.
        key: File of the private key that signs, of the project; empty: `EDGEBOUND_SIGNING_KEY`, if it is set.
        ca: File of certificates (PEM) to trust beside the system's.
        plain_http: Hosts, with their ports, that may be spoken to without TLS.
    """

    remote: str = ""
    push: Literal["auto"] | bool = "auto"
    key: str = ""
    ca: str = ""
    plain_http: tuple[str, ...] = ()
