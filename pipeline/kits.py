"""Kits that were handed out: sealed, and remembered, so that a receipt finds the run it belongs to."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from secrets import token_bytes

from pipeline.files import explained, write_atomically
from pipeline.store import Store
from stages.pack import Packed
from targets.agent.archive import make_agent
from targets.errors import EvidenceError
from targets.kit import write_seal


@dataclass(frozen=True, kw_only=True)
class Order:
    """How a run was asked for, so that it can be judged again when a receipt comes.

    Attributes:
        config: The configuration file as given, or empty for the one in the root.
        settings: Of `--set`.
        demo: Of `--demo`.
        target: By the name that the run calls it.
        asked: All targets as they were asked for, files of profiles too.
        baseline: Of `--baseline`.
    """

    config: str = ""
    settings: tuple[str, ...] = ()
    demo: bool = False
    target: str = ""
    asked: tuple[str, ...] = ()
    baseline: str = ""


def agent_digest() -> str:
    """Give the sha256 of the agent that this program puts into kits."""
    return hashlib.sha256(make_agent()).hexdigest()


def hand_out(packed: Packed, folder: Path, *, store: Store, order: Order) -> Path:
    """Write a kit with the seal of this project to `folder`, and remember what it is for.

    Raises:
        StoreError: The folder cannot be written.
    """
    with explained(folder):
        shutil.copytree(packed.kit.path, folder, copy_function=shutil.copyfile)
        write_seal(folder, packed.id, seal_key(store, packed.id))
        records = store.root / "kits"
        records.mkdir(exist_ok=True)
    write_atomically(records / f"{packed.id}.json", json.dumps(asdict(order), sort_keys=True).encode())
    return folder


def find_order(store: Store, kit_id: str) -> Order:
    """Find what a kit was made for.

    Raises:
        EvidenceError: This project did not hand it out.
    """
    try:
        record = json.loads((store.root / "kits" / f"{kit_id}.json").read_bytes())
        lists = {name: tuple(record[name]) for name in ("settings", "asked")}
        return Order(**{**record, **lists})
    except (OSError, ValueError, TypeError, KeyError) as exc:
        raise EvidenceError(
            f"The receipt answers to kit {kit_id[:12]}, which was not handed out by this project.",
            hint="Run `pipeline accept` in the folder where the kit was made, or name it with --root.",
        ) from exc


def seal_key(store: Store, kit_id: str) -> str:
    """Give the key with which the board seals its receipt for a kit, 64 hex digits.

    Derived from a secret of this project, so that the same kit always gets the same key.

    Raises:
        StoreError: The secret cannot be written.
    """
    path = store.root / "secret"
    with explained(path):
        if not path.exists():
            _write_secret(path)
        secret = path.read_bytes()
    return hmac.new(secret, kit_id.encode(), hashlib.sha256).hexdigest()


def _write_secret(path: Path) -> None:
    """Write it once, whoever else tries at the same time."""
    fresh = path.with_name(f".secret.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, token_bytes(32))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(fresh, path)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
