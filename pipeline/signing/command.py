"""Command: signatures by another program, which reaches a key that we never see: a token, a key service."""

import contextlib
import os
import shlex
import signal
import subprocess
from collections.abc import Mapping

from targets.errors import TrustError, UsageError
from targets.trust.p256 import PublicKey, verify

_PATIENCE_S = 120.0  # somebody may have to touch a token
_HOW = "It gets the message on stdin, and gives its ECDSA-SHA256 signature in DER on stdout."


class CommandSigner:
    """Signs by a command.

    Attributes:
        public: The public key that belongs to it.
    """

    def __init__(
        self,
        command: str,
        public: PublicKey,
        environment: Mapping[str, str],
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self.public = public
        self._command = command
        self._environment = environment
        self._patience_s = patience_s
        try:
            self._arguments = shlex.split(command)
        except ValueError as exc:
            raise UsageError(
                f"--sign-cmd {command!r} cannot be read: {exc}.", hint="Check its quotes."
            ) from exc
        if not self._arguments:
            raise UsageError("--sign-cmd is empty.", hint=_HOW)

    @property
    def key_id(self) -> str:
        """How trust policies name it."""
        return self.public.id

    def sign(self, message: bytes) -> bytes:
        """Give the signature of a message, in DER.

        Raises:
            TrustError: The command failed, took too long, or gave something else.
        """
        signature = self._run(message)
        if not verify(self.public, message, signature):
            raise TrustError(
                f"{self._command!r} gave no signature by key {self.public.id[:16]}….",
                hint=f"{_HOW} Does --public-key belong to its key?",
            )
        return signature

    def _run(self, message: bytes) -> bytes:
        try:
            process = subprocess.Popen(
                self._arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(self._environment) or None,
                start_new_session=True,  # so that what it starts ends with it
            )
        except OSError as exc:
            raise TrustError(f"{self._command!r} cannot be run: {exc.strerror}.", hint=_HOW) from exc
        with process:
            try:
                out, err = process.communicate(message, timeout=self._patience_s)
            except subprocess.TimeoutExpired as exc:
                _end(process)
                raise TrustError(
                    f"{self._command!r} gave no signature in {self._patience_s:g} s.",
                    hint="Does it wait for a password? Run it by hand.",
                ) from exc
            except BaseException:
                _end(process)
                raise
        if process.returncode:
            said = err.decode(errors="replace").strip()[-500:] or "nothing on stderr"
            raise TrustError(f"{self._command!r} ended with {process.returncode}: {said}", hint=_HOW)
        return out


def _end(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended by itself, and so did all that it started
        os.killpg(process.pid, signal.SIGKILL)
