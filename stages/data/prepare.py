"""Prepare: read a data set, refuse it with all that is wrong, or write its index and a report."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from stages.artifact import Artifact, digest_names
from stages.data.calibration import pick_calibration
from stages.data.counts import count_classes, count_split
from stages.data.duplicates import Pairs, find_duplicates, look
from stages.data.items import list_items
from stages.data.notes import examples, refuse_broken, refuse_empty, refuse_leakage, warn
from stages.data.pictures import Read, read_all
from stages.data.source import describe, relative
from stages.data.summary import DataSummary, Duplicates
from stages.dataset import Dataset, Picture, save_dataset
from stages.stage import Progress
from targets.errors import DataError

if TYPE_CHECKING:
    from stages.data import Data, Prepared


def prepare(data: Data, source: Artifact, out: Path, progress: Progress) -> Prepared:
    """Do the work of `Data.run`."""
    from stages.data import Prepared

    items = list_items(describe(data, source.path))
    reads = read_all([*items.train, *items.val], look, progress)
    refuse_broken(reads)
    train, val = reads[: len(items.train)], reads[len(items.train) :]
    pairs = find_duplicates(train, val, progress)
    if not data.allow_leakage:
        refuse_leakage(pairs)
    root = source.path.resolve()
    pictures = [_picture(read, root) for read in reads]
    dataset = Dataset(
        class_names=items.class_names,
        train=tuple(pictures[: len(train)]),
        val=tuple(pictures[len(train) :]),
        calibration=pick_calibration(
            _unleaked(pictures[: len(train)], train, () if data.allow_leakage else pairs.leaked),
            len(items.class_names),
            count=data.calibration,
            imgsz=data.imgsz,
        ),
    )
    summary = _summary(dataset, train, val, pairs, data.imgsz)
    refuse_empty(summary, data.path)
    notes = tuple(warn(reads, pairs, summary))
    report = {"summary": asdict(summary), "notes": notes, "files": examples(reads, pairs)}
    return Prepared(
        index=_write_index(dataset, out / "index"),
        report=_write_report(report, out / "report"),
        pictures_digest=digest_names({picture.file: picture.sha256 for picture in pictures}),
        train_pictures=len(train),
        val_pictures=len(val),
        calibration_pictures=len(dataset.calibration),
        summary=summary,
        notes=notes,
    )


def _unleaked(pictures: Sequence[Picture], reads: Sequence[Read], leaked: Collection[str]) -> list[Picture]:
    """Give the training pictures that are not in val as well, so that calibration never sees val.

    Raises:
        DataError: There are none.
    """
    free = [picture for picture, read in zip(pictures, reads, strict=True) if read.path not in leaked]
    if not free:
        raise DataError(
            "Every training picture looks the same as one in val: none is left for calibration.",
            hint="Split the pictures anew, by scene, or set data.allow_leakage=true to go on all the same.",
        )
    return free


def _picture(read: Read, root: Path) -> Picture:
    return Picture(
        file=relative(read.path, root),
        sha256=read.sha256,
        width=read.width,
        height=read.height,
        boxes=read.labels.boxes,
        crowd=read.labels.crowd,
    )


def _summary(
    dataset: Dataset, train: Sequence[Read], val: Sequence[Read], pairs: Pairs, imgsz: int
) -> DataSummary:
    return DataSummary(
        classes=count_classes(dataset.class_names, dataset.train, dataset.val),
        train=count_split(dataset.train, [read.labels for read in train], imgsz),
        val=count_split(dataset.val, [read.labels for read in val], imgsz),
        duplicates=Duplicates(
            exact_within=len(pairs.exact_within),
            exact_across=len(pairs.exact_across),
            near_within=len(pairs.near_within),
            near_across=len(pairs.near_across),
        ),
        calibration_pictures=len(dataset.calibration),
        imgsz=imgsz,
    )


def _write_index(dataset: Dataset, folder: Path) -> Artifact:
    folder.mkdir()
    save_dataset(dataset, folder)
    return Artifact.of(folder)


def _write_report(report: Mapping[str, object], folder: Path) -> Artifact:
    folder.mkdir()
    text = json.dumps(report, indent=2) + "\n"
    (folder / "report.json").write_text(text, encoding="utf-8")
    return Artifact.of(folder)
