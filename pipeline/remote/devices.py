"""Devices: the boards that `devices.yaml` names, and which targets each of them is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.yaml_file import Source, load_source, parse
from targets.errors import ConfigError

DEVICES_FILE = "devices.yaml"
LOCAL = "local"
_HINT = "examples/devices.yaml shows a complete file."
_OPTION = re.compile(r"[A-Za-z]+[= ].+")
_WORD = re.compile(r"[A-Za-z0-9_.:%\[\]][A-Za-z0-9_.:%\[\]-]*")  # nothing that ssh takes for an option


@dataclass(frozen=True, kw_only=True)
class Device:
    """One board.

    Attributes:
        name: What messages call it.
        host: Name or address for ssh, or `local` for this machine itself.
        targets: What it is, as `orin@6.2`, or `orin` whatever its JetPack release.
        user: Who logs in there; empty leaves that to the ssh configuration.
        port: Of its ssh server; 0 leaves that to the ssh configuration.
        identity_file: Private key; empty leaves that to the ssh configuration.
        known_hosts: File with its host key; empty for the user's own.
        options: Further settings for ssh, as `ProxyJump=gate`.
        python: There; a name or a path.
        state: Folder there that is ours: agents, kits, work, the lease of the board.
        slots: Jobs at once. More than one only where each has an accelerator of its own; 0: out of service.
        wait_s: How long to wait for a busy board, in seconds.
        keep: Kits that stay there when the work is done, the latest.
    """

    name: str
    host: str
    targets: tuple[str, ...]
    user: str = ""
    port: int = 0
    identity_file: str = ""
    known_hosts: str = ""
    options: tuple[str, ...] = ()
    python: str = "python3"
    state: str = "~/.edgebound"
    slots: int = 1
    wait_s: float = 600
    keep: int = 3

    def claims(self, target: str, jetpack: str) -> bool:
        """Say whether it may be a target.

        Args:
            target: As asked for, `orin` or `orin@6.2`.
            jetpack: Release that the target is for; empty off Jetson.
        """
        name = target.partition("@")[0]
        labels = (label.partition("@") for label in self.targets)
        return any(label == name and release in ("", jetpack) for label, _, release in labels)


@dataclass(frozen=True)
class _Written:
    devices: tuple[Device, ...]


def load_devices(file: Path) -> tuple[Device, ...]:
    """Read `devices.yaml`.

    Raises:
        UsageError: It cannot be read.
        ConfigError: It is wrong; with all problems and their lines.
    """
    source = load_source(file)
    devices = parse(_Written, source, hint=_HINT).devices
    problems = list(_problems(devices, source))
    if problems:
        raise ConfigError(problems, hint=_HINT)
    return devices


def _problems(devices: Sequence[Device], source: Source) -> Iterator[str]:
    names = [device.name for device in devices]
    for number, device in enumerate(devices):
        place = source.place(("devices", str(number)))
        if names.count(device.name) > 1:
            yield f"{place}: {device.name}: another device has this name"
        for problem in _device_problems(device):
            yield f"{place}: {device.name}: {problem}"


def _device_problems(device: Device) -> Iterator[str]:
    checks = (
        (_WORD.fullmatch(device.host), f"host '{device.host}' is no name or address"),
        (_WORD.fullmatch(device.user or "me"), f"user '{device.user}' is no name"),
        (device.targets, "targets: at least one is expected, as orin@6.2"),
        (device.state.startswith(("~/", "/")), f"state '{device.state}' is neither absolute nor below ~/"),
        (device.port in range(65536), f"port {device.port} is no port"),
        (device.slots >= 0 and device.wait_s >= 0, "slots and wait_s cannot be negative"),
        (device.keep >= 1, "keep is at least 1: the kit whose receipt was fetched last"),
    )
    yield from (problem for is_right, problem in checks if not is_right)
    for option in device.options:
        if not _OPTION.fullmatch(option):
            yield f"options: '{option}' has not the form Name=value, as ProxyJump=gate"
