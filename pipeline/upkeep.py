"""Upkeep of the store: check it, list it, and free what nobody needs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from pipeline import oci
from pipeline.files import explained, write_atomically
from pipeline.store import Store
from stages.artifact import digest_file, walk
from targets.errors import StoreError


@dataclass(frozen=True, kw_only=True)
class Listed:
    """One finished step, for people to read."""

    key: str
    stage: str
    label: str
    made: str
    seconds: float
    size_bytes: int


def ls(store: Store) -> list[Listed]:
    """List the finished steps, oldest first."""
    entries = filter(None, map(store.find, store.step_keys()))
    return sorted(
        (
            Listed(
                key=entry.key,
                stage=entry.record["stage"],
                label=entry.record["label"],
                made=entry.record["made"],
                seconds=entry.record["seconds"],
                size_bytes=sum(file["size"] for file in entry.files.values()),
            )
            for entry in entries
        ),
        key=lambda one: one.made,
    )


def fsck(store: Store, *, repair: bool = False) -> list[str]:
    """Read every byte of the store and say what is wrong with it.

    Args:
        store: To check; other processes may go on using it.
        repair: Forget steps that are damaged (they are done again when needed) and write the index anew.

    Returns:
        Problems, one a line; none means clean. Leftovers of killed processes are not a problem.
    """
    bad_blobs = {path.name for path in store.blob_paths() if digest_file(path) != f"sha256:{path.name}"}
    problems = [f"blob {name} has other bytes than its name says" for name in sorted(bad_blobs)]
    for key in store.step_keys():
        lost = sorted(_needs(store, key) & (bad_blobs | _absent(store, key)))
        if lost:
            problems.append(f"step {key[:12]} needs {len(lost)} blobs that are lost or damaged")
            if repair:
                store.forget(key)
    problems += list(_index_problems(store))
    if repair:
        for name in bad_blobs:
            (store.blobs / name).unlink(missing_ok=True)
        _write_index(store)
    return problems


def gc(store: Store, *, older_than: timedelta, now: datetime) -> int:
    """Forget steps that have not been used for a while, and delete what no step needs.

    Args:
        store: To tidy. Run it when no run is under way in the same folder.
        older_than: Steps unused for longer go.
        now: The present, with a time zone.

    Returns:
        Bytes freed.
    """
    with explained(store.root):
        for path in store.actions.glob("[0-9a-f]*"):
            used = datetime.fromtimestamp(path.stat().st_mtime, tz=timezone.utc)
            if now - used > older_than:
                store.forget(path.name)
        _write_index(store)
        needed = {name for key in store.step_keys() for name in _needs(store, key)}
        unneeded = [path for path in store.blobs.iterdir() if path.name not in needed]
        for view in store.views.iterdir():
            shutil.rmtree(view)  # hard links only: made again from the blobs when asked for
        freed = sum(path.stat().st_size for path in unneeded)
        for path in unneeded:
            path.unlink()
        return freed + _drop_work(store, now - older_than)


def _drop_work(store: Store, before: datetime) -> int:
    freed = 0
    for folder in (store.root / "work").iterdir():
        if datetime.fromtimestamp(folder.stat().st_mtime, tz=timezone.utc) < before:
            freed += sum(path.lstat().st_size for _, path in walk(folder))
            shutil.rmtree(folder)
    return freed


def _manifest(store: Store, key: str) -> tuple[str, dict[str, Any]]:
    """Give the manifest of a step: its blob's name, and what it says (nothing, if it cannot be read)."""
    try:
        name = json.loads((store.actions / key).read_bytes())["manifest"].removeprefix("sha256:")
        parsed = json.loads((store.blobs / name).read_bytes())
    except (OSError, ValueError, KeyError):
        return key, {}
    return name, parsed


def _needs(store: Store, key: str) -> set[str]:
    name, manifest = _manifest(store, key)
    blobs = (manifest["config"], *manifest["layers"]) if manifest else ()
    return {name, *(blob["digest"].removeprefix("sha256:") for blob in blobs)}


def _absent(store: Store, key: str) -> set[str]:
    return {name for name in _needs(store, key) if not (store.blobs / name).exists()}


def _index_problems(store: Store) -> Iterator[str]:
    try:
        listed = {one["annotations"][oci.REF_NAME]: one["digest"] for one in store.listed()}
    except StoreError as exc:
        yield exc.what
        return
    for key in store.step_keys():
        if listed.get(key) != f"sha256:{_manifest(store, key)[0]}":
            yield f"step {key[:12]} is not in index.json"


def _write_index(store: Store) -> None:
    manifests = []
    for key in store.step_keys():
        name, readable = _manifest(store, key)
        if not readable:  # damaged; `fsck` tells of it
            continue
        size = (store.blobs / name).stat().st_size
        named = oci.descriptor(oci.MANIFEST_TYPE, f"sha256:{name}", size, **{oci.REF_NAME: key})
        manifests.append(named)
    write_atomically(Path(store.root / "store" / "index.json"), oci.index(manifests))
