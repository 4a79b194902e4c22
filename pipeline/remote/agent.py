"""The agent on a device: where it, a kit and its job lie there, and the lines that call it."""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pipeline.remote.devices import Device
from pipeline.remote.link import Link, ask, failure
from targets.kit import AGENT_NAME, FILE_NAME, JOB_NAME, SEAL_NAME, Kit, read_kit


@dataclass(frozen=True)
class Parcel:
    """A kit to carry.

    Attributes:
        folder: Here.
        kit_id: The kit's.
        target: As it was asked for.
    """

    folder: Path
    kit_id: str
    target: str

    @cached_property
    def kit(self) -> Kit:
        """What the kit says."""
        return read_kit(self.folder)

    @cached_property
    def name(self) -> str:
        """Name of its folder on a device: another project's kit of equal content has a seal of its own."""
        seal = hashlib.sha256((self.folder / SEAL_NAME).read_bytes()).hexdigest()
        return f"{self.kit_id[:24]}-{seal[:8]}"

    @cached_property
    def size(self) -> int:
        """In bytes."""
        return sum(entry.size for entry in self.kit.files.values())


@dataclass(frozen=True)
class Agent:
    """The agent of a parcel on a device.

    Attributes:
        link: To the device.
        parcel: What it is about.
        slot: Of the device's, from 0.
    """

    link: Link
    parcel: Parcel
    slot: int = 0

    @property
    def device(self) -> Device:
        """The device."""
        return self.link.device

    @property
    def kit(self) -> str:
        """The kit's folder, as a word of a shell."""
        return self._place("kits", self.parcel.name)

    @property
    def job(self) -> str:
        """The job's folder, as a word of a shell."""
        return f"{self.kit}/{JOB_NAME}"

    def line(self, command: str, *words: str) -> str:
        """Give a line that runs the agent.

        Args:
            command: Of the agent.
            words: Options, each a word of a shell.
        """
        state = self._place(*([f"slot-{self.slot}"] if self.slot else []))
        return " ".join([shlex.quote(self.device.python), self._path, command, "--state", state, *words])

    def install(self) -> None:
        """Bring the agent there, unless it is there.

        Raises:
            UnreachableError: The connection broke.
            EdgeboundError: It cannot be written there.
        """
        digest = self.parcel.kit.agent
        is_it = f'[ "$(sha256sum < "$1" 2>/dev/null | cut -c1-64)" = {digest} ]'
        folder = self._place("agents")
        answer = ask(
            self.link,
            f"umask 077; is_it() {{ {is_it}; }}; mkdir -p {folder} || exit 1; is_it {self._path} ||"
            f" {{ cat > {self._path}.$$ && is_it {self._path}.$$ && mv {self._path}.$$ {self._path}; }} ||"
            f" {{ rm -f {self._path}.$$; echo the agent cannot be written to {folder} >&2; exit 1; }}",
            given=(self.parcel.folder / AGENT_NAME).read_bytes(),
        )
        if answer.code:
            raise failure(self.device, answer)

    def ask_status(self) -> tuple[bool, str]:
        """Ask how things are there; gives whether this kit's work has begun there, and the agent's words.

        Raises:
            UnreachableError: The connection broke.
            EdgeboundError: The agent does not run there.
        """
        answer = ask(
            self.link,
            f'umask 077; [ -d {self.job} ] && echo begun; d=$(mktemp -d) && cat > "$d"/{FILE_NAME} && '
            + self.line("status", "--json", "--kit", '"$d"')
            + '; r=$?; rm -rf "$d"; exit $r',
            given=(self.parcel.folder / FILE_NAME).read_bytes(),
        )
        if answer.code:
            raise failure(self.device, answer)
        lines = answer.output.splitlines()
        return "begun" in lines, lines[-1]

    @property
    def _path(self) -> str:
        return self._place("agents", f"{self.parcel.kit.agent}.pyz")

    def _place(self, *parts: str) -> str:
        state, home = self.device.state, ""
        if state.startswith("~/"):
            state, home = state[2:], '"$HOME"/'
        return home + shlex.quote("/".join([state.rstrip("/"), *parts]))
