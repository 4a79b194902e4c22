"""Parts: what each part of loading takes on the user's pictures, and which one starves training."""

from __future__ import annotations

import math
import os
import time
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from stages.train.figures import Cause, LoadingParts

if TYPE_CHECKING:
    from stages.train.pictures import Pictures

SAMPLE = 64  # pictures at most
LEAST = 8  # or as many as there are, whatever they take
_MEMINFO = Path("/proc/meminfo")
ADVICE: dict[Cause, str] = {
    "disk": "Set train.cache to ram, or to resized, or move the pictures to a faster disk.",
    "decode": "Set train.cache to ram where they fit into memory, else to resized.",
    "augment": "Set train.overrides.mosaic to 0.0 with train.cache, or give training more processors.",
    "collate": "Set train.batch lower, or give training more processors.",
    "other": "None of these explains it: see whether others use the disk or the processors (top, iostat).",
}
_NAMES: dict[Cause, str] = {
    "disk": "Reading from the disk",
    "decode": "Decoding",
    "augment": "Augmentation",
    "collate": "Putting batches together",
}
Times = tuple[float, float, float]
Seconds = dict[str, float]


def measure_parts(dataset: Pictures, settings: Any, *, seconds: float, pin: bool) -> LoadingParts:
    """Take a sample through all of loading, in this process; the data set stays as it was.

    Args:
        dataset: To train on.
        settings: Ultralytics' own, for the augmentation.
        seconds: To stop after, with `LEAST` pictures at least.
        pin: Whether batches are copied into pinned memory.
    """
    dataset = _copied(dataset, settings)
    numbers = np.linspace(0, len(dataset) - 1, min(SAMPLE, len(dataset))).round().astype(int).tolist()
    cold = _is_cold(dataset, numbers)
    end, times, loaded = time.perf_counter() + seconds, list[Times](), list[dict[str, Any]]()
    for number in numbers:
        if len(times) >= LEAST and time.perf_counter() > end:
            break
        each, picture = _one(dataset, number, cold=cold)
        times.append(each)
        loaded.append(picture)
    # The first of several finds caches and imports that are not there yet.
    read, decode, augment = np.mean(times[1:] or times, axis=0) * 1000
    collate_ms, pin_ms = _batched(dataset, loaded, pin=pin)
    return LoadingParts(
        pictures=len(times),
        cold=cold,
        read_ms=float(read),
        decode_ms=float(decode),
        augment_ms=float(augment),
        collate_ms=collate_ms,
        pin_ms=pin_ms,
    )


def _copied(dataset: Pictures, settings: Any) -> Pictures:
    """Give a data set of its own that holds no picture yet, but those in a cache of all."""
    dataset = copy(dataset)
    dataset.buffer, dataset.ims = [], list(dataset.ims) if dataset.cache == "ram" else [None] * len(dataset)
    dataset.im_hw0, dataset.im_hw = list(dataset.im_hw0), list(dataset.im_hw)
    dataset.transforms = dataset.build_transforms(hyp=copy(settings))  # hold their data set
    return dataset


def _one(dataset: Pictures, number: int, *, cold: bool) -> tuple[Times, dict[str, Any]]:
    """Load one picture; give the seconds of reading, decoding and augmentation, and what came out."""
    read = again = 0.0
    if dataset.cache != "ram":
        file = file_of(dataset, number)
        if cold:
            forget(file)
        read, again = _read(file), _read(file)
        dataset.ims[number] = None
    begin = time.perf_counter()
    label = dataset.get_image_and_label(number)
    between = time.perf_counter()
    picture = dataset.transforms(label)
    end = time.perf_counter()
    return (read if cold else again, max(between - begin - again, 0.0), end - between), picture


def file_of(dataset: Pictures, number: int) -> str:
    """Give the file that a picture is loaded from: its copy, if there is one."""
    cached = dataset.npy_files[number]
    return str(cached) if cached.exists() else str(dataset.im_files[number])


def _read(file: str) -> float:
    begin = time.perf_counter()
    np.fromfile(file, np.uint8)
    return time.perf_counter() - begin


def forget(file: str) -> None:
    """Ask the kernel to drop a file from the page cache, so that it is read from the disk next."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)  # it keeps what has not been written yet
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def _is_cold(dataset: Pictures, numbers: list[int]) -> bool:
    """Tell whether all files together are more than main memory has room for."""
    if dataset.cache == "ram":
        return False
    mean = np.mean([Path(file_of(dataset, number)).stat().st_size for number in numbers])
    return bool(mean * len(dataset) > available_bytes())


def available_bytes() -> float:
    """Give the main memory that a process may still take; infinite where nobody says."""
    try:
        lines = _MEMINFO.read_text(encoding="ascii").splitlines()
    except OSError:
        return math.inf
    words = next((line.split() for line in lines if line.startswith("MemAvailable:")), None)
    return float(words[1]) * 1024 if words else math.inf


def _batched(dataset: Pictures, loaded: list[dict[str, Any]], *, pin: bool) -> tuple[float, float]:
    """Give a picture's part of the milliseconds of making a batch, and of pinning it."""
    size = max(min(dataset.batch_size or 1, len(loaded)), 1)
    begin = time.perf_counter()
    batch = dataset.collate_fn(loaded[:size])
    collated = time.perf_counter()
    if pin and torch.cuda.is_available():
        batch["img"].pin_memory()
    pinned = time.perf_counter()
    return (collated - begin) * 1000 / size, (pinned - collated) * 1000 / size if pin else 0.0


def cause_of(parts: LoadingParts, *, wanted_img_s: float, workers: int, cpus: int) -> Cause:
    """Say what starves a training that could take `wanted_img_s` pictures a second.

    Args:
        parts: Of loading.
        wanted_img_s: Pictures a second, if nobody had to wait.
        workers: Processes that load; 0 is the training process.
        cpus: That it may have for loading; 0 where training needs them itself.
    """
    needed = math.ceil(wanted_img_s * parts.total_ms / 1000)  # processes
    if workers < needed <= cpus:
        return "workers"
    if workers and needed <= workers / 2:  # twice as fast as it has to be, part by part
        return "other"
    each: Seconds = {
        "disk": parts.read_ms,
        "decode": parts.decode_ms,
        "augment": parts.augment_ms,
        "collate": parts.collate_ms,
    }
    longest = max(each, key=lambda name: each[name])
    return next(name for name in _NAMES if name == longest)


def say(cause: Cause, parts: LoadingParts, *, waiting: float, wanted_img_s: float) -> str:
    """Say what was found, and what to do."""
    measured = (
        f"Training waited {waiting:.0%} of the time for pictures. One process takes {parts.total_ms:.1f} ms"
        f" for one: {parts.read_ms:.1f} reading{' from the disk' if parts.cold else ''},"
        f" {parts.decode_ms:.1f} decoding, {parts.augment_ms:.1f} augmentation,"
        f" {parts.collate_ms:.1f} putting batches together ({parts.pictures} pictures)."
    )
    if cause == "workers":
        needed = math.ceil(wanted_img_s * parts.total_ms / 1000)
        return f"{measured} There are too few processes: set train.workers to {needed}."
    if cause == "other":
        return f"{measured} {ADVICE[cause]}"
    return f"{measured} {_NAMES[cause]} is most of it. {ADVICE[cause]}"
