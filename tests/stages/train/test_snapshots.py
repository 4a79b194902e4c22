from pathlib import Path

import pytest
import torch

from stages.train.snapshots import Snapshots


def save(snapshots: Snapshots, epoch: int, best_epoch: int = 0) -> None:
    if best_epoch == epoch:
        snapshots.save_best(epoch, {"weight": torch.full((2,), float(epoch))})
    snapshots.save(epoch, {"epoch": epoch, "best_epoch": best_epoch, "lr": [0.1, None, "sgd"]})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_is_given_with_its_best_weights(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path)
    for epoch, best_epoch in ((1, 1), (2, 2), (3, 2)):
        save(snapshots, epoch, best_epoch)

    state = Snapshots(tmp_path).load()

    assert state is not None
    assert (state["epoch"], state["lr"]) == (3, [0.1, None, "sgd"])
    assert state["best"]["weight"].tolist() == [2.0, 2.0]


def test_nothing_is_nothing(tmp_path: Path) -> None:
    assert Snapshots(tmp_path / "new").load() is None


def test_only_the_last_two_are_kept(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path)
    for epoch in range(1, 6):
        save(snapshots, epoch, epoch)

    assert names(tmp_path) == ["best-00004.pt", "best-00005.pt", "epoch-00004.pt", "epoch-00005.pt"]


@pytest.mark.parametrize("spoiled", ["epoch-00003.pt", "best-00003.pt"])
@pytest.mark.parametrize("length", [0, 1, 400, -30])
def test_a_truncated_file_falls_back_to_the_epoch_before(spoiled: str, length: int, tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path)
    for epoch in (1, 2, 3):
        save(snapshots, epoch, epoch)
    (tmp_path / spoiled).write_bytes((tmp_path / spoiled).read_bytes()[:length])

    state = Snapshots(tmp_path).load()

    assert state is not None
    assert state["epoch"] == 2
    assert state["best"]["weight"].tolist() == [2.0, 2.0]


def test_training_starts_anew_where_none_can_be_read(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path)
    save(snapshots, 1)
    save(snapshots, 2)
    for path in tmp_path.iterdir():
        path.write_bytes(b"spoiled")

    assert snapshots.load() is None
    assert names(tmp_path) == []


def test_what_a_kill_left_half_written_is_removed(tmp_path: Path) -> None:
    save(Snapshots(tmp_path), 1)
    (tmp_path / "epoch-00002.pt.partial").write_bytes(b"half")

    state = Snapshots(tmp_path).load()

    assert state is not None
    assert state["epoch"] == 1
    assert names(tmp_path) == ["epoch-00001.pt"]
