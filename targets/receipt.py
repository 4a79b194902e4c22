"""Receipt: what a board gives back for a kit. Without one there is no pass (design decision D8).

```
receipt.json             what was done, where, and how it went; each other file with its digest
receipt.seal             HMAC-SHA256 of receipt.json with the kit's key: guards against accidents and edits by
                         hand, not against whoever controls the board
engines/<id>/            the engine folder: model.json, engine files, manifest.json
engines/<id>.log         what the builder said
engines/<id>.layers.json what the engine inspector says, where the runtime has one
detections/<id>.npz      counts (P,), boxes (N, 6), nonfinite: as `stages.evaluation.detect.Detections`
```
"""

import hashlib
import hmac
import json
import math
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Iterator, Mapping, Optional, Tuple

from targets.board.identity import Identity
from targets.board.power import Power
from targets.board.state import BoardState, Doubt
from targets.engine import FILE_NAME as MANIFEST
from targets.engine import EngineFile
from targets.errors import EvidenceError, ModelError
from targets.folder import check_files, describe_files
from targets.kit import Kit
from targets.latency import Latency, Timing, describe
from targets.profile import Precision
from targets.record import dump, load, refuse_schema

SCHEMA = 1
FILE_NAME = "receipt.json"
SEAL_NAME = "receipt.seal"

_AGAIN = "Let the board write it again (`python3 agent.pyz run`), and copy it as it is."
_AHEAD = timedelta(minutes=10)  # that a board's clock may be ahead of ours


@dataclass(frozen=True)
class BuildFacts:
    """How an engine was built.

    Attributes:
        seconds: Of each try.
        p50_ms: Of each try's engine, where there were several; the fastest was kept.
        command: The equivalent `trtexec` command line; empty for other runtimes.
        layers: Count of layers by precision, `{"INT8": 60, "FP16": 12}`; empty where nobody can tell.
        fell_out: Layers that are INT8 in the graph and are not in the engine.
        reformats: Layers that only change format or type.
        warnings: Of the builder, that a reader should know.
    """

    seconds: Tuple[float, ...]
    p50_ms: Tuple[float, ...] = ()
    command: str = ""
    layers: Mapping[str, int] = field(default_factory=dict)
    fell_out: Tuple[str, ...] = ()
    reformats: int = 0
    warnings: Tuple[str, ...] = ()


@dataclass(frozen=True)
class EngineReceipt:
    """One candidate; one of `failed` and the rest is empty.

    Attributes:
        id: As the kit's model.
        precision: That its graph has.
        failed: Why there is no engine, and what to do; empty if there is one.
        unsupported: The target cannot run the model, which is why.
        crashed: Its builder was killed, as when memory ran out: another time it may go better.
        build: How it was built.
        timings: How fast it is, by mode; the first is what the ladder shows.
        memory_mib: Peak resident memory of a process that loads it and runs it, GPU memory included on
            Jetson; None where nobody could tell.
        startup_s: From a fresh process to the first answer, in seconds.
        power: While it ran.
        nonfinite: Pictures to which it answered NaN or infinity.
    """

    id: str
    precision: Precision
    failed: str = ""
    unsupported: bool = False
    crashed: bool = False
    build: Optional[BuildFacts] = None
    timings: Tuple[Timing, ...] = ()
    memory_mib: Optional[float] = None
    startup_s: Optional[float] = None
    power: Optional[Power] = None
    nonfinite: int = 0


@dataclass(frozen=True)
class Receipt:
    """What `receipt.json` says.

    Attributes:
        kit: Id of the kit.
        agent: sha256 of the agent that did it.
        simulated: A stand-in for the runtime did it, no device.
        identity: Of the board.
        runtime_version: Of TensorRT, or of what else ran the engines.
        facts: More about the runtime's machine: `sm`, `gpu`, `cuda`, `cudnn`, `driver`.
        engines: In the order of the kit's models.
        before: State of the board before the measurement, and `after` it.
        doubts: Why the latencies prove nothing; empty if they do.
        measured_at: End of the measurement, ISO 8601, UTC.
        seconds: Of the whole job.
        files: All files but `receipt.json` and `receipt.seal`, by name with `/`.
        schema: Version of this file's format.
    """

    kit: str
    agent: str
    simulated: bool
    identity: Identity
    runtime_version: str
    facts: Mapping[str, str]
    engines: Tuple[EngineReceipt, ...]
    before: BoardState
    after: BoardState
    doubts: Tuple[Doubt, ...]
    measured_at: str
    seconds: float
    files: Mapping[str, EngineFile]
    schema: int = SCHEMA


def write_receipt(folder: Path, receipt: Receipt, *, key: str) -> None:
    """List the files that are in `folder`, and write the receipt and its seal beside them.

    Args:
        folder: With engines, logs and detections.
        receipt: Its `files` are filled in here.
        key: Of the kit, in hex digits.
    """
    whole = replace(receipt, files=describe_files(folder, but=(FILE_NAME, SEAL_NAME)))
    text = dump(whole)
    (folder / FILE_NAME).write_text(text, encoding="utf-8")
    (folder / SEAL_NAME).write_text(_seal(text.encode(), key) + "\n", encoding="utf-8")


def claimed_kit(folder: Path) -> str:
    """Give the id of the kit that a receipt says it answers to; nothing is checked.

    Raises:
        ModelError: It is no receipt.
    """
    path = folder / FILE_NAME
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["kit"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as exc:
        raise ModelError(f"{path} cannot be read as a receipt: {exc!r}", hint=_AGAIN) from exc


def load_receipt(folder: Path) -> Receipt:
    """Read a receipt and hold every file against it; not whom it answers to.

    Raises:
        ModelError: It is missing, broken, of another format version or contradicts itself, or a file is
            missing, changed, or not listed.
    """
    path = folder / FILE_NAME
    try:
        text = path.read_text(encoding="utf-8")
        refuse_schema(
            text,
            path,
            SCHEMA,
            older="It comes from an older agent: write a new kit with `pipeline kit`, and run that.",
            newer="Update edgebound on this machine.",
        )
        receipt = load(Receipt, text)
    except (OSError, ValueError) as exc:
        raise ModelError(f"{path} cannot be read as a receipt: {exc}", hint=_AGAIN) from exc
    problem = next(_contradictions(receipt), "")
    if problem:
        raise ModelError(f"{path} contradicts itself: {problem}.", hint=_AGAIN)
    check_files(folder, receipt.files, beside=(FILE_NAME, SEAL_NAME), error=ModelError, hint=_AGAIN)
    return receipt


def open_receipt(folder: Path, *, kit: Kit, kit_id: str, key: str) -> Receipt:
    """Read a receipt that is to answer to a kit.

    Args:
        folder: The receipt's.
        kit: That it is to answer to.
        kit_id: Of the kit.
        key: With which it is to be sealed, in hex digits.

    Raises:
        EvidenceError: It answers to another kit, comes from another agent or from the future, or its seal is
            not the kit's.
        ModelError: As `load_receipt`.
    """
    if claimed_kit(folder) != kit_id:
        raise EvidenceError(
            f"The receipt answers to kit {claimed_kit(folder)[:12]}, not to {kit_id[:12]}: another model,"
            " other pictures, another target or other settings.",
            hint="Run this kit on the board, and bring back what it writes.",
        )
    _check_seal(folder, key)
    receipt = load_receipt(folder)
    if receipt.agent != kit.agent:
        raise EvidenceError(
            f"The receipt was written by agent {receipt.agent[:12]}; the kit's is {kit.agent[:12]}.",
            hint="Run the agent.pyz that is in the kit.",
        )
    if [(one.id, one.precision) for one in receipt.engines] != [
        (one.id, one.precision) for one in kit.models
    ]:
        raise EvidenceError("The receipt is about other engines than the kit's.", hint=_AGAIN)
    if _when(receipt) > datetime.now(timezone.utc) + _AHEAD:
        raise EvidenceError(
            f"The receipt says that it was measured at {receipt.measured_at}, which is yet to come.",
            hint="Set the board's clock (`sudo timedatectl set-ntp true`), and run the kit again.",
        )
    return receipt


def _check_seal(folder: Path, key: str) -> None:
    try:
        given = (folder / SEAL_NAME).read_text(encoding="utf-8").strip()
        sealed = hmac.compare_digest(given, _seal((folder / FILE_NAME).read_bytes(), key))
    except (OSError, ValueError, TypeError) as exc:
        raise EvidenceError(f"{folder / SEAL_NAME} cannot be read: {exc}", hint=_AGAIN) from exc
    if not sealed:
        raise EvidenceError(
            f"{folder / FILE_NAME} does not fit its seal: it was changed, or made for another project.",
            hint=_AGAIN,
        )


def _seal(text: bytes, key: str) -> str:
    return hmac.new(bytes.fromhex(key), text, hashlib.sha256).hexdigest()


def _when(receipt: Receipt) -> datetime:
    """Give the end of the measurement.

    Raises:
        ValueError: It is no time with a zone.
    """
    found = datetime.fromisoformat(receipt.measured_at.replace("Z", "+00:00"))
    if found.tzinfo is None:
        raise ValueError("a time without a zone")
    return found


def _contradictions(receipt: Receipt) -> Iterator[str]:
    try:
        _when(receipt)
    except ValueError as exc:
        yield f"'{receipt.measured_at}' is no time of a measurement: {exc}"
    if len({one.id for one in receipt.engines}) != len(receipt.engines):
        yield "an engine is in it twice"
    for one in receipt.engines:
        for problem in _engine_contradictions(one, receipt.files):
            yield f"engine '{one.id}' {problem}"


def _engine_contradictions(one: EngineReceipt, files: Mapping[str, EngineFile]) -> Iterator[str]:
    if one.failed:
        if one.build or one.timings:
            yield "failed, and yet has figures"
        return
    if one.build is None or not one.timings:
        yield "has neither failed nor been built and timed"
    wanted = (f"engines/{one.id}/{MANIFEST}", f"engines/{one.id}/model.json", f"detections/{one.id}.npz")
    for name in wanted:
        if name not in files:
            yield f"lacks {name}"
    for timing in one.timings:
        if not _follows(timing.latency):
            yield f"has latencies in mode '{timing.mode}' that do not follow from their samples"


def _follows(latency: Latency) -> bool:
    """Say whether percentiles are those of the samples."""
    if not latency.samples or min(latency.samples) <= 0:
        return False
    own = describe(latency.samples)
    # Another release of Python may round the last digit of a mean or a deviation otherwise.
    near = math.isclose(own.mean, latency.mean) and math.isclose(own.cov, latency.cov, abs_tol=1e-9)
    return near and replace(own, mean=latency.mean, cov=latency.cov) == latency
