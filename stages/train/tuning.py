"""Tuning: which settings of loading are fastest, by trying them on a part of the user's pictures."""

from __future__ import annotations

import contextlib
import math
import shutil
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from stages.train.feeder import loading_cpus
from stages.train.figures import LoaderTrial, PictureCache, Tuning
from stages.train.loading import PREFETCH, pictures_of, put_in_order
from stages.train.parallel import agree
from stages.train.parts import available_bytes, file_of, forget
from stages.yolo import build_dataloader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TypeAlias

    from stages.dataset import Picture
    from stages.train.trainer import Trainer

    Measure: TypeAlias = Callable[[LoaderTrial], LoaderTrial]

WHOLE_S = 60.0  # for all trials together; one that has begun is ended
TRIAL_S = 3.0  # of steady loading
BETTER = 1.05  # times as fast; by less, two trials of the same settings differ
_BATCHES = 16  # of the sample
_FEWEST = 128  # pictures of the sample, if there are so many
_CHANNELS = 3
_DIED = ("DataLoader worker", "shared memory")  # as PyTorch says it
RAM_SPARE = 2.0  # as many times the pictures must fit into free memory; Ultralytics asks for as much
DISK_SPARE = 1.1


def tune_loader(trainer: Trainer) -> Tuning:
    """Try settings of loading, and give all that was tried; the trainer stays as it was."""
    cpus = loading_cpus(trainer)
    workers = (
        min(trainer.args.workers, cpus) if cpus else trainer.args.workers
    )  # as the loader will take them
    before = LoaderTrial(workers=workers, prefetch=PREFETCH, cache=trainer.args.cache or "")
    trainer.course.progress(0, trainer.epochs, "trying settings of loading")
    with scratch(trainer) as measure:
        tuning = search(before, measure, refusals=refusals_of(trainer), cpus=cpus, seconds=WHOLE_S)
    return agree(tuning, trainer.course.place)  # type: ignore[no-any-return]


def search(
    before: LoaderTrial,
    measure: Measure,
    *,
    refusals: dict[PictureCache, str],
    cpus: int,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> Tuning:
    """Try number of processes, then caches, then batches ahead, each with the best so far.

    Persistence of processes is nothing to try: Ultralytics' loader never ends them between epochs.

    Args:
        before: The user's settings.
        measure: Gives a trial with its pictures a second, or why there are none.
        refusals: Why a cache cannot be tried.
        cpus: That may load; 0 where the training process has to.
        seconds: No trial begins later.
        clock: In seconds.
    """
    begin = clock()
    best = measure(before)
    trials = [best]
    start = best
    for change in (_other_workers, _other_caches, _other_prefetch):
        for wanted in change(best, cpus):
            why_not = refusals.get(wanted.cache, "") if wanted.cache != best.cache else ""
            if not why_not and clock() - begin > seconds:
                why_not = f"the {seconds:.0f} s for trials were over"
            trials.append(replace(wanted, why_not=why_not) if why_not else measure(wanted))
        best = max((best, *trials), key=lambda one: (one.img_s or 0.0) / (1.0 if one is best else BETTER))
    return Tuning(before=start, after=best, trials=tuple(trials), seconds=round(clock() - begin, 2))


def _other_workers(best: LoaderTrial, cpus: int) -> list[LoaderTrial]:
    numbers = {max(cpus // 2, 1), cpus, min(2 * best.workers, cpus)} if cpus else set()
    return [_bare(best, workers=number) for number in sorted(numbers - {best.workers, 0})]


def _other_caches(best: LoaderTrial, cpus: int) -> list[LoaderTrial]:
    del cpus
    caches: Sequence[PictureCache] = ("resized", "disk", "ram")
    return [_bare(best, cache=cache) for cache in caches if cache != best.cache]


def _other_prefetch(best: LoaderTrial, cpus: int) -> list[LoaderTrial]:
    del cpus
    return [_bare(best, prefetch=number) for number in (2, 8)] if best.workers else []


def _bare(trial: LoaderTrial, **changes: int | PictureCache) -> LoaderTrial:
    return replace(trial, img_s=None, why_not="", **changes)  # type: ignore[arg-type]  # of the named field


def refusals_of(trainer: Trainer) -> dict[PictureCache, str]:
    """Say which caches cannot be had, and why."""
    kept = bytes_kept(trainer)
    free = shutil.disk_usage(trainer.course.work.parent).free
    found: dict[PictureCache, str] = {}
    for cache, needs, there, where in (
        ("ram", kept["ram"] * RAM_SPARE, available_bytes(), "of main memory"),
        ("disk", kept["disk"] * DISK_SPARE, free, "of disk"),
        ("resized", kept["resized"] * DISK_SPARE, free, "of disk"),
    ):
        if needs > there:
            words = f"it needs {needs / 2**30:.1f} GiB {where}, and {there / 2**30:.1f} are free"
            found[cache] = words  # type: ignore[index]  # one of the three
    if trainer.device.type == "cpu" and trainer.args.mosaic:
        found["ram"] = "mosaics would be made of other pictures, and training on a CPU is exact"
    return found


def bytes_kept(trainer: Trainer) -> dict[PictureCache, int]:
    """Give what each cache takes; every rank has its own."""
    pictures, side = trainer.course.dataset.train, trainer.args.imgsz
    each = _CHANNELS * trainer.course.place.local_ranks
    whole = sum(picture.width * picture.height for picture in pictures) * each
    small = sum(_shrunk_area(picture, side) for picture in pictures) * each
    return {"disk": whole, "resized": small, "ram": small}


def _shrunk_area(picture: Picture, side: int) -> int:
    """Give the pixels of a picture in training, before it is padded."""
    ratio = side / max(picture.width, picture.height)
    return math.ceil(picture.width * ratio) * math.ceil(picture.height * ratio)


@dataclass(frozen=True)
class _Bench:
    """Loads a sample of the pictures, and nothing else.

    Attributes:
        trainer: That is to train.
        sample: Of its pictures.
        cold: Caches, and pictures as they are, that all together are more than main memory has free. Most of
            their reads will come from the disk, so the sample is to come from there too.
    """

    trainer: Trainer
    sample: tuple[Picture, ...]
    cold: frozenset[PictureCache]

    def measure(self, trial: LoaderTrial) -> LoaderTrial:
        """Give a trial with what it came to; that its processes die is an answer too."""
        try:
            return replace(trial, img_s=self._rate(trial))
        except RuntimeError as exc:
            if not any(words in str(exc) for words in _DIED):
                raise
            return replace(trial, why_not="a process that loads pictures died; is /dev/shm full?")

    def _rate(self, trial: LoaderTrial) -> float:
        """Give pictures a second, from the moment that all processes are at work."""
        trainer = self.trainer
        links = trainer.course.work / "tuning" / f"cache-{trial.cache or 'none'}"
        batch = max(trainer.batch_size // trainer.course.place.ranks, 1)
        dataset = pictures_of(trainer, self.sample, links=links, cache=trial.cache, batch=batch, augment=True)
        loader = build_dataloader(
            dataset, batch=batch, workers=trial.workers, shuffle=True, device=trainer.device
        )
        put_in_order(loader, trainer, prefetch=trial.prefetch)
        cold = trial.cache in self.cold
        if cold:
            for number in range(len(dataset)):
                forget(file_of(dataset, number))
        try:
            return _measured(loader, passes=1 if cold else 1000)
        finally:
            with contextlib.suppress(RuntimeError):  # PyTorch tells of a dead process again
                loader.close()


def _measured(loader: Any, *, passes: int) -> float:
    started, pictures = 0.0, 0
    warm = min(max(loader.num_workers, 1), len(loader) // 2)  # batches until all processes are at work
    for number, size in enumerate(_sizes(loader, passes)):
        now = time.perf_counter()
        if number < warm:
            started = now
            continue
        started = started or now
        pictures += size
        if now - started > TRIAL_S:
            break
    taken = time.perf_counter() - started
    return pictures / taken if pictures and taken else 0.0


def _sizes(loader: Any, passes: int) -> Iterator[int]:
    for _ in range(passes):
        for batch in loader:
            yield len(batch["im_file"])


@contextlib.contextmanager
def scratch(trainer: Trainer) -> Iterator[Measure]:
    """Give what measures a trial, in a folder that is gone afterwards."""
    pictures = trainer.course.dataset.train
    batches = max(_BATCHES, 4 * loading_cpus(trainer))  # so that each process has some
    count = min(max(trainer.batch_size * batches, _FEWEST), len(pictures))
    step = len(pictures) / count
    sample = tuple(pictures[int(number * step)] for number in range(count))
    size = sum((trainer.course.pictures / one.file).stat().st_size for one in sample) * step
    size_of: dict[PictureCache, float] = {**bytes_kept(trainer), "": size}
    room = available_bytes()
    cold = frozenset(cache for cache, taken in size_of.items() if cache != "ram" and taken > room)
    folder = trainer.course.work / "tuning"
    try:
        yield _Bench(trainer, sample, cold).measure
    finally:
        shutil.rmtree(folder, ignore_errors=True)
