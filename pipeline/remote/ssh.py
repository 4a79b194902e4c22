"""Devices over ssh: the system's own client, one connection for all commands, no question asked."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from pipeline.remote.devices import Device
from pipeline.remote.link import UnreachableError

_CONNECT_S = 10
_ALIVE_S = 5  # between two signs of life; after three missing ones the connection is given up
_POLL_S = 0.02
_FAILED = 255  # exit code of ssh itself
_SETTINGS = (
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "RequestTTY=no",
    "LogLevel=ERROR",
)

_REFUSALS = {  # what ssh says: what it means, and what to do
    "IDENTIFICATION HAS CHANGED": (
        "Its host key is another one than before.",
        "If the board was set up anew, replace its key in {keys}; if not, somebody may be in between.",
    ),
    "Host key verification failed": (
        "Its host key is not known here.",
        (
            "Compare what `ssh-keyscan {host} | ssh-keygen -lf -` says here with what"
            " `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` says on the board; if they are the same:"
            " ssh-keyscan {host} >> {keys}"
        ),
    ),
    "Permission denied": ("It does not let us in.", "ssh-copy-id {login}"),
    "Could not resolve": ("Its name is not known.", "Check `host` in devices.yaml."),
}


@dataclass
class SshLink:
    """A device over ssh."""

    device: Device
    _folder: tempfile.TemporaryDirectory[str] = field(
        default_factory=lambda: tempfile.TemporaryDirectory(prefix="eb-")
    )
    _master: subprocess.Popen[bytes] | None = None
    _said: IO[bytes] | None = None

    @property
    def _socket(self) -> Path:
        return Path(self._folder.name) / "s"

    def connect(self) -> None:
        """Open the connection that all commands share, unless it is there."""
        if self._master and self._master.poll() is None and self._socket.exists():
            return
        self._hang_up()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 — lives as long as the master
        command = ["ssh", *self._options(), "-o", "ControlMaster=yes", "-N", "--", self.device.host]
        try:
            self._master = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._said
            )
        except FileNotFoundError as exc:
            raise UnreachableError(
                "There is no ssh client on this machine.", hint="sudo apt-get install openssh-client"
            ) from exc
        end = time.monotonic() + 3 * _CONNECT_S
        while not self._socket.exists():
            if self._master.poll() is not None or time.monotonic() > end:
                self._said.seek(0)
                raise refusal(self.device, self._said.read().decode("utf-8", "replace"))
            time.sleep(_POLL_S)

    def close(self) -> None:
        """End the connection."""
        self._hang_up()
        self._folder.cleanup()

    def command(self, line: str) -> list[str]:
        """Give the command that runs a line in a POSIX shell there, whatever the user's own shell is."""
        return ["ssh", *self._options(), "--", self.device.host, f"exec sh -c {shlex.quote(line)}"]

    def cut(self, code: int, said: str) -> UnreachableError | None:
        """Give the error if a command ended since the connection did."""
        if code != _FAILED:
            return None
        self._hang_up()
        return refusal(self.device, said)

    def _options(self) -> list[str]:
        settings = [
            *_SETTINGS,
            *self.device.options,
            f"ConnectTimeout={_CONNECT_S}",
            f"ServerAliveInterval={_ALIVE_S}",
            "ServerAliveCountMax=3",
            f"ControlPath={self._socket}",
            *_own_settings(self.device),
        ]
        return [part for setting in settings for part in ("-o", setting)]

    def _hang_up(self) -> None:
        if self._master:
            self._master.terminate()
            self._master.wait()
            self._master = None
        if self._said:
            self._said.close()
            self._said = None
        with suppress(FileNotFoundError):
            self._socket.unlink()


def _own_settings(device: Device) -> Iterator[str]:
    if device.user:
        yield f"User={device.user}"
    if device.port:
        yield f"Port={device.port}"
    if device.identity_file:
        yield f"IdentityFile={_quoted(device.identity_file)}"
        yield "IdentitiesOnly=yes"
    if device.known_hosts:
        yield f"UserKnownHostsFile={_quoted(device.known_hosts)}"
        yield "GlobalKnownHostsFile=/dev/null"


def _quoted(path: str) -> str:
    return f'"{Path(path).expanduser()}"'


def refusal(device: Device, said: str) -> UnreachableError:
    """Turn what ssh says into why a device cannot be reached, and what to do."""
    port = f"-p {device.port} " if device.port else ""
    words = {
        "host": f"{port}{device.host}",
        "login": f"{port}{device.user}@{device.host}" if device.user else f"{port}{device.host}",
        "keys": device.known_hosts or "~/.ssh/known_hosts",
    }
    for sign, (what, hint) in _REFUSALS.items():
        if sign in said:
            return UnreachableError(what, hint=hint.format_map(words))
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    last = lines[-1].rstrip(".") if lines else f"no answer within {_CONNECT_S} s"
    return UnreachableError(
        f"It cannot be reached: {last}.", hint="Is it on, in this network, and sshd running there?"
    )
