"""Link: a way to run shell lines on a device. Over ssh, or on this machine itself."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Protocol, cast

from pipeline.remote.devices import Device
from targets.errors import BudgetError, EdgeboundError, EvidenceError, UnsupportedError
from targets.transfer import CutError, Source

_KINDS: dict[int, type[EdgeboundError]] = {3: BudgetError, 4: EvidenceError, 5: UnsupportedError}
_END_S = 20.0  # for a command to end after its pipes are closed


class UnreachableError(EvidenceError):
    """A device cannot be reached, or not any more."""


class Link(Protocol):
    """A way to run shell lines on a device."""

    @property
    def device(self) -> Device:
        """The device."""

    def connect(self) -> None:
        """Make the connection, unless it is there.

        Raises:
            UnreachableError: It cannot be made; with why, and what to do.
        """

    def close(self) -> None:
        """End the connection."""

    def command(self, line: str) -> list[str]:
        """Give the command that runs a line in a POSIX shell there."""

    def cut(self, code: int, said: str) -> UnreachableError | None:
        """Give the error if a command ended since the connection did.

        Args:
            code: The command's exit code.
            said: On stderr.
        """


@dataclass(frozen=True)
class Answer:
    """What a command said.

    Attributes:
        code: Exit code.
        output: On stdout.
        said: On stderr.
    """

    code: int
    output: str
    said: str


@dataclass(frozen=True)
class Pipes:
    """A command under way."""

    source: Source
    sink: IO[bytes]
    lines: IO[bytes]


def ask(link: Link, line: str, *, given: bytes = b"", timeout_s: float = 120.0) -> Answer:
    """Run a line, and give what it said.

    Raises:
        UnreachableError: The connection broke, or the device did not answer in time.
    """
    try:
        found = subprocess.run(
            link.command(line), input=given, capture_output=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as exc:
        raise UnreachableError(
            f"It did not answer within {timeout_s:.0f} s.", hint="See what it is busy with, or restart it."
        ) from exc
    said = found.stderr.decode("utf-8", "replace")
    cut = link.cut(found.returncode, said)
    if cut:
        raise cut
    return Answer(found.returncode, found.stdout.decode("utf-8", "replace"), said)


@contextmanager
def talk(link: Link, line: str) -> Iterator[Pipes]:
    """Run a line, and talk with it through its pipes as long as the block lasts.

    Raises:
        UnreachableError: The connection broke.
        EdgeboundError: The command failed; in its own words.
    """
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            link.command(line), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        )
        source, sink = process.stdout, process.stdin
        assert source
        assert sink
        was_cut = False
        try:
            yield Pipes(cast("Source", source), sink, source)
        except CutError:
            was_cut = True
        except BaseException:
            process.kill()
            raise
        finally:
            _end(process, source, sink)
        errors.seek(0)
        said = errors.read().decode("utf-8", "replace")
    _conclude(link, Answer(process.returncode, "", said), was_cut=was_cut)


def _end(process: subprocess.Popen[bytes], source: IO[bytes], sink: IO[bytes]) -> None:
    """Close a command's pipes, and wait until it has ended."""
    with suppress(BrokenPipeError):
        sink.close()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        source.close()


def _conclude(link: Link, answer: Answer, *, was_cut: bool) -> None:
    cut = link.cut(answer.code, answer.said)
    if cut:
        raise cut
    if was_cut and (answer.code <= 0 or answer.code > 128):  # killed, or gone without a word
        raise UnreachableError("The connection was cut off.", hint="Run the same command again.")
    if answer.code:
        raise failure(link.device, answer)


def failure(device: Device, answer: Answer) -> EdgeboundError:
    """Give the error that an agent told of: what happened, and below it, indented, what to do."""
    lines = [line for line in answer.said.splitlines() if line.strip()]
    hint = lines.pop().strip() if len(lines) > 1 and lines[-1].startswith("  ") else ""
    what = lines[-1].strip() if lines else f"A command ended with exit code {answer.code}."
    return error_of(device, answer.code, what, hint)


def error_of(device: Device, code: int, what: str, hint: str) -> EdgeboundError:
    """Give an error of a device as one of ours."""
    kind = _KINDS.get(code, EdgeboundError)
    return kind(f"{device.name}: {what}", hint=hint or f"Look what is wrong on {device.name}.")


def shell(words: Sequence[str]) -> str:
    """Give a command as a line for a POSIX shell."""
    return shlex.join(words)
