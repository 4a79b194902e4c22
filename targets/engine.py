"""An engine folder and its `manifest.json`: which files, for what, and the digest of each."""

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Mapping, Optional

from targets.errors import ModelError
from targets.folder import EngineFile, describe_file
from targets.profile import Precision, RuntimeName, TargetProfile
from targets.record import load

__all__ = ["EngineFile", "Manifest", "open_engine", "write_manifest"]

SCHEMA = 1
FILE_NAME = "manifest.json"

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")  # no folder, no hidden file, no option
_REBUILD = "Build it again, or pull it again from where it was released."


@dataclass(frozen=True)
class Manifest:
    """What an engine folder holds, in the words of the one who built it.

    Attributes:
        runtime: Library that runs the engine.
        runtime_version: Version it was built with.
        profile: Target it was built for.
        precision: Of the candidate.
        files: All files of the folder but the manifest, by name.
        facts: What it depends on beside the version: `sm`, `gpu`, `cuda` of a TensorRT plan.
        schema: Version of this file's format.
    """

    runtime: RuntimeName
    runtime_version: str
    profile: TargetProfile
    precision: Precision
    files: Mapping[str, EngineFile]
    facts: Mapping[str, str] = field(default_factory=dict)
    schema: int = SCHEMA


def write_manifest(
    folder: Path,
    *,
    profile: TargetProfile,
    precision: Precision,
    runtime_version: str,
    facts: Optional[Mapping[str, str]] = None,
) -> Manifest:
    """Describe all files that are in `folder` now, and write the manifest beside them."""
    files = {path.name: describe_file(path) for path in sorted(folder.iterdir()) if path.name != FILE_NAME}
    manifest = Manifest(
        runtime=profile.runtime,
        runtime_version=runtime_version,
        profile=profile,
        precision=precision,
        files=files,
        facts=dict(facts or {}),
    )
    text = json.dumps(asdict(manifest), indent=2, sort_keys=True) + "\n"
    (folder / FILE_NAME).write_text(text, encoding="utf-8")
    return manifest


def open_engine(folder: Path) -> Manifest:
    """Read the manifest of an engine folder and hold every file against it.

    Raises:
        ModelError: The manifest is missing, broken or newer than this program, or a file is missing, changed,
            or not listed.
    """
    manifest = _load_manifest(folder / FILE_NAME)
    _refuse_strangers(folder, manifest)
    for name, entry in manifest.files.items():
        _check(folder / name, entry)
    return manifest


def _load_manifest(path: Path) -> Manifest:
    try:
        text = path.read_text(encoding="utf-8")
        if json.loads(text)["schema"] > SCHEMA:
            raise ModelError(
                f"{path} has format version {json.loads(text)['schema']}; this program reads up to {SCHEMA}.",
                hint="Update edgebound on this machine.",
            )
        return load(Manifest, text)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as exc:
        raise ModelError(f"{path} cannot be read as an engine's manifest: {exc!r}", hint=_REBUILD) from exc


def _refuse_strangers(folder: Path, manifest: Manifest) -> None:
    for name in manifest.files:
        if not _PLAIN_NAME.fullmatch(name):
            raise ModelError(
                f"The manifest of {folder} lists {name!r}, not a plain file name.", hint=_REBUILD
            )
    strangers = {path.name for path in folder.iterdir()} - set(manifest.files) - {FILE_NAME}
    if strangers:
        raise ModelError(
            f"{folder} holds {', '.join(sorted(strangers))}, which its manifest does not list.",
            hint="Remove what does not belong there; an engine folder holds an engine and nothing else.",
        )


def _check(path: Path, entry: EngineFile) -> None:
    if not path.is_file():
        raise ModelError(f"{path} is listed in the engine's manifest, but is no file.", hint=_REBUILD)
    # The size first: it costs nothing, and nobody makes us read a file without end.
    if path.stat().st_size != entry.size or describe_file(path) != entry:
        raise ModelError(f"{path} is not the file that the engine's manifest describes.", hint=_REBUILD)
