"""Shared: steps looked up in a registry and put there. It may fail in any way; the run goes on without it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar

from pipeline.cache.entry import BLOBS, MOST_FILES, RECORD_FILE, Arrived, pack, read
from pipeline.files import explained
from pipeline.signing import Signer, attach, sign_files
from pipeline.store import Entry, Store
from targets.errors import EdgeboundError, NotFoundError, RegistryError, TrustError
from targets.registry import artifact, open_repository, open_source
from targets.registry.access import Access
from targets.registry.content import Descriptor
from targets.registry.patience import TransientError
from targets.registry.reference import Reference
from targets.registry.repository import Source
from targets.trust.attached import Attached, read_signed
from targets.trust.policy import Policy

T = TypeVar("T")
CHANNEL = "cache"
"""Of the trust policy: whose entries are believed."""


@dataclass
class SharedCache:
    """A repository with results of steps, each under its key as tag.

    Attributes:
        store: Where what is fetched goes to.
        place: The repository.
        access: How to reach it.
        policy: Whom to trust; None: nothing is fetched.
        signer: Signs what is pushed; None: nothing is.
        note: Told what people should know.
        notes: What was told, for the report.
    """

    store: Store
    place: Reference
    access: Access
    policy: Policy | None
    signer: Signer | None
    note: Callable[[str], None]
    notes: list[str] = field(default_factory=list)
    _is_off: bool = False

    def fetch(self, key: str, title: str) -> Entry | None:
        """Give a finished step, now in the store; None if there is none that may be believed."""
        policy = self.policy
        if policy is None or self._is_off:
            return None
        entry = self._try(lambda: self._find(key, policy), f"{title} is run here")
        if entry is not None:
            self.note(f"{title}: fetched from {self.place}")
        return entry

    def push(self, entry: Entry, title: str) -> None:
        """Put a finished step there, signed."""
        signer, files = self.signer, len(entry.files)
        if signer is None or self._is_off:
            return
        if files > MOST_FILES:
            self.tell(f"{title} is not shared: it has {files} files, and {MOST_FILES} are the most")
            return
        self._try(lambda: self._push(entry, signer, title), f"{title} is not shared")

    def tell(self, text: str) -> None:
        """Tell people, once."""
        said = f"shared cache {self.place}: {text}"
        if said not in self.notes:
            self.notes.append(said)
            self.note(said)

    def _try(self, work: Callable[[], T], consequence: str) -> T | None:
        """Let no fault of the cache end a run: it is told, and what it was for goes on without it."""
        try:
            return work()
        except TransientError as exc:
            self._is_off = True
            self.tell(f"{_sentence(exc)}; the run goes on without it")
        except (RegistryError, TrustError) as exc:
            self.tell(f"{_sentence(exc)}; {consequence}")
        return None

    def _find(self, key: str, policy: Policy) -> Entry | None:
        with open_source(self.place, self.access) as source:
            found = _look_up(source, key)
            return self._fetch(source, found, key, policy) if found else None

    def _fetch(self, source: Source, found: Descriptor, key: str, policy: Policy) -> Entry:
        signed = read_signed(source, found, policy, CHANNEL, datetime.now(timezone.utc))
        arrived = _description(source, signed, key)
        folder = self.store.work(f"{key}.fetched")  # it stays if we are killed, and is gone on with
        blobs = folder / "entry"
        artifact.fetch(source, signed.manifest, blobs)
        with explained(folder):
            shutil.rmtree(folder / "tree", ignore_errors=True)
            folders = arrived.lay_out(blobs / BLOBS, folder / "tree")
            origin = {"from": str(self.place), "signed_by": signed.signed.key_id}
            entry = self.store.commit(key, {**arrived.record, "shared": origin}, folders)
            shutil.rmtree(folder)
        return entry

    def _push(self, entry: Entry, signer: Signer, title: str) -> None:
        with (
            tempfile.TemporaryDirectory(prefix="edgebound-") as folder,
            open_repository(self.place, self.access) as repository,
        ):
            pushed = artifact.push(repository, pack(entry, self.store, Path(folder) / RECORD_FILE))
            found, content = repository.read_manifest(pushed.digest)
            _, manifest = artifact.find(repository, pushed.digest)
            files = {name: blob.hex for name, blob in artifact.files_of(manifest).items()}
            attach(repository, pushed, sign_files(f"cache/{title}", files, signer))
            repository.write_manifest(content, found.media_type, entry.key)  # last: now it can be found


def _look_up(source: Source, key: str) -> Descriptor | None:
    """Give the manifest that a key leads to, unread; None where there is none."""
    try:
        return source.read_manifest(key)[0]
    except NotFoundError:
        return None


def _description(source: Source, signed: Attached, key: str) -> Arrived:
    files = artifact.files_of(signed.manifest)
    blob = files.get(RECORD_FILE)
    if blob is None:
        raise TrustError(f"The entry of step {key[:12]}… has no {RECORD_FILE}.", hint="Who pushed it?")
    blobs = {one.hex for name, one in files.items() if name == f"{BLOBS}/{one.hex}"}
    return read(source.read_blob(blob), key, blobs)


def _sentence(exc: EdgeboundError) -> str:
    return f"{exc.what.rstrip('.')} ({exc.hint.rstrip('.')})"
