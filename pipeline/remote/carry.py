"""Carry a kit to a free device that is its target, and bring back the receipt."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from pipeline.remote.agent import Parcel
from pipeline.remote.choose import Candidate, choose
from pipeline.remote.devices import LOCAL, Device, load_devices
from pipeline.remote.link import Link
from pipeline.remote.local import LocalLink
from pipeline.remote.persist import Patience
from pipeline.remote.ssh import SshLink
from pipeline.remote.visit import Visit
from pipeline.runner import Reporter
from targets.errors import EvidenceError
from targets.profile import TargetProfile


@dataclass(frozen=True)
class Brought:
    """What became of a kit.

    Attributes:
        receipt: The receipt's folder, unchecked; None where no device has done the work.
        why: Why none has, a line a device.
    """

    receipt: Path | None
    why: tuple[str, ...] = ()


def carry_out(  # noqa: PLR0913 — the one way in
    kit: Path,
    *,
    kit_id: str,
    target: str,
    profile: TargetProfile,
    devices_file: Path,
    max_age_h: float,
    workdir: Path,
    reporter: Reporter,
    patience: Patience = Patience(),  # noqa: B008 — frozen
) -> Brought:
    """Let a device do a kit's work.

    Args:
        kit: The kit's folder, with its seal.
        kit_id: The kit's.
        target: As asked for, `orin@6.2`.
        profile: The target's.
        devices_file: `devices.yaml`.
        max_age_h: A measurement older than this is made again, in hours.
        workdir: Where the receipt is put; kept from one attempt to the next.
        reporter: Told how it goes on.
        patience: With connections that break.

    Raises:
        ConfigError: `devices_file` is wrong.
        EdgeboundError: The work failed on the device; in its own words.
    """
    devices = load_devices(devices_file)
    claiming = [one for one in devices if one.claims(target, profile.jetpack)]
    serving = [one for one in claiming if one.slots]
    why = [f"{one.name}: it is out of service (slots: 0)" for one in claiming if not one.slots]
    if not claiming:
        labels = sorted({label for one in devices for label in one.targets})
        why = [f"no device in {devices_file} is '{target}'; there are: {', '.join(labels) or 'none'}"]
    parcel = Parcel(kit, kit_id, target)
    with ExitStack() as stack:
        links = [stack.enter_context(closing(_link(one))) for one in serving]
        candidates, reasons = choose(links, parcel)
        why += reasons
        for candidate in candidates:
            _tell(candidate, reporter)
            visit = Visit(candidate.agent, max_age_h, reporter, patience)
            try:
                return Brought(visit.make(workdir), tuple(why))
            except EvidenceError as exc:  # another device may do it; else a person
                name = candidate.agent.device.name
                why.append(f"{name}: {exc.what.removeprefix(f'{name}: ')} {exc.hint}")
    return Brought(None, tuple(why))


def _link(device: Device) -> Link:
    return LocalLink(device) if device.host == LOCAL else SshLink(device)


def _tell(candidate: Candidate, reporter: Reporter) -> None:
    device = candidate.agent.device
    if candidate.busy and not candidate.begun:
        reporter.note(f"{device.name} is busy, waiting up to {device.wait_s:.0f} s: {candidate.busy}")
