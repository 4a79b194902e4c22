"""How many pictures fit, and what happens where they do not."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from stages.artifact import Artifact
from stages.train import PeakMemory, Trained, loop
from stages.train.memory import crowded_batch, is_out_of_memory, largest_batch, largest_side, peak_memory
from stages.train.trainer import Trainer
from targets.errors import EdgeboundError

Run = Callable[..., Trained]
GIB = 1 << 30
LIMITED = """
import json, resource, sys
from pathlib import Path
from stages.artifact import Artifact
from stages.train import Train, TrainInputs

def limit(done, total, note=""):
    if not limited:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 120 * 2**20,) * 2)
        limited.append(True)

limited = []
index, pictures, weights = (Artifact.of(Path(path)) for path in sys.argv[1:4])
stage = Train(epochs=1, imgsz=640, batch=6, device="cpu", overrides={"mosaic": 0.0})
trained = stage.run(TrainInputs(index=index, pictures=pictures, weights=weights), Path(sys.argv[4]), limit)
print(json.dumps([trained.batch, trained.effective_batch, trained.notes]))
"""


class Card:
    """A GPU on which a step takes `fixed` bytes and `each` more for every picture."""

    def __init__(self, fixed: int, each: int, room: int) -> None:
        self.fixed, self.each, self.room = fixed, each, room
        self.tried: list[int] = []

    def peak(self, batch: int) -> int | None:
        self.tried.append(batch)
        peak = self.fixed + batch * self.each
        return peak if peak < self.room else None


@pytest.mark.parametrize(
    ("fixed", "each", "room", "ceiling", "batch"),
    [
        (GIB, GIB // 2, 24 * GIB, 1024, 38),
        (GIB, GIB // 2, 24 * GIB, 16, 16),
        (GIB, GIB, 4 * GIB, 1024, 2),
        (3 * GIB, GIB // 2, 4 * GIB, 1024, 1),
        (0, 1, 24 * GIB, 1024, 1024),
    ],
    ids=["to 85 %", "no more than the ceiling", "a few", "one", "small pictures"],
)
def test_the_batch_fills_the_card(fixed: int, each: int, room: int, ceiling: int, batch: int) -> None:
    card = Card(fixed, each, room)

    found = largest_batch(card.peak, room=room, ceiling=ceiling)

    assert found == batch
    assert card.peak(found) is not None


def test_few_steps_are_tried() -> None:
    card = Card(GIB, GIB // 4, 80 * GIB)

    largest_batch(card.peak, room=card.room, ceiling=1024)

    assert card.tried == [1, 2, 4, 8, 16, 32, 64, 128, 256, 268]


def test_memory_that_grows_faster_than_a_line_is_met_by_trying_what_was_predicted() -> None:
    def peak_of(batch: int) -> int | None:
        peak = GIB + batch * GIB // 4 + (GIB * (batch - 100) if batch > 100 else 0)
        return peak if peak < 80 * GIB else None

    found = largest_batch(peak_of, room=80 * GIB, ceiling=1024)

    assert peak_of(found) is not None


def test_not_even_one_picture_is_an_error() -> None:
    with pytest.raises(EdgeboundError, match=r"Not even one picture a batch fits into the 2\.0 GiB"):
        largest_batch(Card(4 * GIB, 1, 2 * GIB).peak, room=2 * GIB, ceiling=16)


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"),
            True,
        ),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (MemoryError(), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_memory_that_ran_out_is_known_by_what_pytorch_says(error: Exception, is_one: bool) -> None:
    assert is_out_of_memory(error) == is_one


def test_the_peak_is_of_the_whole_run_whatever_process_it_was_in() -> None:
    before = PeakMemory(allocated_mib=10.0, reserved_mib=20.0, resident_mib=1e9)

    peak = peak_memory(torch.device("cpu"), before)

    assert peak == before
    assert 10 < peak_memory(torch.device("cpu")).resident_mib < 1e6


def test_the_largest_picture_of_multi_scale_is_what_ultralytics_may_draw() -> None:
    assert largest_side(640, 0.0, 32) == 640
    assert largest_side(640, 0.5, 32) == 960
    assert largest_side(320, 0.3, 32) == 416


def test_a_crowded_batch_has_as_many_objects_as_asked_for_in_each_picture() -> None:
    batch = crowded_batch(2, side=64, objects=5, classes=3, device=torch.device("cpu"))

    assert batch["img"].shape == (2, 3, 64, 64)
    assert batch["batch_idx"].tolist() == [0.0] * 5 + [1.0] * 5
    assert batch["bboxes"].shape == (10, 4)
    assert batch["cls"].max() < 3


class Narrow(Trainer):
    """A trainer on a device that holds four pictures at once, from its second epoch on."""

    def preprocess_batch(self, batch):
        if self.epoch >= 1 and self.batch_size > 4:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return super().preprocess_batch(batch)


@pytest.mark.slow
def test_training_goes_on_with_half_the_pictures_and_the_same_effective_batch(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "Trainer", Narrow)

    trained = run(tmp_path, epochs=3, batch=12, overrides={"nbs": 24})

    assert (trained.batch, trained.effective_batch) == (3, 24)
    assert [note.partition(",")[0] for note in trained.notes[1:3]] == [
        "Memory ran out with 12 pictures at once",
        "Memory ran out with 6 pictures at once",
    ]
    assert [epoch.epoch for epoch in trained.epochs] == [1, 2, 3]


@pytest.mark.slow
def test_one_picture_that_does_not_fit_ends_training(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(Trainer):
        def preprocess_batch(self, batch):
            raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(loop, "Trainer", Full)

    with pytest.raises(EdgeboundError, match="Memory ran out with one picture a batch") as caught:
        run(tmp_path, batch=2)

    assert "train.imgsz lower" in caught.value.hint


@pytest.mark.slow
def test_a_process_that_may_have_no_more_memory_trains_with_fewer_pictures(
    drawn: tuple[Artifact, Artifact], small: Artifact, tmp_path: Path
) -> None:
    paths = (drawn[0].path, drawn[1].path, small.path, tmp_path)
    command = [sys.executable, "-c", LIMITED, *map(str, paths)]
    # An arena of glibc's malloc takes 64 MiB of addresses, and threads make some by chance.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}

    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)

    assert done.returncode == 0, done.stderr[-2000:]
    batch, effective, notes = json.loads(done.stdout)
    assert (batch < 6, effective) == (True, 66)
    assert notes[1].startswith("Memory ran out with 6 pictures at once, so training went on with 3")


@pytest.mark.slow
def test_a_cpu_has_a_batch_by_default_and_the_result_says_so(run: Run, tmp_path: Path) -> None:
    trained = run(tmp_path, epochs=1, batch="auto", max_batch=6)

    assert (trained.batch, trained.effective_batch) == (6, 66)
    assert "`train.batch: auto` took 6 pictures at once, the default, since" in trained.notes[-1]
    assert trained.memory is not None
    assert trained.memory.resident_mib > 50
    assert trained.memory.allocated_mib is None
