"""Receipts: checked against the kit they answer to, and kept in the store like the result of a step."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from pipeline.kits import seal_key
from pipeline.store import Entry, Store
from stages.artifact import Artifact, digest_json
from targets.board.fit import fits
from targets.errors import EvidenceError
from targets.kit import Kit, open_kit
from targets.receipt import Receipt, open_receipt

_NAME = "receipt"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What became of a kit.

    Attributes:
        receipt: The accepted receipt's folder; None where no board has done the work.
        why: Why there is none, or what is to be known about it.
    """

    receipt: Artifact | None
    why: tuple[str, ...] = ()


def file_receipt(store: Store, kit: Path, receipt: Path) -> Artifact:
    """Check a receipt and keep it; the latest for a kit counts.

    Args:
        store: Of the project.
        kit: The kit's folder.
        receipt: The receipt's folder.

    Raises:
        EvidenceError: It is for another kit, from a board that is not the target, or has been changed.
        ModelError: A file in it is broken.
    """
    given, kit_id = open_kit(kit)
    found = open_receipt(receipt, kit=given, kit_id=kit_id, key=seal_key(store, kit_id))
    refuse_stranger(found, given)
    artifact = Artifact.of(receipt)
    key = _key(kit_id)
    with store.lock(key, waiting=lambda _: None):
        entry = store.commit(
            key,
            {
                "stage": "build",
                "label": f"receipt of {found.identity.model or found.identity.module or 'a board'}",
                "kit": kit_id,
                "result": {"receipt": {"path": _NAME, "digest": artifact.digest}},
                "seconds": found.seconds,
                "made": found.measured_at,
            },
            {_NAME: receipt},
        )
        store.mark_used(key)
    return store.open(entry, _NAME, artifact.digest)


def refuse_stranger(receipt: Receipt, kit: Kit) -> None:
    """Refuse the receipt of a board that is not the target.

    Raises:
        EvidenceError: With all reasons.
    """
    reasons = fits(
        receipt.identity, kit.profile, facts=receipt.facts, runtime_version=receipt.runtime_version
    )
    if reasons:
        raise EvidenceError(
            f"The receipt comes from a board that is not {kit.target}: {'; '.join(reasons)}.",
            hint=f"Run the kit on {kit.profile.device}, or ask for the target that this board is.",
        )


def find_receipt(store: Store, kit_id: str) -> tuple[Artifact, timedelta] | None:
    """Find the latest receipt for a kit, and its age."""
    entry = store.find(_key(kit_id))
    if entry is None:
        return None
    store.mark_used(entry.key)
    return store.open(entry, _NAME, entry.record["result"]["receipt"]["digest"]), _age(entry)


def _key(kit_id: str) -> str:
    return digest_json({"receipt of kit": kit_id}).removeprefix("sha256:")


def _age(entry: Entry) -> timedelta:
    made = datetime.fromisoformat(entry.record["made"].replace("Z", "+00:00"))
    return datetime.now(timezone.utc) - made
