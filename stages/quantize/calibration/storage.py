"""Storage: statistics as files, `statistics.npz` with figures and `statistics.json` with what they are of."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.artifact import Artifact
from stages.quantize.calibration.statistics import BINS, Statistics
from targets.errors import DataError

SCHEMA = 1
FIGURES = "statistics.npz"
RECORD = "statistics.json"

_KINDS: Mapping[str, type] = {
    "tops": np.float64, "counts": np.float64, "lows": np.float64, "highs": np.float64, "sizes": np.int64,
    "channels": np.int64, "means": np.float64,
}  # fmt: skip
# What json, zipfile and numpy raise for files that are cut off, changed, or of another kind.
_BROKEN = (
    OSError, ValueError, TypeError, LookupError, EOFError, MemoryError, RuntimeError, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What statistics are of.

    Attributes:
        model: Digest of the model.
        data: Digest over the pictures, and how they become the model's input.
        pictures: How many there were.
    """

    model: str
    data: str
    pictures: int


def save_statistics(statistics: Mapping[str, Statistics], origin: Origin, folder: Path) -> None:
    """Write both files into `folder`; the same statistics give the same bytes."""
    of = list(statistics.values())
    np.savez_compressed(
        folder / FIGURES,
        tops=np.array([one.top for one in of]),
        counts=np.stack([one.counts for one in of]),
        lows=np.array([one.low for one in of]),
        highs=np.array([one.high for one in of]),
        sizes=np.array([one.count for one in of], np.int64),
        channels=np.array([len(one.means) for one in of], np.int64),
        means=np.concatenate([one.means for one in of]),
    )
    record = {"schema": SCHEMA, **asdict(origin), "bins": BINS, "tensors": list(statistics)}
    (folder / RECORD).write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def load_statistics(artifact: Artifact) -> dict[str, Statistics]:
    """Read what `Calibrate` wrote, by tensor.

    Raises:
        DataError: A file is missing, broken, not of this kind, or of a version newer than this program.
    """
    try:
        names = _load_names(artifact / RECORD)
        return dict(zip(names, _load_figures(artifact / FIGURES, len(names)), strict=True))
    except _BROKEN as exc:
        raise DataError(
            f"{artifact.path} cannot be read as the statistics of a calibration: {exc}",
            hint="Run `pipeline store fsck`, then the run again.",
        ) from exc


def _load_names(path: Path) -> list[str]:
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if record["schema"] > SCHEMA:
        raise DataError(
            f"{path} has format version {record['schema']}; this program reads up to {SCHEMA}.",
            hint="Update edgebound on this machine.",
        )
    if record["bins"] != BINS:
        raise ValueError(f"{record['bins']} bins, not {BINS}")
    return [str(name) for name in record["tensors"]]


def _load_figures(path: Path, tensors: int) -> list[Statistics]:
    with path.open("rb") as file:
        figures = np.load(file, allow_pickle=False)
        read: dict[str, NDArray[Any]] = {
            name: np.asarray(figures[name], kind) for name, kind in _KINDS.items()
        }
    _check(read, tensors)
    means = np.split(read["means"], np.cumsum(read["channels"])[:-1])
    return [
        Statistics(
            top=float(read["tops"][one]),
            counts=read["counts"][one],
            low=float(read["lows"][one]),
            high=float(read["highs"][one]),
            count=int(read["sizes"][one]),
            means=means[one],
        )
        for one in range(tensors)
    ]


def _check(figures: Mapping[str, NDArray[Any]], tensors: int) -> None:
    """See that the figures can be what they are said to be.

    Raises:
        ValueError: They cannot.
    """
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(_KINDS, (tensors,))
    shapes |= {"counts": (tensors, BINS), "means": (int(figures["channels"].sum()),)}
    for name, shape in shapes.items():
        values = figures[name]
        if values.shape != shape or not np.isfinite(values).all():
            raise ValueError(f"{name} of shape {values.shape}, not finite values of shape {shape}")
    for name in ("tops", "counts", "sizes", "channels"):
        if (figures[name] < 0).any():
            raise ValueError(f"{name} below 0")
    if not np.isin(np.frexp(figures["tops"])[0], (0.0, 0.5)).all():
        raise ValueError("tops that are no powers of two")
