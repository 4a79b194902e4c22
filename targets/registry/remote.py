"""Remote: a repository in an OCI registry.

Protocol: OCI distribution-spec v1.1. Tried against distribution 2.8.2, which has no referrers API.
"""

import re
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple, TypeVar

from targets.errors import DigestError, NotFoundError, RegistryError
from targets.registry import referrers
from targets.registry.access import Access
from targets.registry.body import whole
from targets.registry.content import (
    INDEX_TYPE,
    MANIFEST_TYPE,
    MAX_MANIFEST,
    Descriptor,
    describe,
    load_json,
    parse_manifest,
)
from targets.registry.download import download
from targets.registry.patience import patiently
from targets.registry.reference import Reference, is_digest, is_tag
from targets.registry.repository import Content, Moved, unheard
from targets.registry.session import Session
from targets.registry.upload import Upload
from targets.registry.wire import Request

T = TypeVar("T")
_DOCKER = "application/vnd.docker.distribution.manifest"  # so that an image is told from nothing at all
_ACCEPT = f"{MANIFEST_TYPE}, {INDEX_TYPE}, {_DOCKER}.v2+json, {_DOCKER}.list.v2+json"
_NEXT = re.compile(r'<([^>]+)>\s*;\s*rel="?next"?')
_MOST_PAGES = 1000


class Remote:
    """A repository in an OCI registry. For one thread at a time."""

    def __init__(self, reference: Reference, access: Access) -> None:
        self._session = Session(reference.place, reference.name, access)
        self._retry = access.retry
        self._pull = self._session.scopes("pull")
        self._push = self._session.scopes("pull,push")

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def read_manifest(self, name: str) -> Tuple[Descriptor, bytes]:
        """Give the manifest or index of a tag or digest.

        Raises:
            NotFoundError: There is none.
            DigestError: It is another one.
        """
        url = self._session.url(f"manifests/{name}")
        return self._checked(lambda: self._read_manifest(url, name))

    def write_manifest(self, content: bytes, media_type: str, tag: str = "") -> Descriptor:
        """Put a manifest or index, all of whose blobs are there; with a tag, the tag then leads to it.

        A tag that leads to it already is left alone: looking costs a registry less than writing.
        """
        found = describe(content, media_type)
        subject = parse_manifest(content, media_type).subject
        if tag and not subject and patiently(self._retry, lambda: self._leads_to(tag)) == found.digest:
            return found
        name = tag or (referrers.own_tag(subject.digest, found) if subject else found.digest)
        lists_itself = patiently(self._retry, lambda: self._write_manifest(found, content, name))
        if subject and not lists_itself:
            entry = referrers.stated(found, parse_manifest(content, media_type))
            referrers.enlist(self, subject.digest, entry)
        return found

    def has_blob(self, blob: Descriptor) -> bool:
        """Say whether a blob is there."""
        return patiently(self._retry, lambda: self._has_blob(blob))

    def read_blob(self, blob: Descriptor) -> bytes:
        """Give a small blob.

        Raises:
            NotFoundError: It is not there.
            DigestError: It is another one.
            RegistryError: It is not small.
        """
        if blob.size > MAX_MANIFEST:
            raise RegistryError(f"{blob.digest} has {blob.size} bytes.", hint="Fetch it into a file.")
        return self._checked(lambda: self._read_blob(blob))

    def fetch_blob(self, blob: Descriptor, path: Path, moved: Moved = unheard) -> None:
        """Write a blob to a file; see `download`."""
        download(self._session, blob, path, moved)

    def push_blob(
        self, blob: Descriptor, content: Content, moved: Moved = unheard, mount_from: str = ""
    ) -> None:
        """Put a blob, unless it is there; see `Upload`."""
        if self.has_blob(blob):
            moved(blob.size)
            return
        Upload(self._session, blob, content, moved).run(lambda: self._has_blob(blob), mount_from)

    def tags(self) -> List[str]:
        """Give all tags, sorted; none of a repository that is not there."""
        found: List[str] = []
        for page in self._pages("tags/list?n=1000"):
            found += [tag for tag in _table(page).get("tags") or () if is_tag(str(tag))]
        return sorted(set(found))

    def referrers(self, digest: str) -> Iterator[Tuple[Descriptor, bytes]]:
        """Give the manifests whose subject is a digest, listed by the registry itself or by tag."""
        found = list(referrers.listed(self, digest))
        for page in self._pages(f"referrers/{digest}"):
            found += parse_manifest(page, INDEX_TYPE).manifests
        return referrers.read(self, digest, found)

    # --------------------------------------------------------------------------------------- one attempt
    def _checked(self, attempt: Callable[[], T]) -> T:
        """Read something; once more where it arrives damaged, which happens on the way too."""
        try:
            return patiently(self._retry, attempt)
        except DigestError:
            return patiently(self._retry, attempt)

    def _read_manifest(self, url: str, name: str) -> Tuple[Descriptor, bytes]:
        with self._session.ask(Request("GET", url, {"Accept": _ACCEPT}), self._pull, (200,)) as answer:
            content = answer.read(MAX_MANIFEST)
            media_type = answer.header("Content-Type").partition(";")[0].strip()
            said = answer.header("Docker-Content-Digest")
        found = describe(content, media_type)
        _refuse_other(found.digest, name if is_digest(name) else said, url)
        return found, content

    def _read_blob(self, blob: Descriptor) -> bytes:
        url = self._session.url(f"blobs/{blob.digest}")
        with self._session.ask(Request("GET", url), self._pull, (200,)) as answer:
            content = answer.read(MAX_MANIFEST)
        _refuse_other(describe(content, "").digest, blob.digest, url)
        return content

    def _write_manifest(self, found: Descriptor, content: bytes, name: str) -> bool:
        """Put a manifest, and say whether the registry lists it as a referrer by itself."""
        url = self._session.url(f"manifests/{name}")
        request = Request("PUT", url, {"Content-Type": found.media_type}, whole(content))
        with self._session.ask(request, self._push, (200, 201, 202)) as answer:
            answer.said()
            _refuse_other(answer.header("Docker-Content-Digest") or found.digest, found.digest, url)
            return bool(answer.header("OCI-Subject"))

    def _leads_to(self, tag: str) -> str:
        """Give the digest that the registry says a tag leads to; nothing if it says none."""
        request = Request("HEAD", self._session.url(f"manifests/{tag}"), {"Accept": _ACCEPT})
        with self._session.ask(request, self._pull, (200, 404)) as answer:
            return answer.header("Docker-Content-Digest") if answer.status == 200 else ""

    def _has_blob(self, blob: Descriptor) -> bool:
        request = Request("HEAD", self._session.url(f"blobs/{blob.digest}"))
        with self._session.ask(request, self._pull, (200, 404)) as answer:
            return answer.status == 200

    def _pages(self, path: str) -> Iterator[bytes]:
        """Give a list page by page; nothing where there is no such list."""
        url = self._session.url(path)
        for _ in range(_MOST_PAGES):
            try:
                page, following = patiently(self._retry, partial(self._read_page, url))
            except NotFoundError:
                return
            yield page
            if not following:
                return
            url = following

    def _read_page(self, url: str) -> Tuple[bytes, str]:
        with self._session.ask(Request("GET", url), self._pull, (200,)) as answer:
            following = _NEXT.search(answer.header("Link"))
            return answer.read(MAX_MANIFEST), self._session.absolute(
                url, following.group(1)
            ) if following else ""


def _table(page: bytes) -> Dict[str, Any]:
    try:
        return load_json(page)
    except ValueError as exc:
        raise RegistryError(
            f"A list of tags cannot be read: {exc}.", hint="Is this an OCI registry?"
        ) from exc


def _refuse_other(found: str, wanted: str, url: str) -> None:
    if is_digest(wanted) and found != wanted:
        raise DigestError(
            f"{url} is {found}, not {wanted}.",
            hint="The registry's copy is damaged, or was tampered with: push it again.",
        )
