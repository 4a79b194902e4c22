"""Source: where a data set's files are, and one digest that changes when any of them does.

Light and quick, because every run asks, cached ones too: it reads what describes the data set, and of
pictures and labels only names, sizes and times of change. `Data.run` reads contents.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from stages.artifact import Artifact, digest_file, digest_json
from stages.data.coco import CocoSource, find_coco
from stages.data.yolo import YoloSource, find_yolo, label_of, pictures_below
from targets.errors import UsageError

if TYPE_CHECKING:
    from stages.data import Data


@dataclass(frozen=True, kw_only=True)
class Anchored:
    """A data set's place, and the settings that name its files from there."""

    data: Data
    source: Artifact


def find_source(data: Data, base: Path) -> Artifact:
    """Give the folder of the data YAML or COCO JSON, with a digest over all that belongs to the data set.

    Args:
        data: Its paths are relative to `base`.
        base: The folder of `pipeline.yaml`.

    Raises:
        UsageError: There is no such file, or it is of no kind that we read.
        DataError: It is broken, or names no pictures.
    """
    source = describe(data, base)
    digest = _digest_yolo(source) if isinstance(source, YoloSource) else _digest_coco(source)
    return Artifact(source.root, digest)


def anchor(data: Data, base: Path) -> Anchored:
    """Find the source, and make all paths in the settings relative to it, so that no key holds a place."""
    source = find_source(data, base)

    def move(path: str) -> str:
        return os.path.relpath((base / path).resolve(), source.path) if path else ""

    moved = replace(data, path=Path(data.path).name, val=move(data.val), images=move(data.images))
    return Anchored(data=moved, source=source)


def describe(data: Data, base: Path) -> YoloSource | CocoSource:
    """Read the data YAML, or find the files of the COCO JSON; raises as `find_source` does."""
    file = _find_file(data.path, base)
    if file.suffix.lower() == ".json":
        return find_coco(file, val=_given(data.val, base), images=_given(data.images, base))
    if data.val or data.images:
        raise UsageError(
            f"`data.val` and `data.images` belong to a COCO JSON, but {file} is a data YAML.",
            hint="Remove them: the YAML says by itself where its pictures are.",
        )
    return find_yolo(file)


def _find_file(path: str, base: Path) -> Path:
    if not path:
        raise UsageError(
            "`data.path` is not set.",
            hint="Name an Ultralytics data YAML or a COCO JSON there; or use --demo.",
        )
    file = base / path
    if file.suffix.lower() not in {".yaml", ".yml", ".json"}:
        raise UsageError(
            f"{file} is neither a data YAML nor a COCO JSON.",
            hint="Unpack archives first, then set `data.path` to the .yaml or .json inside.",
        )
    if not file.is_file():
        raise UsageError(
            f"There is no data set {file}.",
            hint="Set `data.path`, relative to pipeline.yaml. Nothing is downloaded: the data must be here.",
        )
    # Links resolved, so that `../` means the same to us and to the kernel; but not the file's own, as what
    # it names is relative to the folder that it was put into.
    return file.parent.resolve() / file.name


def _given(path: str, base: Path) -> Path | None:
    if not path:
        return None
    if not (base / path).exists():
        raise UsageError(f"There is no {base / path}.", hint="Correct `data.val` or `data.images`.")
    return base / path


def _digest_yolo(source: YoloSource) -> str:
    files = [*source.train, *source.val]
    return _digest((source.file, *source.lists), [*files, *map(label_of, files)], source.root)


def _digest_coco(source: CocoSource) -> str:
    # All pictures of the folder, used or not: which ones are used stands in a JSON too large to parse here.
    folders = sorted({str(source.train.images), str(source.val.images)})
    files = [file for folder in folders for file in pictures_below(folder)]
    return _digest((source.train.json, source.val.json), files, source.root)


def _digest(read: Iterable[Path], listed: Iterable[str], root: Path) -> str:
    contents = {relative(str(file), root): digest_file(file) for file in read}
    return digest_json([contents, {relative(file, root): _state(file) for file in listed}])


def _state(file: str) -> tuple[int, int] | None:
    try:
        state = os.stat(file)  # noqa: PTH116  # a Path for each of 100,000 files is slow
    except OSError:
        return None  # a missing label; a missing picture is for the checks to report
    return state.st_size, state.st_mtime_ns


def relative(file: str, root: Path) -> str:
    """Give an absolute path relative to `root`, `/`-separated; may begin with `../`."""
    start = f"{root}/"
    return file[len(start) :] if file.startswith(start) else os.path.relpath(file, root)
