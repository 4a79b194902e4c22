"""Entry: a step's result as files that can be signed, and such files as a step's result again.

```
step.json     the key, how the step was made, its result, and which file is which blob
blobs/<hex>   the files' bytes; their names are in step.json, so that any name can travel
```
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import oci
from pipeline.store import Entry, Store, link_file
from stages.artifact import digest_json, digest_names
from targets.errors import TrustError
from targets.registry.artifact import Package

ENTRY_TYPE = "application/vnd.edgebound.step.v1"
RECORD_FILE = "step.json"
BLOBS = "blobs"
SCHEMA = 1
MOST_FILES = 2000
"""Of one step; more are made again sooner than they are fetched one by one."""
_KEY_FIELDS = ("stage", "class", "settings", "inputs", "code", "tools")
"""Of a record: what the key is the digest of, as `pipeline.runner.key_record` gives it."""
_KINDS: dict[str, type | tuple[type, ...]] = {
    "label": str,
    "made": str,
    "seconds": (int, float),
    "result": dict,
}
_OURS = ("shared",)
"""Of a record: what this machine added."""
_HINT = "Who pushed it? The step is run here."


@dataclass(frozen=True, kw_only=True)
class Arrived:
    """What an entry says.

    Attributes:
        key: Of its step.
        record: How it was made, and its result.
        files: SHA-256 of each file as hex digits, by name.
    """

    key: str
    record: Mapping[str, Any]
    files: Mapping[str, str]

    def lay_out(self, blobs: Path, folder: Path) -> dict[str, Path]:
        """Give the artifacts as folders of real names, by name, and see that each is the one it is called.

        Args:
            blobs: Files that have their digests as names.
            folder: Where to, empty.

        Raises:
            TrustError: An artifact is another one than the result names.
        """
        folders: dict[str, Path] = {}
        for place, (name, digest) in enumerate(sorted(_artifacts(self.record["result"]))):
            inside = {
                file.removeprefix(f"{name}/"): sha256
                for file, sha256 in self.files.items()
                if file.startswith(f"{name}/")
            }
            if digest_names({file: f"sha256:{sha256}" for file, sha256 in inside.items()}) != digest:
                raise _refused(self.key, f"its artifact {name!r} is another one than its result names")
            folders[name] = folder / str(place)
            folders[name].mkdir(parents=True)
            for file, sha256 in inside.items():
                (folders[name] / file).parent.mkdir(parents=True, exist_ok=True)
                link_file(blobs / sha256, folders[name] / file)
        return folders


def pack(entry: Entry, store: Store, record_file: Path) -> Package:
    """Give what is pushed of a finished step.

    Args:
        entry: It.
        store: That has its files.
        record_file: Where its description is written.
    """
    description = {
        "schema": SCHEMA,
        "key": entry.key,
        "record": {name: value for name, value in entry.record.items() if name not in _OURS},
        "files": {name: _hex(blob["digest"]) for name, blob in entry.files.items()},
    }
    record_file.write_bytes(oci.canonical(description))
    blobs = {_hex(blob["digest"]) for blob in entry.files.values()}
    return Package(
        ENTRY_TYPE,
        {RECORD_FILE: record_file, **{f"{BLOBS}/{name}": store.blobs / name for name in blobs}},
        media_types={RECORD_FILE: "application/json"},
    )


def read(content: bytes, key: str, blobs: Collection[str]) -> Arrived:
    """Read the description of an entry whose signature holds.

    Args:
        content: Its bytes.
        key: That the entry was asked for under.
        blobs: Digests of the files that came with it.

    Raises:
        TrustError: It is for another key, or malformed.
    """
    try:
        table = json.loads(content)  # not strict: losses may be NaN
        found = Arrived(key=table["key"], record=table["record"], files=table["files"])
        if table["schema"] != SCHEMA:
            raise _refused(key, f"it is of version {table['schema']!r}, and {SCHEMA} is read here")
        made_for = digest_json({name: found.record[name] for name in _KEY_FIELDS}).removeprefix("sha256:")
        fits = all(isinstance(found.record[name], kind) for name, kind in _KINDS.items())
        fits = fits and set(found.files.values()) <= set(blobs) and _are_safe(found.files)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise _refused(key, f"its description cannot be read: {exc!r:.200}") from exc
    if found.key != key or made_for != key:
        raise _refused(key, f"it was made for {made_for[:12]}…, and calls itself {str(found.key)[:12]}…")
    if not fits:
        raise _refused(key, "its description is malformed, names a file that it lacks, or leads elsewhere")
    return found


def _artifacts(value: Any) -> Iterator[tuple[str, str]]:
    """Give name and digest of each artifact in a result, each once."""
    yield from {(one["path"], one["digest"]) for one in _tables(value) if one.keys() == {"path", "digest"}}


def _tables(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _tables(item)


def _are_safe(names: Collection[str]) -> bool:
    """Say whether no name leads elsewhere or is a folder of another; their characters may be any."""
    parts = [tuple(name.split("/")) for name in names]
    folders = {one[:end] for one in parts for end in range(1, len(one))}
    return not folders & set(parts) and all(
        "\0" not in part and part not in ("", ".", "..") for one in parts for part in one
    )


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _refused(key: str, why: str) -> TrustError:
    return TrustError(f"The entry of step {key[:12]}… is refused: {why}.", hint=_HINT)
