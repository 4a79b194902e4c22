"""Receive: a board's receipt becomes engines, detections and latencies like those made here."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from stages.artifact import Artifact
from stages.stage import Progress
from stages.verify.measure import Measured
from targets.engine import open_engine
from targets.errors import ModelError
from targets.kit import open_kit
from targets.profile import Precision
from targets.receipt import EngineReceipt, load_receipt


@dataclass(frozen=True, kw_only=True)
class ReceiveInputs:
    """What came back, and what for.

    Attributes:
        kit: That the board was given.
        receipt: That it gave back, accepted.
    """

    kit: Artifact
    receipt: Artifact


@dataclass(frozen=True, kw_only=True)
class Arrived:
    """One candidate.

    Attributes:
        precision: That its graph has.
        engine: None where there is none, as `detections`.
        failed: Why there is none.
        unsupported: The target cannot run the model, which is why.
    """

    precision: Precision
    engine: Artifact | None
    detections: Artifact | None
    failed: str = ""
    unsupported: bool = False


@dataclass(frozen=True, kw_only=True)
class Received:
    """What a board did.

    Attributes:
        candidates: In the order of the kit's models.
        measured: Latencies of those that have an engine, in their order.
        receipt: The receipt itself, for what else it says.
    """

    candidates: tuple[Arrived, ...]
    measured: Measured
    receipt: Artifact


@dataclass(frozen=True, kw_only=True)
class Receive:
    """Lay out an accepted receipt."""

    name: ClassVar[str] = "verify"
    resumes: ClassVar[bool] = False

    def run(self, inputs: ReceiveInputs, out: Path, progress: Progress) -> Received:
        """Copy engines and detections to folders of their own.

        Raises:
            ModelError: The receipt, or an engine in it, is not what it says.
        """
        del progress
        kit, kit_id = open_kit(inputs.kit.path)
        receipt = load_receipt(inputs.receipt.path)
        if receipt.kit != kit_id or [one.id for one in receipt.engines] != [one.id for one in kit.models]:
            raise ModelError("The receipt is for another kit.", hint="Give the receipt of this kit.")
        candidates = tuple(_lay_out(one, inputs.receipt.path, out) for one in receipt.engines)
        measured = Measured(
            latencies=tuple(one.timings[0].latency for one in receipt.engines if not one.failed),
            host=receipt.identity.host,
            measured_at=receipt.measured_at,
        )
        folder = Path(shutil.copytree(inputs.receipt.path, out / "receipt"))
        return Received(candidates=candidates, measured=measured, receipt=Artifact.of(folder))


def _lay_out(one: EngineReceipt, receipt: Path, out: Path) -> Arrived:
    if one.failed:
        return Arrived(
            precision=one.precision,
            engine=None,
            detections=None,
            failed=one.failed,
            unsupported=one.unsupported,
        )
    engine = out / "engines" / one.id
    shutil.copytree(receipt / "engines" / one.id, engine)
    manifest = open_engine(engine)
    if manifest.precision != one.precision:
        raise ModelError(
            f"The engine '{one.id}' calls itself {manifest.precision}, not {one.precision}.",
            hint="Let the board build it again.",
        )
    detections = out / "detections" / one.id
    detections.mkdir(parents=True)
    shutil.copyfile(receipt / "detections" / f"{one.id}.npz", detections / "detections.npz")
    return Arrived(precision=one.precision, engine=Artifact.of(engine), detections=Artifact.of(detections))
