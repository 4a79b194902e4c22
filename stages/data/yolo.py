"""Ultralytics data YAML: which pictures it names, and where their labels are. Light: no cv2, no numpy."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from targets.errors import DataError

# What Ultralytics takes for a picture; what of it we cannot read is reported, not left out without a word.
SUFFIXES = frozenset(
    ".avif .bmp .dng .heic .heif .jp2 .jpeg .jpg .mpo .png .tif .tiff .webp".split()  # noqa: SIM905
)


@dataclass(frozen=True, kw_only=True)
class YoloSource:
    """What a data YAML says.

    Attributes:
        file: The YAML.
        root: Its folder.
        class_names: By class id.
        train: Absolute paths of the pictures, sorted.
        val: Likewise.
        lists: Text files that name pictures.
    """

    file: Path
    root: Path
    class_names: tuple[str, ...]
    train: tuple[str, ...]
    val: tuple[str, ...]
    lists: tuple[Path, ...]


def find_yolo(file: Path) -> YoloSource:
    """Read a data YAML and list its pictures.

    Raises:
        DataError: It is broken or incomplete, or a split has no pictures.
    """
    record = _load(file)
    if "kpt_shape" in record:
        raise DataError(
            f"{file}: `kpt_shape`: this is a data set of keypoints.",
            hint="Edgebound trains detectors: remove `kpt_shape`, and all but five columns of the labels.",
        )
    class_names = _class_names(record, file)
    lists: list[Path] = []
    splits = {
        key: tuple(sorted({name for place in _places(record, key, file) for name in _pictures(place, lists)}))
        for key in ("train", "val")
    }
    for key, pictures in splits.items():
        if not pictures:
            raise _no_pictures(record, key, file)
    return YoloSource(file=file, root=file.parent, class_names=class_names, lists=tuple(lists), **splits)


def label_of(picture: str) -> str:
    """Give the label file's path as Ultralytics does: the last `/images/` becomes `/labels/`."""
    head, images, tail = picture.rpartition("/images/")
    path = f"{head}/labels/{tail}" if images else picture
    return f"{path.rpartition('.')[0]}.txt"


def pictures_below(folder: str) -> Iterator[str]:
    """Give the pictures in a folder and below it, hidden ones aside, following links to folders.

    Raises:
        DataError: A folder cannot be read.
    """
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True, onerror=_refuse):
        real = os.path.realpath(place)
        if real in seen:  # a link to a folder above it
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and _is_picture(name):
                yield f"{place}/{name}"


def _refuse(error: OSError) -> None:
    raise DataError(
        f"{error.filename} cannot be read: {error.strerror}.", hint="Check its permissions."
    ) from error


def _is_picture(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES  # noqa: PTH122  # called for each of 100,000 files


def _load(file: Path) -> Mapping[str, Any]:
    import yaml

    try:
        record = yaml.load(file.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except OSError as exc:
        raise DataError(f"{file} cannot be read: {exc.strerror}.", hint="Check its permissions.") from exc
    except (yaml.YAMLError, ValueError) as exc:
        mark = getattr(exc, "problem_mark", None)
        place = f"{file}:{mark.line + 1}" if mark else str(file)
        text = getattr(exc, "problem", None) or exc
        raise DataError(f"{place}: not YAML: {text}.", hint="Correct the file.") from exc
    if not isinstance(record, dict):
        raise DataError(f"{file}: not a data YAML.", hint="It needs the keys `train`, `val` and `names`.")
    return record


def _class_names(record: Mapping[str, Any], file: Path) -> tuple[str, ...]:
    names = record.get("names")
    if names is None:
        raise DataError(
            f"{file}: data YAML without `names`.",
            hint="Add `names:` with the name of each class, in the order of the class ids in the labels.",
        )
    by_id = dict(enumerate(names)) if isinstance(names, list) else names
    try:
        by_id = {int(number): str(name) for number, name in by_id.items()}
    except (AttributeError, TypeError, ValueError):
        by_id = {}
    if not by_id or sorted(by_id) != list(range(len(by_id))):
        raise DataError(
            f"{file}: `names` does not give a name to each class id, 0, 1, 2 …",
            hint="Write a list of names, or `0: first`, `1: second` … without a gap.",
        )
    if record.get("nc", len(by_id)) != len(by_id):
        raise DataError(
            f"{file}: `nc: {record['nc']}`, but `names` has {len(by_id)}.",
            hint="Remove `nc`, or correct one.",
        )
    return tuple(by_id[number] for number in range(len(by_id)))


def _places(record: Mapping[str, Any], key: str, file: Path) -> list[Path]:
    """Give the folders and files that a split names, all of them existing."""
    value = record.get(key, record.get("validation") if key == "val" else None)
    entries = [value] if isinstance(value, str) else value or []
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise DataError(f"{file}: `{key}` is not a path.", hint="Give a folder, or a list of folders.")
    base = file.parent / str(record.get("path") or "")
    places = []
    for entry in entries:
        # Roboflow's exports are off by one folder.
        guesses = [base / entry, base / entry.removeprefix("../")]
        place = next((guess for guess in guesses if os.path.exists(guess)), None)  # noqa: PTH110  # never raises
        if place is None:
            raise DataError(
                f"{file}: `{key}: {entry}`: there is no {base / entry}.", hint=_missing_hint(record)
            )
        places.append(place.resolve())
    return places


def _missing_hint(record: Mapping[str, Any]) -> str:
    if record.get("download"):
        return f"Edgebound downloads nothing; fetch the data first: {str(record['download'])[:200]}"
    if record.get("path"):
        return f"`path: {record['path']}` is taken relative to the folder of the YAML; correct or remove it."
    return "Paths are relative to the folder of the YAML; correct it."


def _pictures(place: Path, lists: list[Path]) -> Iterator[str]:
    if place.is_dir():
        yield from pictures_below(str(place))
    elif _is_picture(place.name):
        yield str(place)
    else:
        lists.append(place)
        yield from _listed(place)


def _listed(file: Path) -> Iterator[str]:
    """Give the pictures that a text file names, one a line, relative to its folder."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as exc:
        raise DataError(
            f"{file} cannot be read as a list of pictures: {exc}",
            hint="Give a folder, or a .txt with a path a line.",
        ) from exc
    for number, line in enumerate(lines, 1):
        if name := line.strip():
            path = os.path.normpath(file.parent / name)
            if not _is_picture(name) or not os.path.isfile(path):  # noqa: PTH113  # as above
                raise DataError(
                    f"{file}:{number}: there is no picture {path}.",
                    hint="Lines are paths of pictures, absolute or relative to the folder of the list.",
                )
            yield path


def _no_pictures(record: Mapping[str, Any], key: str, file: Path) -> DataError:
    split = {"train": "training", "val": "validation"}[key]
    named = f" (`{key}: {record[key]}`)" if record.get(key) else f" (no `{key}`)"
    return DataError(
        f"{file}: there are no {split} pictures{named}.",
        hint=f"Set `{key}:` to a folder with pictures that the other split does not have.",
    )
