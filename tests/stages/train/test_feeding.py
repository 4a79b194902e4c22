"""How training is fed: waiting told from computing, its cause, and settings of loading that are tried."""

import ctypes
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from stages.train import LoaderTrial, LoadingParts, feeder, loop, tuning
from stages.train.parts import cause_of, forget, say
from stages.train.tracking import METRICS
from stages.train.trainer import Trainer
from stages.train.tuning import search
from stages.train.utilisation import Nvml, Utilisation, gpu_of
from stages.train.watch import Watch
from tests.stages.train.conftest import EXACT, Run


def clock_of(*moments: float) -> Callable[[], float]:
    ticks: Iterator[float] = iter(moments)
    return lambda: next(ticks)


def test_waiting_is_from_ready_to_came_and_the_first_batch_is_left_out() -> None:
    watch = Watch(clock_of(0, 5, 6, 7, 8, 11, 12, 12.5, 14.5))

    watch.begin_epoch()  # 0
    watch.came()  # 5
    watch.done()  # 6
    watch.ready()  # 7: what was done in between is neither
    watch.came()  # 8
    watch.done()  # 11
    watch.ready()  # 12
    watch.came()  # 12.5
    watch.done()  # 14.5

    assert (watch.waiting_s, watch.computing_s) == (1.5, 5.0)
    assert watch.last_ms == (500, 2000)


def test_an_epoch_counts_anew_and_leaves_out_nothing_of_a_loader_that_runs() -> None:
    watch = Watch(clock_of(0, 1, 2, 3, 5, 9))
    watch.begin_epoch()
    watch.came()
    watch.done()

    watch.begin_epoch()  # 3
    watch.came()  # 5
    watch.done()  # 9

    assert (watch.waiting_s, watch.computing_s) == (2.0, 4.0)


def parts(**more: float) -> LoadingParts:
    return LoadingParts(
        **{
            "pictures": 64, "cold": False, "read_ms": 1, "decode_ms": 4, "augment_ms": 4.5, "collate_ms": 0.5,
            **more,
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("measured", "wanted_img_s", "workers", "cpus", "cause"),
    [
        pytest.param(parts(), 390, 2, 16, "workers", id="four processes would do"),
        pytest.param(parts(), 390, 0, 16, "workers", id="none where there could be four"),
        pytest.param(parts(), 5000, 8, 16, "augment", id="all processors are too few: the longest part"),
        pytest.param(parts(decode_ms=30), 5000, 8, 16, "decode", id="large pictures"),
        pytest.param(parts(read_ms=30), 5000, 8, 16, "disk", id="a slow disk"),
        pytest.param(parts(collate_ms=30), 5000, 8, 16, "collate", id="large batches"),
        pytest.param(parts(), 100, 8, 16, "other", id="fast enough by far, and yet"),
        pytest.param(parts(), 390, 0, 0, "augment", id="a CPU, which trains with its processors"),
    ],
)
def test_the_cause_of_starvation_follows_from_its_parts(
    measured: LoadingParts, wanted_img_s: float, workers: int, cpus: int, cause: str
) -> None:
    assert cause_of(measured, wanted_img_s=wanted_img_s, workers=workers, cpus=cpus) == cause


def test_starvation_is_told_with_its_figures_and_what_to_do() -> None:
    said = say("workers", parts(cold=True), waiting=0.43, wanted_img_s=390)

    assert "waited 43% of the time" in said
    assert "10.0 ms for one: 1.0 reading from the disk, 4.0 decoding, 4.5 augmentation" in said
    assert said.endswith("There are too few processes: set train.workers to 4.")
    assert "Set train.cache to ram" in say("decode", parts(), waiting=0.2, wanted_img_s=390)


def test_a_file_can_be_dropped_from_the_page_cache_and_is_still_whole(tmp_path: Path) -> None:
    (tmp_path / "picture").write_bytes(bytes(1000))

    forget(str(tmp_path / "picture"))

    assert (tmp_path / "picture").read_bytes() == bytes(1000)


# ------------------------------------------------------------------------------------------ search


def rates(**of: float) -> Callable[[LoaderTrial], LoaderTrial]:
    """Give a machine that loads 100 pictures a second for each of four processes, by cache and prefetch."""

    def measure(trial: LoaderTrial) -> LoaderTrial:
        faster = of.get(trial.cache or "none", 1.0) * of.get(f"ahead{trial.prefetch}", 1.0)
        return replace(trial, img_s=min(max(trial.workers, 1), 4) * 100 * faster)

    return measure


BEFORE = LoaderTrial(workers=1, prefetch=4, cache="")


def test_processes_then_caches_then_batches_ahead_are_tried_with_the_best_so_far() -> None:
    found = search(BEFORE, rates(ram=3.0, resized=2.0, ahead8=1.2), refusals={}, cpus=4, seconds=60)

    assert found.before == replace(BEFORE, img_s=100)
    assert found.after == LoaderTrial(workers=4, prefetch=8, cache="ram", img_s=pytest.approx(1440))
    assert [(one.workers, one.cache, one.prefetch) for one in found.trials] == [
        (1, "", 4), (2, "", 4), (4, "", 4), (4, "resized", 4), (4, "disk", 4), (4, "ram", 4), (4, "ram", 2),
        (4, "ram", 8),
    ]  # fmt: skip


def test_what_is_hardly_faster_is_not_taken() -> None:
    def measure(trial: LoaderTrial) -> LoaderTrial:
        return replace(trial, img_s=100 + trial.workers)

    found = search(BEFORE, measure, refusals={}, cpus=4, seconds=60)

    assert found.after == found.before


def test_on_a_cpu_only_caches_are_tried_and_what_is_refused_says_why() -> None:
    alone = replace(BEFORE, workers=0)
    found = search(alone, rates(disk=1.5), refusals={"ram": "no room"}, cpus=0, seconds=60)

    assert found.after.cache == "disk"
    assert {one.workers for one in found.trials} == {0}
    assert [(one.cache, one.img_s) for one in found.trials if one.why_not == "no room"] == [("ram", None)]


def test_no_trial_begins_after_the_time_is_over() -> None:
    clock = clock_of(*range(0, 1000, 25))
    found = search(BEFORE, rates(), refusals={}, cpus=4, seconds=60, clock=clock)

    assert [bool(one.why_not) for one in found.trials] == [False, False, False, True, True, True, True, True]
    assert found.trials[-1].why_not == "the 60 s for trials were over"
    assert (found.after.workers, found.after.cache) == (4, "")


# ------------------------------------------------------------------------------------------ NVML

LIBRARY = """
#include <string.h>
static int looks = 0;
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) {
    if (strcmp(uuid, "GPU-1234") != 0) return 6;
    *device = &looks;
    return 0;
}
typedef struct { unsigned int gpu, memory; } rates;
int nvmlDeviceGetUtilizationRates(void *device, rates *found) {
    if (device != &looks) return 2;
    if (++looks == 3) return 15;
    found->gpu = 20 * looks; found->memory = 7;
    return 0;
}
"""


@pytest.fixture
def library(tmp_path: Path) -> str:
    """Build a library with the three functions of nvml.h that are called."""
    (tmp_path / "nvml.c").write_text(LIBRARY)
    built = tmp_path / "libnvidia-ml.so.1"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", built, tmp_path / "nvml.c"], check=True)
    return str(built)


def test_a_gpu_is_found_by_its_uuid_and_says_how_busy_it_was(library: str) -> None:
    gpu = Nvml.of("GPU-1234", library)

    assert gpu is not None
    assert [gpu.busy() for _ in range(4)] == [0.2, 0.4, None, 0.8]
    assert Nvml.of("GPU-9999", library) is None


def test_the_mean_is_of_one_look_a_second_that_told_something(library: str) -> None:
    gpu = Nvml.of("GPU-1234", library)
    utilisation = Utilisation(gpu, clock=clock_of(0, 0, 0.5, 1.5, 1.5, 3, 3, 4, 4))

    for _ in range(5):
        utilisation.look()

    assert (utilisation.seen, utilisation.total) == (3, pytest.approx(1.4))
    assert utilisation.mean == pytest.approx(1.4 / 3)


def test_without_a_driver_or_on_a_cpu_there_is_no_utilisation(tmp_path: Path) -> None:
    (tmp_path / "other.c").write_text("int nothing(void) { return 0; }")
    other = tmp_path / "other.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", other, tmp_path / "other.c"], check=True)

    assert Nvml.of("GPU-1234", "/nowhere/libnvidia-ml.so.1") is None
    assert Nvml.of("GPU-1234", str(other)) is None
    assert gpu_of(torch.device("cpu")) is None
    utilisation = Utilisation(None)
    utilisation.look()
    assert utilisation.mean is None


def test_the_rates_are_two_unsigned_ints_as_nvml_h_says() -> None:
    from stages.train.utilisation import _Rates

    assert ctypes.sizeof(_Rates) == 8


# ------------------------------------------------------------------------------------------ training


class Slow(Trainer):
    """A trainer whose pictures take 20 ms each to load."""

    def build_dataset(self, *args, **settings):
        dataset = super().build_dataset(*args, **settings)
        load = dataset.load_image

        def slowly(number: int, **more: bool):
            time.sleep(0.02)
            return load(number, **more)

        dataset.load_image = slowly
        return dataset


@pytest.mark.slow
def test_a_training_that_starves_says_so_and_why(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "Trainer", Slow)
    monkeypatch.setattr(feeder, "ENOUGH_S", 0.1)

    told = []

    trained = run(tmp_path, epochs=2, overrides={"mosaic": 0.0}, told=told)
    feeding = trained.feeding

    assert feeding is not None
    assert feeding.waiting > 0.1
    assert feeding.parts is not None
    assert feeding.parts.decode_ms > 15  # where the sleep is: in what is neither reading nor augmentation
    assert feeding.cause == "decode"
    assert feeding.says == trained.notes[-1]
    assert "Decoding is most of it. Set train.cache to ram" in feeding.says
    assert feeding.gpu_busy is None
    assert told[-2].endswith(", waits for pictures: decode")  # before the last validation
    assert sum(epoch.waiting_s for epoch in trained.epochs) == feeding.waiting_s
    steps = [json.loads(line) for line in (tmp_path / "metrics" / METRICS).read_text().splitlines()]
    assert all(one["waiting_ms"] > 0 and one["computing_ms"] > 0 for one in steps if "step" in one)


@pytest.mark.slow
def test_a_training_of_seconds_gives_no_advice(run: Run, tmp_path: Path) -> None:
    trained = run(tmp_path)

    assert trained.feeding is not None
    assert trained.feeding.computing_s > 0
    assert (trained.feeding.says, trained.feeding.parts) == ("", None)


@pytest.mark.slow
def test_measuring_why_it_starves_changes_nothing_that_is_learned(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = run(tmp_path / "plain", epochs=3, overrides=EXACT)
    monkeypatch.setattr(feeder, "ENOUGH_S", 0.0)
    monkeypatch.setattr(feeder, "STARVES", 0.0)

    asked = run(tmp_path / "asked", epochs=3, overrides=EXACT)

    assert asked.feeding is not None
    assert asked.feeding.parts is not None
    assert asked.checkpoint.digest == plain.checkpoint.digest


@pytest.mark.slow
def test_copies_on_disk_leave_the_weights_as_they_are_whatever_their_size(large: Run) -> None:
    digests = {large(f"cache-{cache}", cache=cache).checkpoint.digest for cache in ("", "disk", "resized")}

    assert len(digests) == 1


@pytest.mark.slow
def test_copies_are_as_large_as_training_takes_them_and_of_training_pictures_alone(
    large: Run, tmp_path: Path
) -> None:
    large("out", cache="resized")

    copies = {path.parent.name: np.load(path).shape for path in sorted((tmp_path / "out").rglob("*.npy"))}
    shapes = [np.load(path).shape for path in sorted((tmp_path / "out").rglob("*.npy"))]

    assert shapes[:4] == [(59, 96, 3), (96, 47, 3), (96, 96, 3), (40, 70, 3)]
    assert set(copies) == {"train"}
    assert not list((tmp_path / "out").rglob("*.partial"))


@pytest.mark.slow
def test_tuning_on_a_cpu_changes_the_time_and_not_the_weights(
    large: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = large("plain")
    monkeypatch.setattr(tuning, "TRIAL_S", 0.1)
    tuned = large("tuned", autotune_loader=True)
    feeding = tuned.feeding

    assert tuned.checkpoint.digest == plain.checkpoint.digest
    assert feeding is not None
    assert feeding.tuning is not None
    resized, disk, ram = feeding.tuning.trials[1:]
    assert feeding.tuning.before.cache == ""
    assert (feeding.tuning.before.img_s or 0) > 0
    assert (resized.cache, disk.cache, ram.cache) == ("resized", "disk", "ram")
    assert ram.why_not == "mosaics would be made of other pictures, and training on a CPU is exact"
    assert feeding.cache == feeding.tuning.after.cache
    assert not list((tmp_path / "tuned").rglob("tuning"))


@pytest.mark.slow
def test_a_resumed_training_keeps_the_settings_that_were_found(
    large: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = large("plain", epochs=3)
    monkeypatch.setattr(tuning, "TRIAL_S", 0.1)
    with pytest.raises(KeyboardInterrupt):
        large("pieces", epochs=3, autotune_loader=True, stop_at=1.5)
    monkeypatch.setattr(tuning, "search", None)  # nobody searches again

    resumed = large("pieces", epochs=3, autotune_loader=True)

    assert resumed.checkpoint.digest == plain.checkpoint.digest
    assert resumed.feeding is not None
    assert resumed.feeding.tuning is not None
    assert resumed.feeding.tuning.after.cache == resumed.feeding.cache
    assert len(resumed.feeding.tuning.trials) == 4


@pytest.mark.slow
def test_what_main_memory_cannot_hold_is_tried_from_the_disk(
    large: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten: list[str] = []
    monkeypatch.setattr(tuning, "forget", forgotten.append)
    monkeypatch.setattr(
        tuning, "available_bytes", lambda: 250_000.0
    )  # decoded they are 406,467, resized 222,048
    monkeypatch.setattr(tuning, "TRIAL_S", 0.1)

    feeding = large("out", autotune_loader=True).feeding

    assert feeding is not None
    assert feeding.tuning is not None
    assert all((one.img_s or 0) > 0 for one in feeding.tuning.trials if not one.why_not)
    assert {Path(file).parent.name for file in forgotten} == {"cache-none", "cache-disk"}
    assert {Path(file).suffix for file in forgotten} == {".png", ".npy"}


@pytest.mark.slow
def test_a_full_disk_costs_the_copies_and_not_the_training(large: Run, tmp_path: Path) -> None:
    plain = large("plain")
    folder = tmp_path / "out" / "work" / "rank0" / "train"
    folder.mkdir(parents=True)
    for number in range(12):
        (folder / f"{number:07}.partial").symlink_to("/dev/full")

    full = large("out", cache="resized")

    assert full.checkpoint.digest == plain.checkpoint.digest
    assert not list(folder.glob("*.npy"))


@pytest.mark.slow
def test_a_cache_that_has_no_room_is_not_tried(large: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "TRIAL_S", 0.1)
    monkeypatch.setattr(tuning, "available_bytes", lambda: 1000.0)

    found = large("out", autotune_loader=True, overrides={"mosaic": 0.0, **EXACT}).feeding

    assert found is not None
    assert found.tuning is not None
    assert found.tuning.trials[-1].why_not == "it needs 0.0 GiB of main memory, and 0.0 are free"


@pytest.mark.slow
def test_a_cache_that_was_asked_for_and_has_no_room_is_told(
    large: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = type("Memory", (), {"available": 0, "total": 1})
    monkeypatch.setattr(psutil, "virtual_memory", nothing)

    trained = large("out", cache="ram")

    assert trained.feeding is not None
    assert trained.feeding.cache == ""
    assert "`train.cache: ram` was left out: there is no room for all pictures." in trained.notes


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_is_fed_by_the_settings_that_were_found_and_its_work_is_seen(large: Run) -> None:
    feeding = large("out", epochs=20, device="0", autotune_loader=True).feeding

    assert feeding is not None
    assert feeding.tuning is not None
    assert len({one.workers for one in feeding.tuning.trials}) > 1
    assert (feeding.workers, feeding.cache) == (feeding.tuning.after.workers, feeding.tuning.after.cache)
    assert 0 <= (feeding.gpu_busy or 0) <= 1
