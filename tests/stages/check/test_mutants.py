"""Whatever a file holds, `check` answers, or says why it does not; it opens no other file, and it ends."""

import ctypes
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.profiles import find_profiles, profile_names
from stages.artifact import Artifact
from stages.check.examine import examine_files
from stages.export import Export, ExportInputs
from stages.stage import no_progress
from targets.errors import ModelError
from tests.stages.check.mutants import mutants_of

PROFILES = [*find_profiles(profile_names()).values()]
BOARDS = [one for one in PROFILES if one.runtime == "tensorrt"]
CPUS = [one for one in PROFILES if one.runtime in {"openvino", "onnxruntime"}]
SMALL_BYTES = 20_000
BATCH = 500
IN_OPEN = 0x20  # linux/inotify.h


@pytest.fixture(scope="module")
def seeds(
    test_data: Path,
    tmp_path_factory: pytest.TempPathFactory,
    small_yaml: Callable[..., str],
    checkpoint_of: Callable[..., Artifact],
) -> list[bytes]:
    """Give real models: the small ones of the collection, and a detector of two levels."""
    checkpoint = checkpoint_of("yolov8small", small_yaml())
    exported = Export().run(ExportInputs(checkpoint=checkpoint), tmp_path_factory.mktemp("out"), no_progress)
    files = [*sorted((test_data / "onnx").glob("*/*.onnx")), exported.onnx / "model.onnx"]
    return [file.read_bytes() for file in files if 0 < file.stat().st_size < SMALL_BYTES or file == files[-1]]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Give a folder for models; files above it, which they may name, must stay unopened by any process."""
    inner = tmp_path / "outside" / "inside"
    inner.mkdir(parents=True)
    (tmp_path / "outside" / "secret.bin").write_bytes(bytes(64))
    (inner / "secret.bin").write_bytes(bytes(64))
    (inner / "link").symlink_to(tmp_path / "outside" / "secret.bin")
    libc = ctypes.CDLL(None)
    watch = libc.inotify_init1(os.O_NONBLOCK)
    assert libc.inotify_add_watch(watch, os.fsencode(tmp_path / "outside"), IN_OPEN) > 0
    yield inner
    try:
        opened = _names(os.read(watch, 65536))
    except BlockingIOError:
        opened = []
    os.close(watch)
    assert "secret.bin" not in opened


def _names(events: bytes) -> list[str]:
    """Read the names of `struct inotify_event`."""
    names = []
    while events:
        length = struct.unpack_from("iIII", events)[3]
        names.append(events[16 : 16 + length].rstrip(b"\0").decode())
        events = events[16 + length :]
    return names


def _save(mutants: list[bytes], folder: Path) -> list[Path]:
    paths = [folder / f"{index}.onnx" for index in range(len(mutants))]
    for path, mutant in zip(paths, mutants, strict=True):
        path.write_bytes(mutant)
    return paths


def check_mutants(seeds: list[bytes], folder: Path, *, count: int, seed: int) -> tuple[int, int]:
    """Check so many mutants for every board; give how many were answered, and how many refused."""
    mutants = mutants_of(seeds, count, seed=seed)
    answered = refused = 0
    for _ in range(count // BATCH):
        found = examine_files(_save([next(mutants) for _ in range(BATCH)], folder), BOARDS, timeout_s=1)
        refused += sum(isinstance(one, ModelError) for one in found)
        answered += sum(isinstance(one, tuple) and len(one) == len(BOARDS) for one in found)
    return answered, refused


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_10_000_mutants_are_answered_for_every_board_or_refused(seeds: list[bytes], folder: Path) -> None:
    answered, refused = check_mutants(seeds, folder, count=10_000, seed=0)

    assert answered + refused == 10_000
    assert answered > 2_000  # or else the mutants are too broken to look into
    assert refused > 500


@pytest.mark.slow
def test_100_mutants_are_answered_by_each_cpu_runtime_or_refused(seeds: list[bytes], folder: Path) -> None:
    paths = _save([*mutants_of(seeds, 100, seed=1)], folder)

    found = examine_files(paths, CPUS, timeout_s=5)

    assert all(isinstance(one, ModelError) or len(one) == len(CPUS) for one in found)
    assert sum(isinstance(one, tuple) for one in found) > 20


@pytest.mark.slow
def test_60_mutants_end_with_exit_code_0_1_or_5(seeds: list[bytes], folder: Path) -> None:
    names = [argument for one in BOARDS[:4] for argument in ("--target", one.name)]

    for path in _save([*mutants_of(seeds, 60, seed=2)], folder):
        done = CliRunner().invoke(
            app, ["check", str(path), *names, "--json", "--sarif", str(folder / "out.sarif")]
        )

        assert done.exit_code in {0, 1, 5}
        assert done.exception is None or isinstance(done.exception, SystemExit)
