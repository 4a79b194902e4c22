"""What one machine has made, another one uses; and what it does not use."""

import hashlib
import json
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toys import Shout, Shouted, ShoutInputs, Sow, SowInputs

from pipeline.cache.entry import RECORD_FILE, pack, read
from pipeline.runner import Runner, key_record
from pipeline.signing import attach, sign_files
from pipeline.signing.keys import KeySigner
from pipeline.upkeep import fsck
from stages.artifact import digest_json
from targets.errors import TrustError
from targets.registry import artifact
from targets.registry.content import Descriptor
from targets.registry.repository import Repository
from tests.pipeline.cache.conftest import Machine, Signers, trusting
from tests.registry_fixture.faults import ALWAYS, Fault, FaultyProxy
from tests.registry_fixture.server import Registry

Maker = Callable[..., Machine]


def shout(runner: Runner, *, word: str = "seed", files: int = 2) -> Shouted:
    sown = runner(Sow(word=word, files=files), SowInputs())
    return runner(Shout(), ShoutInputs(text=sown.text))


def key_of(word: str = "seed", files: int = 1) -> str:
    return digest_json(key_record(Sow(word=word, files=files), SowInputs())).removeprefix("sha256:")


# ------------------------------------------------------------------------------------------ what is shared
def test_what_one_machine_made_another_one_does_not_make_again(machine: Maker, place: str) -> None:
    first = shout(machine(place).runner)
    other = machine(place)
    second = shout(other.runner)

    assert (Sow.calls, Shout.calls) == (["seed"], [0])
    assert [done.cached for done in other.runner.done] == [True, True]
    assert (second.text.digest, second.heard) == (first.text.digest, first.heard)
    assert (second.text / "1.txt").read_bytes() == (first.text / "1.txt").read_bytes()
    assert fsck(other.runner.store) == []
    assert list((other.runner.store.root / "work").iterdir()) == []
    assert other.said == ""


def test_what_was_fetched_says_from_where_and_who_signed_it(
    machine: Maker, place: str, signers: Signers
) -> None:
    shout(machine(place).runner)
    other = machine(place)
    shout(other.runner)

    entry = other.runner.store.find(key_of(files=2))

    assert entry is not None
    assert entry.record["shared"] == {"from": str(other.cache.place), "signed_by": signers[0].key_id}


def test_a_measurement_stays_on_its_machine(machine: Maker, place: str) -> None:
    machine(place).runner(Sow(), SowInputs(), max_age=timedelta(hours=1))
    machine(place).runner(Sow(), SowInputs(), max_age=timedelta(hours=1))
    machine(place).runner(Sow(), SowInputs())

    assert Sow.calls == ["seed"] * 3


def test_without_a_key_nothing_is_pushed(machine: Maker, place: str) -> None:
    machine(place, signer=None).runner(Sow(), SowInputs())
    machine(place).runner(Sow(), SowInputs())

    assert Sow.calls == ["seed"] * 2


def test_without_a_policy_nothing_is_fetched(machine: Maker, place: str) -> None:
    machine(place).runner(Sow(), SowInputs())
    machine(place, policy=None).runner(Sow(), SowInputs())

    assert Sow.calls == ["seed"] * 2


def test_any_name_of_a_file_travels(machine: Maker, registry_place: str) -> None:
    first, second = machine(registry_place), machine(registry_place)
    folder = first.runner.store.root / "odd"
    (folder / "a b").mkdir(parents=True)
    (folder / "a b" / "größe, 1.png").write_bytes(b"x")
    (folder / "-rf").write_bytes(b"x")
    record = {
        **key_record(Sow(), SowInputs()),
        "label": "",
        "made": "2026-01-01T00:00:00+00:00",
        "seconds": 1,
    }
    digests = {name: f"sha256:{hashlib.sha256(b'x').hexdigest()}" for name in ("a b/größe, 1.png", "-rf")}
    result = {"text": {"path": "odd", "digest": digest_json(digests)}}
    entry = first.runner.store.commit(key_of(), {**record, "result": result}, {"odd": folder})

    first.cache.push(entry, "odd")
    sown = second.runner(Sow(), SowInputs())

    assert (sown.text / "a b" / "größe, 1.png").read_bytes() == b"x"
    assert Sow.calls == []


# -------------------------------------------------------------------------------------- what is not believed
def replaced_by(
    machine: Machine, signer: "KeySigner | None", change: Callable[[dict[str, object]], None]
) -> None:
    """Put something else under the key of the step that a machine has made."""
    entry = machine.runner.store.find(key_of())
    assert entry is not None
    folder = machine.runner.store.root
    package = pack(entry, machine.runner.store, folder / RECORD_FILE)
    table = json.loads((folder / RECORD_FILE).read_bytes())
    change(table)
    (folder / RECORD_FILE).write_text(json.dumps(table))
    put(machine.repository, package, signer, key_of())


def put(
    repository: Repository, package: artifact.Package, signer: "KeySigner | None", tag: str
) -> Descriptor:
    pushed = artifact.push(repository, package)
    found, manifest = artifact.find(repository, pushed.digest)
    if signer:
        files = {name: blob.hex for name, blob in artifact.files_of(manifest).items()}
        attach(repository, pushed, sign_files("x", files, signer))
    repository.write_manifest(manifest.encode(), found.media_type, tag)
    return found


def nothing(_: dict[str, object]) -> None:
    pass


def test_an_unsigned_entry_is_refused_told_and_replaced_by_a_good_one(machine: Maker, place: str) -> None:
    maker = machine(place, signer=None)
    maker.runner(Sow(), SowInputs())
    replaced_by(maker, None, nothing)

    other, third = machine(place), machine(place)
    other.runner(Sow(), SowInputs())
    third.runner(Sow(), SowInputs())

    assert "there is no signature" in other.said
    assert "data is run here" in other.said
    assert Sow.calls == ["seed"] * 2  # the maker, and the other one
    assert third.said == ""


def test_an_entry_signed_by_a_stranger_is_refused(machine: Maker, place: str, signers: Signers) -> None:
    machine(place, signer=signers[1]).runner(Sow(), SowInputs())
    other = machine(place)
    other.runner(Sow(), SowInputs())

    assert Sow.calls == ["seed"] * 2
    assert "is not signed for channel 'cache'" in other.said


def test_a_key_that_is_trusted_for_releases_only_fills_no_cache(
    machine: Maker, place: str, signers: Signers
) -> None:
    machine(place).runner(Sow(), SowInputs())
    other = machine(place, policy=trusting(signers[0], "stable"))
    other.runner(Sow(), SowInputs())

    assert Sow.calls == ["seed"] * 2
    assert "no key for channel 'cache'" in other.said


def test_a_well_signed_entry_under_another_key_is_refused(machine: Maker, place: str) -> None:
    maker = machine(place)
    maker.runner(Sow(word="weed"), SowInputs())
    repository = maker.repository
    found, content = repository.read_manifest(key_of("weed"))
    repository.write_manifest(content, found.media_type, key_of("seed"))

    other = machine(place)
    sown = other.runner(Sow(word="seed"), SowInputs())

    assert f"it was made for {key_of('weed')[:12]}" in other.said
    assert (sown.text / "deep" / "0.txt").read_text().startswith("seed")
    assert Sow.calls == ["weed", "seed"]


def lies_about_its_key(table: dict[str, object]) -> None:
    table["key"] = key_of("weed")


def has_another_record(table: dict[str, object]) -> None:
    table["record"]["settings"]["word"] = "weed"  # type: ignore[index]


def has_another_artifact(table: dict[str, object]) -> None:
    table["record"]["result"]["text"]["digest"] = "sha256:" + "0" * 64  # type: ignore[index]


def leads_elsewhere(table: dict[str, object]) -> None:
    (blob,) = table["files"].values()  # type: ignore[attr-defined]
    table["files"] = {"text/../../../deep/0.txt": blob}


def names_a_file_that_it_lacks(table: dict[str, object]) -> None:
    table["files"] = {"text/deep/0.txt": "../../../../etc/passwd"}


def has_a_file_that_is_a_folder(table: dict[str, object]) -> None:
    (blob,) = table["files"].values()  # type: ignore[attr-defined]
    table["files"] = {"text/deep": blob, "text/deep/0.txt": blob}


def is_of_another_version(table: dict[str, object]) -> None:
    table["schema"] = 2


@pytest.mark.parametrize(
    "change",
    [
        lies_about_its_key,
        has_another_record,
        has_another_artifact,
        leads_elsewhere,
        names_a_file_that_it_lacks,
        has_a_file_that_is_a_folder,
        is_of_another_version,
    ],
)
def test_even_a_signed_entry_is_held_against_what_it_says(
    machine: Maker, place: str, signers: Signers, change: Callable[[dict[str, object]], None]
) -> None:
    maker = machine(place, signer=None)
    maker.runner(Sow(), SowInputs())
    replaced_by(maker, signers[0], change)

    other = machine(place)
    other.runner(Sow(), SowInputs())

    assert f"entry of step {key_of()[:12]}… is refused" in other.said
    assert Sow.calls == ["seed"] * 2
    assert fsck(other.runner.store) == []


def test_a_change_after_the_signature_is_refused(machine: Maker, place: str, tmp_path: Path) -> None:
    maker = machine(place)
    maker.runner(Sow(), SowInputs())
    repository = maker.repository
    found, manifest = artifact.find(repository, key_of())
    other_bytes = tmp_path / "poison"
    other_bytes.write_bytes(b"poison")
    artifact.fetch(repository, manifest, tmp_path / "got")
    files = {name: tmp_path / "got" / name for name in artifact.files_of(manifest)}
    victim = next(name for name in files if name != RECORD_FILE)
    poisoned = put(
        repository, artifact.Package(manifest.artifact_type, {**files, victim: other_bytes}), None, "x"
    )
    signatures = list(repository.referrers(found.digest))
    bundle = repository.read_blob(artifact.find(repository, signatures[0][0].digest)[1].layers[0])
    attach(repository, poisoned, bundle)  # of the good one
    repository.write_manifest(repository.read_manifest(poisoned.digest)[1], poisoned.media_type, key_of())

    other = machine(place)
    other.runner(Sow(), SowInputs())

    assert f"changed {victim}" in other.said
    assert Sow.calls == ["seed"] * 2


def test_a_file_that_was_changed_in_the_registry_is_not_taken(
    machine: Maker, registry_place: str, plain: Registry
) -> None:
    maker = machine(registry_place)
    maker.runner(Sow(word="rotten"), SowInputs())  # other tests have the other words
    entry = maker.runner.store.find(key_of("rotten"))
    assert entry is not None
    (blob,) = entry.files.values()
    damaged = plain.blob(blob["digest"])
    content = bytearray(damaged.read_bytes())
    content[5] ^= 1
    damaged.write_bytes(content)

    other = machine(registry_place)
    sown = other.runner(Sow(word="rotten"), SowInputs())

    assert "gave other bytes than" in other.said
    assert (sown.text / "deep" / "0.txt").read_text().startswith("rotten 0")
    assert Sow.calls == ["rotten"] * 2


@given(data=st.data())
def test_no_description_breaks_more_than_itself(data: st.DataObject) -> None:
    good = {
        "schema": 1,
        "key": key_of(),
        "record": {
            **key_record(Sow(), SowInputs()),
            "label": "",
            "made": "",
            "seconds": 1,
            "result": {"text": {"path": "text", "digest": "x"}},
        },
        "files": {"text/a": "0" * 64},
    }
    assert read(json.dumps(good).encode(), key_of(), {"0" * 64}).files == good["files"]
    text = json.dumps(good)
    begin = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(begin, min(len(text), begin + 9)))
    broken = text[:begin] + data.draw(st.text(max_size=9)) + text[end:]
    try:
        found = read(broken.encode(errors="replace"), key_of(), {"0" * 64})
    except TrustError as exc:
        assert exc.hint
    else:
        assert found.key == key_of()


# ---------------------------------------------------------------------------------------- what may go wrong
def test_a_registry_that_is_away_is_told_once_and_the_run_goes_on(machine: Maker) -> None:
    alone = machine("127.0.0.1:9/cache")
    shout(alone.runner)

    assert (Sow.calls, Shout.calls) == (["seed"], [0])
    assert len(alone.cache.notes) == 1
    assert "the run goes on without it" in alone.said


def test_a_registry_that_refuses_a_login_is_told_and_the_run_goes_on(
    machine: Maker, guarded: Registry
) -> None:
    alone = machine(f"{guarded.host}/cache")
    shout(alone.runner)

    assert (Sow.calls, Shout.calls) == (["seed"], [0])
    assert "docker login" in alone.said


def test_a_registry_that_goes_away_on_the_way_is_told_and_the_run_goes_on(
    machine: Maker, plain: Registry, proxy: FaultyProxy, registry_place: str
) -> None:
    shout(machine(registry_place).runner)
    proxy.faults = [Fault("GET", "/blobs/", times=ALWAYS, status=503)]
    other = machine(registry_place.replace(plain.host, proxy.host))
    shout(other.runner)

    assert Sow.calls == ["seed"] * 2
    assert len(other.cache.notes) == 1
    assert "the run goes on without it" in other.said
    assert fsck(other.runner.store) == []


def test_a_machine_killed_while_it_fetches_goes_on_and_has_no_half_step(
    machine: Maker, registry_place: str, signers: Signers, tmp_path: Path
) -> None:
    maker = machine(registry_place)
    sown = maker.runner(Sow(files=3), SowInputs())
    other = machine(registry_place)
    code = f"""
        import os, signal
        from pathlib import Path
        from pipeline.cache import SharedCache
        from pipeline.store import Store
        from targets.registry import artifact
        from targets.registry.access import Access
        from targets.registry.reference import parse_reference
        from targets.trust.policy import load_policy

        store = Store(Path({str(other.runner.store.root)!r}))
        def killed(*_):
            os.kill(os.getpid(), signal.SIGKILL)
        store.commit = killed
        SharedCache(store=store, place=parse_reference({registry_place!r}), access=Access(),
            policy=load_policy(Path({str(tmp_path / "trust.json")!r})), signer=None, note=print,
        ).fetch({key_of(files=3)!r}, "data")
    """
    from targets.trust.policy import dump_policy

    (tmp_path / "trust.json").write_text(dump_policy(trusting(signers[0])))
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=Path(__file__).parents[3])
    assert done.returncode == -signal.SIGKILL
    assert other.runner.store.find(key_of(files=3)) is None
    assert list((other.runner.store.root / "work").iterdir())

    again = other.runner(Sow(files=3), SowInputs())

    assert again.text.digest == sown.text.digest
    assert Sow.calls == ["seed"]
    assert list((other.runner.store.root / "work").iterdir()) == []


def test_a_push_that_was_cut_leaves_nothing_that_is_found(
    machine: Maker, plain: Registry, proxy: FaultyProxy, registry_place: str
) -> None:
    proxy.faults = [Fault("PUT", f"/manifests/{key_of()}", times=ALWAYS, status=503)]
    maker = machine(registry_place.replace(plain.host, proxy.host))
    maker.runner(Sow(), SowInputs())
    other = machine(registry_place)
    other.runner(Sow(), SowInputs())

    assert "the run goes on without it" in maker.said
    assert Sow.calls == ["seed"] * 2
    assert other.said == ""


def test_two_machines_that_push_the_same_step_leave_a_whole_entry(machine: Maker, place: str) -> None:
    first, second = machine(place, policy=None), machine(place, policy=None)
    first.runner(Sow(), SowInputs())
    second.runner(Sow(), SowInputs())
    third = machine(place)
    third.runner(Sow(), SowInputs())

    assert Sow.calls == ["seed"] * 2
    assert third.said == ""
