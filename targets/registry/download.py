"""Download: a blob to a file, its digest taken on the way; cut off, it goes on where it was."""

import hashlib
import os
import re
from pathlib import Path
from typing import IO

from targets.errors import DigestError
from targets.registry.answer import Answer
from targets.registry.content import Descriptor
from targets.registry.disk import explained
from targets.registry.part import open_part, part_of
from targets.registry.patience import Patience, TransientError
from targets.registry.repository import Moved
from targets.registry.session import Session
from targets.registry.wire import Request

_CHUNK = 1 << 20
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_MOST_DAMAGED = 2  # times that a whole blob may arrive damaged; it is more than a flipped bit then


def download(session: Session, blob: Descriptor, path: Path, moved: Moved) -> None:
    """Write a blob to `path`, where it appears whole. What has come is kept beside it until then.

    Raises:
        DigestError: It has other bytes.
        NotFoundError: It is not there.
        TransientError: It cannot be reached, or was cut off again and again.
        DiskFullError: There is no room.
        RegistryError: Another process is at it.
    """
    part = part_of(blob, path)
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with open_part(part) as file:
            _Download(session, blob, file, moved).run()
            file.flush()
            part.replace(path)


class _Download:
    """What has come of one blob."""

    def __init__(self, session: Session, blob: Descriptor, file: "IO[bytes]", moved: Moved) -> None:
        self._session = session
        self._blob = blob
        self._file = file
        self._moved = moved
        self._sha256 = hashlib.sha256()
        self._have = 0

    def run(self) -> None:
        self._take_up()
        patience = Patience(self._session.access.retry)
        damaged = 0
        while True:
            before = self._have
            try:
                if self._have < self._blob.size:
                    self._fetch()
                if self._sha256.hexdigest() == self._blob.hex:
                    return
            except TransientError as exc:
                patience.progress(self._have - before)
                patience.wait(exc)
                continue
            self._start_over()
            damaged += 1
            if damaged == _MOST_DAMAGED:
                raise DigestError(
                    f"{self._session.name} gave other bytes than {self._blob.digest} names.",
                    hint="The registry's copy is damaged, or was tampered with: push it again.",
                )

    def _take_up(self) -> None:
        """Take the digest of what an earlier attempt has left."""
        if os.fstat(self._file.fileno()).st_size > self._blob.size:
            self._start_over()
        for chunk in iter(lambda: self._file.read(_CHUNK), b""):
            self._sha256.update(chunk)
            self._have += len(chunk)
        self._moved(self._have)

    def _start_over(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._moved(-self._have)
        self._sha256, self._have = hashlib.sha256(), 0

    def _fetch(self) -> None:
        """Fetch what is missing, as far as one connection goes."""
        headers = {"Range": f"bytes={self._have}-"} if self._have else {}
        request = Request("GET", self._session.url(f"blobs/{self._blob.digest}"), headers)
        with self._session.ask(request, self._session.scopes("pull"), (200, 206, 416)) as answer:
            self._refuse_wrong_part(answer)
            while self._have < self._blob.size:
                chunk = answer.read_some()
                if not chunk:
                    raise TransientError(
                        f"{self._session.name} was cut off after {self._have} of {self._blob.size} bytes."
                    )
                self._keep(chunk[: self._blob.size - self._have])

    def _refuse_wrong_part(self, answer: Answer) -> None:
        """See that what comes is what was asked for.

        Raises:
            TransientError: It is not.
        """
        if answer.status == 200 and self._have:  # the server knows no ranges
            self._start_over()
        begin, total = self._have, str(self._blob.size)
        if answer.status == 206:
            found = _RANGE.fullmatch(answer.header("Content-Range"))
            begin, total = (int(found.group(1)), found.group(2)) if found else (-1, "")
        wrong_size = answer.size is not None and answer.size != self._blob.size - self._have
        encoded = answer.header("Content-Encoding") not in ("", "identity")
        if answer.status == 416 or begin != self._have or total not in ("*", str(self._blob.size)):
            self._start_over()
            raise TransientError(f"{self._session.name} gave another part of a file than was asked for.")
        if wrong_size or encoded:
            raise TransientError(
                f"{self._session.name} says that {answer.size} bytes come of {self._blob.digest}, where "
                f"{self._blob.size - self._have} are missing.",
                hint="Does a proxy on the way change what it carries?",
            )

    def _keep(self, chunk: bytes) -> None:
        self._sha256.update(chunk)
        self._file.write(chunk)
        self._have += len(chunk)
        self._moved(len(chunk))
