"""Boards: who does the work of a kit. A receipt that is there already, a device over SSH, or a person."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.kits import Order, hand_out
from pipeline.receipts import Answer, file_receipt, find_receipt
from pipeline.remote import DEVICES_FILE, carry_out, load_devices
from pipeline.runner import Done, Runner
from stages.artifact import Artifact
from stages.pack import Packed
from targets.profile import TargetProfile
from targets.receipt import load_receipt


def _crashed(receipt: Artifact) -> bool:
    """Say whether a builder was killed there: it is worth another try."""
    return any(one.crashed for one in load_receipt(receipt.path).engines)


def check_devices(folder: Path) -> None:
    """See that `devices.yaml`, if there is one, can be read: before anybody trains for a week.

    Raises:
        ConfigError: It is wrong; with all problems and their lines.
    """
    if (folder / DEVICES_FILE).exists():
        load_devices(folder / DEVICES_FILE)


@dataclass(frozen=True, kw_only=True)
class Boards:
    """The boards that `devices.yaml` names.

    Attributes:
        runner: Of the run: its store has the receipts, its reporter hears how it goes on.
        folder: Where `devices.yaml` is.
        max_age: A measurement older than this is made again, where a board can be reached.
    """

    runner: Runner
    folder: Path
    max_age: timedelta

    def __call__(self, packed: Packed, profile: TargetProfile, order: Order) -> Answer:
        """Give the receipt for a kit: the one that is there while it is fresh, else from a board.

        A stale one is better than none where no board can be reached; the gate sees its age.

        Raises:
            EvidenceError: The board gave a receipt that cannot be accepted.
            EdgeboundError: The work failed on the board; with its own words.
        """
        found = find_receipt(self.runner.store, packed.id)
        if found and found[1] <= self.max_age and not _crashed(found[0]):
            return Answer(receipt=found[0])
        brought = self._carry_out(packed, profile, order)
        if brought.receipt is None and found:
            return Answer(receipt=found[0], why=brought.why)
        return brought

    def _carry_out(self, packed: Packed, profile: TargetProfile, order: Order) -> Answer:
        devices, store = self.folder / DEVICES_FILE, self.runner.store
        if not devices.exists():
            return Answer(receipt=None, why=(f"there is no {DEVICES_FILE} in {self.folder.resolve()}",))
        begin = time.perf_counter()
        with TemporaryDirectory(prefix="kit-", dir=store.root / "work") as scratch:
            kit = hand_out(packed, Path(scratch) / "kit", store=store, order=order)
            brought = carry_out(
                kit,
                kit_id=packed.id,
                target=order.target,
                profile=profile,
                devices_file=devices,
                max_age_h=self.max_age.total_seconds() / 3600,
                workdir=store.root / "work" / f"receipt-{packed.id}",
                reporter=self.runner.reporter,
            )
            if brought.receipt is None:
                return Answer(receipt=None, why=brought.why)
            receipt = file_receipt(store, kit, brought.receipt)
        self.runner.tell(
            Done(
                stage="build",
                label=f"{order.target} on its board",
                key=packed.id,
                seconds=time.perf_counter() - begin,
                cached=False,
                made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            )
        )
        return Answer(receipt=receipt, why=brought.why)
