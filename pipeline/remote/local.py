"""This machine itself as a device: a GPU host, or a board that runs the pipeline."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.remote.devices import Device
from pipeline.remote.link import UnreachableError


@dataclass(frozen=True)
class LocalLink:
    """Runs lines here."""

    device: Device

    def connect(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""

    def command(self, line: str) -> list[str]:
        """Give the command that runs a line in a POSIX shell."""
        return ["sh", "-c", line]

    def cut(self, code: int, said: str) -> UnreachableError | None:
        """Give nothing: there is no connection to lose."""
        del code, said
        return None
