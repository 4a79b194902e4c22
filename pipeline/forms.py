"""The forms of the model along a plan: what was made, and what was found out about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pipeline.frontier import Point
from pipeline.int8 import Search
from pipeline.ladder import Form
from stages.artifact import Artifact
from stages.data import Prepared
from stages.evaluation.parity import PointParity
from stages.export import Exported
from stages.pack import Packed
from stages.quantize import Quantized
from stages.train import Trained
from stages.verify import Compared, Evaluated, Measured, Received
from targets.profile import Precision, RuntimeName


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a form costs.

    Attributes:
        gmac: Of one picture, in 10⁹ multiply-accumulates.
        parameters: How many it has.
    """

    gmac: float
    parameters: int


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What all targets share.

    Attributes:
        forms: The baseline and what compression made of it; the last one was exported.
        exported: None while compression is at work.
        costs: Of these, by id, where somebody has counted.
        frontier: What pruning tried.
    """

    data: Prepared
    pictures: Artifact
    trained: Trained
    forms: tuple[Variant, ...]
    exported: Exported | None = None
    costs: Mapping[str, Cost] = field(default_factory=dict)
    frontier: tuple[Point, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One form of the model.

    Attributes:
        parent: The form it was made from; None for the baseline.
        candidate: An engine that could ship.
        detections: What it found on its board; None for what runs here.
        measured: The measurement on its board, and its place there; None for what runs here.
    """

    form: Form
    precision: Precision
    runtime: RuntimeName | Literal["pytorch"]
    model: Artifact
    parent: Variant | None = None
    candidate: bool = False
    detections: Artifact | None = None
    measured: tuple[Measured, int] | None = None

    @property
    def id(self) -> str:
        """Unique in a ladder; ONNX files are named by their format, engines by their runtime."""
        return f"{self.form}-{self.precision}" if not self.candidate else f"{self.runtime}-{self.precision}"

    @property
    def title(self) -> str:
        """The form in two words."""
        kinds = {"export": "onnx", "quantize": "onnx", "prune": "pruned", "distill": "student"}
        kinds |= {"cut": "cut", "qat": "qat"}
        kind = kinds.get(self.form, self.runtime)
        return f"{kind} {self.precision}"


@dataclass(frozen=True, kw_only=True)
class Made:
    """What was made for one target.

    Attributes:
        variants: All forms from the baseline on, parents first.
        notes: What the check of the operators, and calibration, warned of.
        quantized: What the INT8 form is like; None where there is none.
        search: How it was found; None where no budget was given.
        packed: The kit for the board; None where engines are built here.
    """

    variants: tuple[Variant, ...]
    notes: tuple[str, ...]
    quantized: Quantized | None = None
    search: Search | None = None
    packed: Packed | None = None


@dataclass(frozen=True, kw_only=True)
class OnBoard:
    """What a board did with a kit.

    Attributes:
        variants: The engines that it built.
        received: Its receipt.
    """

    variants: tuple[Variant, ...]
    received: Received


@dataclass(frozen=True, kw_only=True)
class Verified:
    """A form with what was found out about it.

    Attributes:
        drift: Against the baseline; None for the baseline itself, as `step_drift`.
        step_drift: Against the form it was made from.
        measured: The measurement it took part in, and its place there; None where nothing was measured.
        parity: Against the form it was made from; empty where that has other weights.
    """

    variant: Variant
    evaluated: Evaluated
    drift: Compared | None
    step_drift: Compared | None
    measured: tuple[Measured, int] | None
    parity: tuple[PointParity, ...] = ()
