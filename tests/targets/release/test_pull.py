"""Pull: what a device takes, what it refuses, and what is in place afterwards."""

import fcntl
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from targets.detector import Detector
from targets.errors import (
    DigestError,
    DiskFullError,
    ModelError,
    NotFoundError,
    RegistryError,
    TrustError,
    UnsupportedError,
    UsageError,
)
from targets.folder import describe_file
from targets.registry import artifact
from targets.registry.artifact import push_index
from targets.registry.content import INDEX_TYPE, Manifest
from targets.registry.layout_folder import LayoutFolder
from targets.registry.repository import Moved, unheard
from targets.release.check import MANIFEST
from targets.release.facts import RELEASE_TYPE, dump
from targets.release.pull import go_back
from targets.release.switch import short
from tests.registry_fixture.server import Registry
from tests.targets.registry.conftest import Desk
from tests.targets.release.conftest import Shelf
from tests.targets.release.releases import KEY, NOW, STRANGER, publish, rewrite_json, some_facts


def whole(folder: Path) -> str:
    """See that what is current in a folder is one whole engine, and give the name of the release."""
    with Detector.open(folder, trust=None, allow_unsigned=True) as detector:
        detector.warm_up(1)
    return link(folder / "current")


def link(path: Path) -> str:
    return str(path.readlink())


def sequences(folder: Path) -> dict[str, int]:
    return json.loads((folder / "state.json").read_text())["sequences"]


def test_the_engine_is_put_in_place_with_all_that_proves_it(shelf: Shelf) -> None:
    shelf.release(shelf.recipe())

    pulled = shelf.pull()

    assert pulled.changed
    assert pulled.before == ""
    assert pulled.signer == KEY.key_id
    assert (shelf.device / "current").resolve() == pulled.folder.resolve()
    assert link(shelf.device / "current") == f"releases/{short(pulled.digest)}"
    assert {path.name for path in pulled.folder.iterdir()} == {
        "release.json", "engine", "proof", "LICENSE", "MODEL_CARD.md", "manifest.json", "signature.json",
    }  # fmt: skip
    assert sequences(shelf.device) == {"lamps/stable": 100}
    assert whole(shelf.device)


def test_a_second_pull_of_the_same_moves_nothing(shelf: Shelf) -> None:
    shelf.release(shelf.recipe())
    first = shelf.pull()
    before = {path: path.stat().st_mtime_ns for path in first.folder.rglob("*")}
    begun: list[str] = []

    def begin(what: str, _size: int) -> Moved:
        begun.append(what)
        return unheard

    second = shelf.pull(transfer=begin)

    assert not second.changed
    assert begun == []
    assert {path: path.stat().st_mtime_ns for path in first.folder.rglob("*")} == before
    assert not (shelf.device / "previous").is_symlink()


def test_what_is_told_of_a_transfer_adds_up_to_what_came(shelf: Shelf) -> None:
    shelf.release(shelf.recipe())
    announced: list[int] = []
    moved: list[int] = []

    def begin(_what: str, size: int) -> Moved:
        announced.append(size)
        return moved.append

    release = shelf.pull(transfer=begin).folder

    layers = json.loads((release / MANIFEST).read_text())["layers"]
    assert announced == [sum(moved)] == [sum(layer["size"] for layer in layers)]


def test_what_was_damaged_since_is_mended(shelf: Shelf, change: Callable[[Path], None]) -> None:
    shelf.release(shelf.recipe())
    place = shelf.pull().folder
    change(place / "engine" / "model.onnx")

    again = shelf.pull()

    assert again.folder == place
    assert whole(shelf.device)


def test_the_release_before_is_kept_and_older_ones_go(shelf: Shelf) -> None:
    names = []
    for sequence in (100, 101, 102):
        shelf.release(shelf.recipe(sequence=sequence))
        names.append(short(shelf.pull().digest))

    assert link(shelf.device / "current") == f"releases/{names[2]}"
    assert link(shelf.device / "previous") == f"releases/{names[1]}"
    assert {path.name for path in (shelf.device / "releases").iterdir()} == set(names[1:])
    assert not list((shelf.device / ".incoming").iterdir())


def test_one_can_go_back_by_hand_and_forth_again(shelf: Shelf) -> None:
    shelf.release(shelf.recipe())
    shelf.pull()
    shelf.release(shelf.recipe(sequence=101))
    new = shelf.pull()

    back = go_back(shelf.device, KEY.policy())
    there = whole(shelf.device)
    forth = go_back(shelf.device, KEY.policy())

    assert (back.sequence, forth.sequence) == (100, 101)
    assert there != whole(shelf.device) == f"releases/{short(new.digest)}"
    assert sequences(shelf.device) == {"lamps/stable": 101}


def test_going_back_that_is_cut_off_has_gone_back(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.release(shelf.recipe())
    old = shelf.pull()
    shelf.release(shelf.recipe(sequence=101))
    shelf.pull()
    real, calls = Path.replace, []

    def cut(self: Path, target: Path) -> Path:
        calls.append(target.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, target)

    monkeypatch.setattr(Path, "replace", cut)
    with pytest.raises(KeyboardInterrupt):
        go_back(shelf.device, KEY.policy())
    monkeypatch.undo()

    assert calls == ["current", "previous"]
    assert whole(shelf.device) == f"releases/{short(old.digest)}"
    shelf.pull()
    assert (shelf.device / "previous").resolve() == old.folder.resolve()


def test_nobody_goes_back_to_what_is_not_there_or_damaged(
    shelf: Shelf, change: Callable[[Path], None]
) -> None:
    shelf.release(shelf.recipe())
    first = shelf.pull()
    with pytest.raises(UsageError, match="no previous"):
        go_back(shelf.device, KEY.policy())
    shelf.release(shelf.recipe(sequence=101))
    shelf.pull()
    change(first.folder / "engine" / "model.onnx")

    with pytest.raises(TrustError):
        go_back(shelf.device, KEY.policy())
    assert sequences(shelf.device) == {"lamps/stable": 101}


def test_an_archive_serves_as_well(shelf: Shelf, tmp_path: Path) -> None:
    shelf.release(shelf.recipe())
    with tarfile.open(tmp_path / "stick.tar", "w") as archive:
        archive.add(shelf.layout, arcname=".")

    assert shelf.pull(f"oci-archive:{tmp_path / 'stick.tar'}:stable").changed
    assert whole(shelf.device)


def test_a_real_registry_serves_as_well(shelf: Shelf, desk: Desk, plain: Registry) -> None:
    name = f"{plain.host}/lamps"
    publish(desk.open(name), shelf.scratch, shelf.recipe(run="v1"), tags=("v1", "stable"))

    assert shelf.pull(f"{name}:stable", access=desk.access).changed
    assert not shelf.pull(f"{name}:v1", access=desk.access).changed
    assert whole(shelf.device)


def test_what_was_fetched_before_a_cut_is_not_fetched_again(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.release(shelf.recipe())
    real, calls = LayoutFolder.fetch_blob, []

    def cut(self: LayoutFolder, blob: object, path: Path, *more: object) -> None:
        calls.append(path.name)
        if len(calls) == 5:
            raise RegistryError("cut off", hint="")
        real(self, blob, path, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(LayoutFolder, "fetch_blob", cut)
    with pytest.raises(RegistryError, match="cut off"):
        shelf.pull()
    done = set(calls[:4])
    assert not (shelf.device / "current").is_symlink()
    calls[:] = ["", "", "", "", ""]
    shelf.pull()

    assert not done & set(calls)
    assert whole(shelf.device)


def test_two_pulls_at_once_are_one(shelf: Shelf) -> None:
    shelf.release(shelf.recipe())
    shelf.device.mkdir()
    with (shelf.device / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RegistryError, match="Another process"):
            shelf.pull()

    assert shelf.pull().changed


@pytest.mark.parametrize("sign", ["nobody", "a stranger", "something else"])
def test_without_a_good_signature_nothing_is_put_in_place(shelf: Shelf, sign: str) -> None:
    recipe = {
        "nobody": replace(shelf.recipe(), key=None),
        "a stranger": replace(shelf.recipe(), key=STRANGER),
        "something else": replace(shelf.recipe(), signed=lambda files: dict(files, LICENSE="0" * 64)),
    }[sign]
    shelf.release(recipe)

    with pytest.raises(TrustError, match="not signed for channel"):
        shelf.pull()

    assert not (shelf.device / "current").is_symlink()
    assert not list((shelf.device / "releases").iterdir())
    assert not (shelf.device / "state.json").exists()


def test_the_signature_of_another_release_does_not_count(shelf: Shelf) -> None:
    shelf.release(shelf.recipe(), tags=("v1",))
    taken: list[Mapping[str, str]] = []
    shelf.release(replace(shelf.recipe(), signed=lambda files: taken.append(files) or files), tags=("v2",))
    shelf.release(replace(shelf.recipe(sequence=200), signed=lambda _: taken[0]), tags=("stable",))

    with pytest.raises(TrustError, match="signed other files"):
        shelf.pull()


def test_a_key_past_its_date_or_for_another_channel_does_not_count(shelf: Shelf) -> None:
    shelf.release(shelf.recipe())
    expired = KEY.policy("stable", until="2026-11-01T00:00:00Z")

    with pytest.raises(TrustError, match="valid until 2026-11-01"):
        shelf.pull(policy=expired)
    with pytest.raises(TrustError, match="no key for channel 'stable'"):
        shelf.pull(policy=KEY.policy("beta"), channel="stable")


def test_a_file_that_was_changed_in_the_registry_is_refused(
    shelf: Shelf, change: Callable[[Path], None]
) -> None:
    shelf.release(shelf.recipe())
    change(shelf.layout / "blobs/sha256" / describe_file(shelf.engine / "model.onnx").sha256)

    with pytest.raises(DigestError):
        shelf.pull()
    assert not (shelf.device / "current").is_symlink()


def test_an_index_that_says_something_else_than_what_is_signed_is_refused(shelf: Shelf) -> None:
    recipe = shelf.recipe(precision="fp32", sequence=100)
    shelf.release(replace(recipe, said=some_facts(sequence=999)))

    with pytest.raises(TrustError, match="annotations"):
        shelf.pull()


def test_the_tag_of_a_channel_gives_releases_of_that_channel_only(shelf: Shelf) -> None:
    shelf.release(shelf.recipe(channel="beta", run="v7"), tags=("stable", "v7"))

    with pytest.raises(TrustError, match="of channel 'beta', not 'stable'"):
        shelf.pull()
    with pytest.raises(TrustError, match="of channel 'beta', not 'stable'"):
        shelf.pull(policy=KEY.policy("*"))
    assert shelf.pull(f"oci:{shelf.layout}:v7").facts.channel == "beta"


def test_a_folder_stays_in_its_channel_and_with_its_model_unless_told(shelf: Shelf) -> None:
    shelf.release(shelf.recipe())
    shelf.pull()
    shelf.release(shelf.recipe(channel="beta", sequence=500, run="v7"), tags=("v7",))
    shelf.release(shelf.recipe(name="holes", sequence=500, run="v8"), tags=("v8",))

    with pytest.raises(TrustError, match="of channel 'beta', not 'stable'"):
        shelf.pull(f"oci:{shelf.layout}:v7")
    with pytest.raises(TrustError, match="is for 'lamps'; the release is of 'holes'"):
        shelf.pull(f"oci:{shelf.layout}:v8")
    assert shelf.pull(f"oci:{shelf.layout}:v7", channel="beta").changed
    assert sequences(shelf.device) == {"lamps/stable": 100, "lamps/beta": 500}


def test_an_older_release_is_refused_unless_told_and_what_is_remembered_stays(shelf: Shelf) -> None:
    shelf.release(shelf.recipe(sequence=200))
    new = shelf.pull()
    shelf.release(shelf.recipe(sequence=100))

    with pytest.raises(TrustError, match=r"sequence 100; .* has had 200"):
        shelf.pull()
    assert whole(shelf.device) == f"releases/{short(new.digest)}"
    assert shelf.pull(allow_older=True).facts.sequence == 100
    assert any("Going back" in line for line in shelf.said)
    assert sequences(shelf.device) == {"lamps/stable": 200}
    with pytest.raises(TrustError, match="has had 200"):
        shelf.pull()


def test_a_state_that_cannot_be_read_is_not_taken_for_none(shelf: Shelf) -> None:
    shelf.release(shelf.recipe())
    shelf.pull()
    (shelf.device / "state.json").write_text("{")

    with pytest.raises(TrustError, match=r"state\.json cannot be read"):
        shelf.pull()


def test_an_expired_release_is_refused_and_the_clock_is_named(shelf: Shelf) -> None:
    shelf.release(shelf.recipe(expires="2026-11-26T01:00:00Z"))

    with pytest.raises(TrustError, match=r"expired on 2026-11-26.*clock here says 2026-11-26 02:00"):
        shelf.pull()
    assert shelf.pull(now=NOW - timedelta(hours=2)).changed


def test_a_clock_that_stands_at_its_beginning_is_told_and_proves_no_date(shelf: Shelf) -> None:
    wrong = NOW.replace(year=1970)
    shelf.release(shelf.recipe(expires="2027-01-01T00:00:00Z"))
    with pytest.raises(TrustError, match="whether it has expired is not known"):
        shelf.pull(now=wrong)
    shelf.release(shelf.recipe(sequence=101))

    assert shelf.pull(now=wrong).changed
    assert any("Is the clock right" in line for line in shelf.said)


@pytest.mark.parametrize("name", ["../escape", "/etc/passwd", "engine/../../escape", "a//b", ".hidden"])
def test_a_name_that_leads_elsewhere_is_refused(shelf: Shelf, name: str, tmp_path: Path) -> None:
    from targets.registry.artifact import Package, push
    from targets.release.facts import ENGINE_TYPE, annotations

    (tmp_path / "file").write_text("x")
    layout = LayoutFolder(shelf.layout)
    pushed = push(layout, Package(ENGINE_TYPE, {name: tmp_path / "file"}))
    child = replace(pushed, annotations=annotations(some_facts()))
    push_index(layout, Manifest(INDEX_TYPE, artifact_type=RELEASE_TYPE, manifests=(child,)), "stable")

    with pytest.raises(RegistryError, match="not unpacked"):
        shelf.pull()
    assert not list(tmp_path.glob("escape*"))


@pytest.mark.parametrize("place", ["releases", ".incoming", ".trash", "incoming"])
def test_nothing_is_written_through_a_link(shelf: Shelf, place: str, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shelf.release(shelf.recipe())
    if place == "incoming":
        hexes = short(shelf.pull().digest)
        shutil.rmtree(shelf.device)
        (shelf.device / ".incoming").mkdir(parents=True)
        (shelf.device / ".incoming" / hexes).symlink_to(elsewhere)
    else:
        shelf.device.mkdir()
        (shelf.device / place).symlink_to(elsewhere)

    with pytest.raises(RegistryError, match="is a link"):
        shelf.pull()
    assert not list(elsewhere.iterdir())


def test_strange_files_on_their_way_are_not_put_in_place(shelf: Shelf, tmp_path: Path) -> None:
    shelf.release(shelf.recipe())
    name = short(shelf.pull().digest)
    shutil.rmtree(shelf.device)
    incoming = shelf.device / ".incoming" / name
    (incoming / "engine").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    (incoming / "manifest.json").symlink_to(tmp_path / "secret")
    (incoming / "engine" / "stranger.bin").write_text("x")

    folder = shelf.pull().folder

    assert (tmp_path / "secret").read_text() == "secret"
    assert not (folder / "engine" / "stranger.bin").exists()
    assert whole(shelf.device)


def test_a_folder_that_is_used_for_something_else_is_left_alone(shelf: Shelf) -> None:
    shelf.release(shelf.recipe())
    (shelf.device / "current").mkdir(parents=True)
    (shelf.device / "current" / "mine.txt").write_text("mine")

    with pytest.raises(ModelError, match="no link to a release"):
        shelf.pull()
    assert (shelf.device / "current" / "mine.txt").read_text() == "mine"


def test_an_engine_that_is_not_what_the_release_says_is_not_put_in_place(shelf: Shelf) -> None:
    def other(folder: Path) -> None:
        rewrite_json(folder / "engine" / "manifest.json", precision="int8")

    shelf.release(replace(shelf.recipe(), spoil=other))
    with pytest.raises(TrustError, match=r"its engine onnxruntime .* int8"):
        shelf.pull()
    shelf.release(
        replace(shelf.recipe(), spoil=lambda folder: (folder / "engine/model.onnx").write_text("x"))
    )
    with pytest.raises(ModelError):
        shelf.pull()
    shelf.release(replace(shelf.recipe(), spoil=lambda folder: (folder / "proof/expected.json").unlink()))
    with pytest.raises(ModelError, match=r"expected\.json"):
        shelf.pull()
    assert not list((shelf.device / "releases").iterdir())


def test_a_device_that_nothing_fits_is_told_what_there_is_and_what_is_here(shelf: Shelf) -> None:
    orin = shelf.recipe(
        target="orin@6.2", runtime="tensorrt", runtime_version="10.3.0", sm="8.7", module="agx-orin",
        machine="", jetpack="6.2",
    )  # fmt: skip
    future = shelf.recipe(target="cpu-ort", runtime_version="99.1.0")
    shelf.release(orin, future)

    with pytest.raises(UnsupportedError) as caught:
        shelf.pull()
    text = caught.value.what

    assert caught.value.code == 5
    assert "orin@6.2 (fp32, TensorRT): TensorRT 10.3.0 is not installed; its module is" in text
    assert "cpu-ort (fp32, ONNX Runtime): its ONNX Runtime is" in text
    assert "older than 99.1.0" in text
    assert "here: " in text


def test_an_engine_for_another_machine_can_be_asked_for(shelf: Shelf) -> None:
    shelf.release(shelf.recipe(), shelf.recipe(target="arm64-ort", machine="aarch64"))

    assert shelf.pull(target="arm64-ort").facts.target == "arm64-ort"
    assert any("does not run here: its CPU is" in line for line in shelf.said)
    with pytest.raises(UsageError, match="no engine for target 'orin'"):
        shelf.pull(target="orin")


def test_what_is_no_release_is_told(shelf: Shelf) -> None:
    with pytest.raises(NotFoundError):
        shelf.pull()
    recipe = shelf.recipe()
    pushed = recipe.push(LayoutFolder(shelf.layout), shelf.scratch)

    with pytest.raises(RegistryError, match="no release"):
        shelf.pull(f"oci:{shelf.layout}@{pushed.digest}")


def test_a_full_disk_changes_nothing(shelf: Shelf, small_disk: Path) -> None:
    shelf.device = small_disk / "device"
    shelf.release(shelf.recipe())
    old = shelf.pull()
    fat = replace(
        shelf.recipe(sequence=101), spoil=lambda folder: (folder / "LICENSE").write_bytes(os.urandom(9 << 20))
    )
    shelf.release(fat)

    with pytest.raises(DiskFullError):
        shelf.pull()
    assert whole(shelf.device) == f"releases/{short(old.digest)}"
    assert sequences(shelf.device) == {"lamps/stable": 100}


def test_what_another_pull_has_left_half_done_is_not_in_the_way(shelf: Shelf, small_disk: Path) -> None:
    shelf.device = small_disk / "device"
    half = shelf.device / ".incoming" / ("0" * 16)
    half.mkdir(parents=True)
    (half / "LICENSE").write_bytes(bytes(8 << 20))
    shelf.release(shelf.recipe())

    assert shelf.pull().changed
    assert not half.exists()


def test_a_disk_that_gets_full_on_the_way_changes_nothing(
    shelf: Shelf, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact, "refuse_full_disk", lambda *_: None)  # somebody else fills it meanwhile
    shelf.device = small_disk / "device"
    shelf.release(shelf.recipe())
    old = shelf.pull()
    for size in (13 << 20, 12 << 20, (12 << 20) - 60_000):
        fat = shelf.recipe(sequence=101)
        shelf.release(
            replace(fat, spoil=lambda folder, size=size: (folder / "LICENSE").write_bytes(os.urandom(size)))
        )
        with pytest.raises(DiskFullError):
            shelf.pull()
        assert whole(shelf.device) == f"releases/{short(old.digest)}"
        assert sequences(shelf.device) == {"lamps/stable": 100}


def test_every_file_is_on_the_disk_before_it_is_in_place(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.release(shelf.recipe())
    synced: list[str] = []
    real_sync, real_rename = os.fsync, Path.rename

    def note(descriptor: int) -> None:
        synced.append(link(Path(f"/proc/self/fd/{descriptor}")))
        real_sync(descriptor)

    missing: list[set[str]] = []

    def look(self: Path, target: Path) -> Path:
        if ".incoming" in self.parts:
            missing.append({str(path) for path in (self, *self.rglob("*"))} - set(synced))
        return real_rename(self, target)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(Path, "rename", look)
    shelf.pull()

    assert missing == [set()]
    assert synced[-1] == str(shelf.device)  # the link, at the end
    assert str(shelf.device / "releases") in synced


def test_the_signed_facts_are_those_that_are_read(shelf: Shelf) -> None:
    shelf.release(shelf.recipe())
    pulled = shelf.pull()

    assert dump(pulled.facts) == (pulled.folder / "release.json").read_text()
