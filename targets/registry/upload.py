"""Upload: a blob to a registry; cut off, it goes on from where the registry says it is.

Protocol: OCI distribution-spec v1.1, "Pushing blobs" and "Pushing a blob in chunks". Not all can say where
they are: distribution 2.8 gives up an upload that was cut within a chunk (its `ResumeBlobUpload` compares the
size with that in the URL). Then all is sent again, in smaller chunks and over a connection each: some proxies
cut connections after so many bytes.
"""

import re
from pathlib import Path
from typing import Callable
from urllib.parse import urlencode

from targets.errors import DigestError, NotFoundError, RegistryError
from targets.folder import describe_file
from targets.registry.answer import Answer
from targets.registry.body import Body
from targets.registry.content import Descriptor
from targets.registry.patience import Patience, TransientError
from targets.registry.repository import Content, Moved
from targets.registry.session import Session
from targets.registry.wire import Request

_SMALL = 1 << 20  # bytes; up to here one request is cheaper than being able to go on
_LEAST = 256 << 10  # bytes of a chunk
_BINARY = {"Content-Type": "application/octet-stream"}
_RANGE = re.compile(r"(?:bytes=)?0-(\d{1,18})")
_MOST_DAMAGED = 2  # times that a whole blob may arrive damaged; it is more than a flipped bit then


class Upload:
    """One blob on its way."""

    def __init__(self, session: Session, blob: Descriptor, content: Content, moved: Moved) -> None:
        self._session = session
        self._blob = blob
        self._content = content
        self._moved = moved
        self._patience = Patience(session.access.retry)
        self._url = ""  # what the registry calls the upload at this moment; changes with each request
        self._sent = 0  # bytes that are there
        self._told = 0
        self._is_sure = True  # whether nothing was lost since `_sent` was true
        self._chunk = max(blob.size, _SMALL)  # all at once, until a registry forgets what came before a cut
        self._least = _LEAST
        self._damaged = 0

    def run(self, is_there: Callable[[], bool], mount_from: str = "") -> None:
        """Send it.

        Args:
            is_there: Asked whether the blob is there after all, when an answer was lost.
            mount_from: Another repository that may have it; empty for none.

        Raises:
            DigestError: The file has changed, or arrives damaged again and again.
            RegistryError: The registry refuses it.
            TransientError: It was cut off again and again.
        """
        while True:
            try:
                if not self._is_sure:
                    if is_there():
                        break
                    self._find_again()
                if not self._url and self._begin(mount_from):
                    break
                self._send()
                break
            except TransientError as exc:
                self._is_sure = False
                self._patience.wait(exc)
        self._tell(self._blob.size - self._told)

    def _begin(self, mount_from: str) -> bool:
        """Open an upload; if another repository had the blob, that is all."""
        url = self._session.url("blobs/uploads/")
        if mount_from:
            mount = urlencode({"mount": self._blob.digest, "from": mount_from})
            try:
                return self._open(f"{url}?{mount}", mount_from)
            except TransientError:
                raise
            except RegistryError:  # what may not be read there can still be sent from here
                pass
        return self._open(url)

    def _open(self, url: str, *others: str) -> bool:
        scopes = self._session.scopes("pull,push", *others)
        with self._session.ask(Request("POST", url), scopes, (201, 202)) as answer:
            answer.said()
            if answer.status == 201:
                return True
            self._sent, self._is_sure = 0, True
            self._follow(url, answer)
            least = answer.header("OCI-Chunk-Min-Length")
            self._least = max(_LEAST, int(least) if least.isdigit() else 0)
        return False

    def _find_again(self) -> None:
        """Ask how much has arrived before the connection was cut."""
        if not self._url:
            return
        scopes, before = self._session.scopes("pull,push"), self._sent
        try:
            with self._session.ask(Request("GET", self._url), scopes, (200, 202, 204)) as answer:
                answer.said()
                self._follow(self._url, answer)
                self._sent = self._arrived(answer, 0)
        except TransientError:
            raise
        except RegistryError:  # it is gone, or this registry does not tell
            self._url, self._sent = "", 0
        self._patience.progress(self._sent - before)
        if self._sent <= before and self._chunk > self._least:
            self._chunk = max(self._chunk // 4, self._least)
            self._patience.renew()
        self._tell(self._sent - self._told)
        self._is_sure = True

    def _send(self) -> None:
        try:
            if self._blob.size <= _SMALL:
                self._finish(Body(self._content, 0, self._blob.size))
                return
            while self._sent < self._blob.size:
                self._send_chunk()
            self._finish(Body(b"", 0, 0))
        except NotFoundError as exc:
            self._url = ""
            raise TransientError(f"{self._session.name} has forgotten an upload.") from exc

    def _send_chunk(self) -> None:
        size = min(self._chunk, self._blob.size - self._sent)
        headers = {**_BINARY, "Content-Range": f"{self._sent}-{self._sent + size - 1}"}
        if self._chunk < self._blob.size:
            headers["Connection"] = "close"
        request = Request("PATCH", self._url, headers, Body(self._content, self._sent, size, self._tell))
        with self._session.ask(request, self._session.scopes("pull,push"), (202, 416)) as answer:
            answer.said()
            arrived = self._arrived(answer, self._sent + size)
            if answer.status == 416 or arrived <= self._sent:
                raise TransientError(f"{self._session.name} has lost a part of an upload.")
            self._follow(self._url, answer)
            self._sent = min(arrived, self._blob.size)
        self._tell(self._sent - self._told)

    def _finish(self, body: Body) -> None:
        """Say that this was all; the registry then holds it against the digest."""
        joint = "&" if "?" in self._url else "?"
        url = f"{self._url}{joint}{urlencode({'digest': self._blob.digest})}"
        request = Request("PUT", url, _BINARY, body, answer_s=self._session.access.commit_s)
        with self._session.ask(request, self._session.scopes("pull,push"), (201, 202, 204, 400)) as answer:
            said = answer.said()
            if answer.status != 400:
                return
        self._url = ""
        if not re.search(r"(DIGEST|SIZE)_INVALID", said):
            raise RegistryError(
                f"{self._session.name} refuses a blob: {said}", hint="Is this an OCI registry?"
            )
        self._refuse_changed()
        self._damaged += 1
        if self._damaged == _MOST_DAMAGED:
            raise DigestError(
                f"{self._blob.digest} arrives damaged at {self._session.name}.",
                hint="Does a proxy on the way change what it carries?",
            )
        raise TransientError(f"{self._blob.digest} arrived damaged.")

    def _refuse_changed(self) -> None:
        if isinstance(self._content, Path) and describe_file(self._content).sha256 != self._blob.hex:
            raise DigestError(
                f"{self._content} has changed since its digest was taken.", hint="Run the same command again."
            )

    def _follow(self, url: str, answer: Answer) -> None:
        """Go where the registry wants the next request of this upload."""
        location = answer.header("Location")
        if location:
            self._url = self._session.absolute(url, location)
        elif not self._url:
            raise RegistryError(
                f"{self._session.name} does not say where to upload to.", hint="Is this an OCI registry?"
            )

    def _arrived(self, answer: Answer, otherwise: int) -> int:
        """Give how many bytes a registry says it has. Those that have none say 0-0, as with one byte."""
        found = _RANGE.fullmatch(answer.header("Range"))
        last = int(found.group(1)) if found else -1
        return (last + 1 if last else 0) if found else otherwise

    def _tell(self, size: int) -> None:
        self._told += size
        self._moved(size)
