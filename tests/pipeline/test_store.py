import json
import os
import random
import shutil
import signal
import subprocess
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from toys import Listener, Shout, ShoutInputs, Sow, SowInputs

from pipeline.runner import Runner
from pipeline.store import Store
from pipeline.upkeep import fsck, gc, ls
from stages.artifact import Artifact
from targets.errors import DiskFullError, StoreError

KILLS = 60


def chain(store: Store, length: int = 6) -> Artifact:
    """Run steps that each depend on the one before."""
    runner = Runner(store, Listener())
    text = runner(Sow(files=5), SowInputs()).text
    for times in range(2, length):
        text = runner(Shout(times=times), ShoutInputs(text=text)).text
    return text


def test_the_store_is_an_oci_image_layout(store: Store) -> None:
    chain(store, length=3)
    layout = store.root / "store"
    index = json.loads((layout / "index.json").read_bytes())
    manifest = json.loads((layout / "blobs" / "sha256" / index["manifests"][0]["digest"][7:]).read_bytes())

    assert json.loads((layout / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    assert manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert manifest["layers"][0]["annotations"]["org.opencontainers.image.title"] == "text/deep/0.txt"


def test_skopeo_reads_the_store(store: Store, tmp_path: Path) -> None:
    if shutil.which("skopeo") is None:
        pytest.skip("apt-get install skopeo")
    chain(store, length=3)
    key = store.step_keys()[0]
    source, target = f"oci:{store.root / 'store'}:{key}", f"oci:{tmp_path / 'copy'}:copy"

    done = subprocess.run(["skopeo", "copy", "--insecure-policy", source, target], capture_output=True)

    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.slow
def test_kills_at_random_moments_lose_nothing_and_leave_nothing_half_done(store: Store) -> None:
    """Children are forked, killed after a random time, and followed by others in the same folder."""
    random.seed(7)
    finished: set[str] = set()
    for _ in range(KILLS):
        child = os.fork()
        if child == 0:
            try:
                chain(store, length=40)
            finally:
                os._exit(0)
        time.sleep(random.uniform(0.002, 0.12))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        keys = set(store.step_keys())
        assert finished <= keys
        finished = keys
        assert all(store.find(key) is not None for key in keys)

    assert fsck(store) == []
    clean = Store(store.root.parent / "clean")
    clean.prepare()
    assert chain(store, length=40).digest == chain(clean, length=40).digest
    assert fsck(store) == []


def test_two_at_once_do_each_step_once(store: Store) -> None:
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            try:
                chain(store, length=20)
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    index = json.loads((store.root / "store" / "index.json").read_bytes())

    assert fsck(store) == []
    assert len(store.step_keys()) == len(index["manifests"]) == 19


def test_fsck_finds_a_flipped_byte_and_repairs(store: Store) -> None:
    chain(store, length=3)
    blob = next(path for path in store.blob_paths() if path.stat().st_size > 500)
    blob.chmod(0o644)
    content = bytearray(blob.read_bytes())
    content[3] ^= 1
    blob.write_bytes(content)

    assert any("other bytes" in problem for problem in fsck(store))
    fsck(store, repair=True)
    assert fsck(store) == []
    chain(store, length=3)
    assert fsck(store) == []


def test_fsck_finds_a_lost_blob(store: Store) -> None:
    chain(store, length=3)
    next(store.blob_paths()).unlink()

    assert fsck(store) != []


def test_fsck_tells_of_a_broken_index_and_writes_it_anew(store: Store) -> None:
    chain(store, length=3)
    (store.root / "store" / "index.json").write_text("{")

    assert any("index.json is not an OCI index" in problem for problem in fsck(store))
    fsck(store, repair=True)
    assert fsck(store) == []


def test_gc_goes_on_where_a_manifest_is_lost(store: Store) -> None:
    chain(store, length=4)
    (store.blobs / store.listed()[0]["digest"].removeprefix("sha256:")).unlink()

    gc(store, older_than=timedelta(days=30), now=datetime.now(timezone.utc))

    assert len(store.listed()) == 2
    chain(store, length=4)
    assert fsck(store) == []


def test_gc_frees_what_was_not_used_for_long_and_keeps_the_rest(store: Store) -> None:
    chain(store, length=4)
    old, *kept = ls(store)
    long_ago = datetime.now().timestamp() - 40 * 86400
    os.utime(store.actions / old.key, (long_ago, long_ago))

    ls(store)  # looking is not using
    gc(store, older_than=timedelta(days=30), now=datetime.now(timezone.utc))

    assert {one.key for one in ls(store)} == {one.key for one in kept}
    assert fsck(store) == []


def test_a_full_disk_is_told_and_nothing_is_taken_for_finished(small_disk: Path) -> None:
    store = Store(small_disk / ".edgebound")
    store.prepare()
    chain(store, length=3)
    ballast = small_disk / "ballast"
    with pytest.raises(OSError), ballast.open("wb") as file:
        while True:
            file.write(bytes(4096))
            file.flush()

    with pytest.raises(DiskFullError, match="is full"):
        chain(store, length=30)
    ballast.unlink()
    chain(store, length=30)

    assert fsck(store) == []


@pytest.fixture
def small_disk(tmp_path: Path):  # type: ignore[no-untyped-def]
    """A real file system of four megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a tmpfs needs root")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_folder_that_may_not_be_written_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "read-only"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a tmpfs needs root")
    try:
        with pytest.raises(StoreError, match="cannot be written"):
            Store(folder / ".edgebound").prepare()
    finally:
        subprocess.run(["umount", folder], check=True)
