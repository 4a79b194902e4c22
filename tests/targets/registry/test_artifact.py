"""Artifacts: files put in, got out, copied; signatures that stay; what skopeo says of it."""

import json
import os
import shutil
from pathlib import Path

import pytest

from targets.errors import DiskFullError, NotFoundError, RegistryError
from targets.registry import artifact, open_source
from targets.registry.artifact import Package
from targets.registry.content import (
    EMPTY,
    EMPTY_TYPE,
    INDEX_TYPE,
    MANIFEST_TYPE,
    TITLE,
    Descriptor,
    Manifest,
    canonical,
    describe,
)
from targets.registry.layout_folder import LayoutFolder
from targets.registry.reference import parse_reference
from targets.registry.referrers import list_tag
from targets.registry.repository import Repository
from tests.registry_fixture.faults import ALWAYS, Fault, FaultyProxy
from tests.registry_fixture.server import Registry
from tests.targets.registry.conftest import Desk, skopeo, small

TYPE = "application/vnd.test"
SIGNATURE = "application/vnd.dev.sigstore.bundle.v0.3+json"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    folder = tmp_path / "files"
    folder.mkdir()
    for name, size in (("engine.plan", 2_000_000), ("model.json", 100)):
        (folder / name).write_bytes(os.urandom(size))
    return {"engine.plan": folder / "engine.plan", "sub/model.json": folder / "model.json"}


def sign(repository: Repository, subject: Descriptor, text: str) -> Descriptor:
    """Attach something of the form of a signature."""
    content = text.encode()
    blob = describe(content, SIGNATURE, annotations={TITLE: "bundle.json"})
    config = describe(EMPTY, EMPTY_TYPE)
    repository.push_blob(blob, content)
    repository.push_blob(config, EMPTY)
    manifest = Manifest(MANIFEST_TYPE, SIGNATURE, config, (blob,), subject=subject)
    return repository.write_manifest(manifest.encode(), MANIFEST_TYPE)


# -------------------------------------------------------------------------------------- in and out
def test_files_come_back_under_their_names(
    files: dict[str, Path], plain: Registry, desk: Desk, tmp_path: Path
) -> None:
    repository = desk.open(f"{plain.host}/out")
    moved: list[int] = []
    pushed = artifact.push(repository, Package(TYPE, files, annotations={"sm": "8.7"}), "v1")

    found, manifest = artifact.find(repository, "v1")
    got = artifact.fetch(repository, manifest, tmp_path / "out", moved.append)

    assert found.digest == pushed.digest
    assert (manifest.artifact_type, manifest.annotations) == (TYPE, {"sm": "8.7"})
    assert {name: path.read_bytes() for name, path in got.items()} == {
        name: path.read_bytes() for name, path in files.items()
    }
    assert sum(moved) == 2_000_100
    assert not list((tmp_path / "out").rglob(".*.part"))


def test_equal_files_make_an_equal_digest(
    files: dict[str, Path], plain: Registry, desk: Desk, tmp_path: Path
) -> None:
    package = Package(TYPE, files, annotations={"b": "2", "a": "1"})

    pushed = artifact.push(desk.open(f"{plain.host}/equal"), package, "v1")

    assert artifact.push(LayoutFolder(tmp_path / "layout"), package, "other") == pushed


def test_what_is_there_under_its_tag_is_not_sent_again(
    files: dict[str, Path], proxy: FaultyProxy, desk: Desk
) -> None:
    repository = desk.open(f"{proxy.host}/repush")
    first = artifact.push(repository, Package(TYPE, files), "v1")
    proxy.seen.clear()

    again = artifact.push(repository, Package(TYPE, files), "v1")

    assert again == first
    assert {one.method for one in proxy.seen} == {"HEAD"}


def test_a_tag_that_leads_elsewhere_is_moved(files: dict[str, Path], plain: Registry, desk: Desk) -> None:
    repository = desk.open(f"{plain.host}/moved")
    first = artifact.push(repository, Package(TYPE, files, annotations={"number": "1"}), "v1")
    second = artifact.push(repository, Package(TYPE, files, annotations={"number": "2"}), "v1")
    back = artifact.push(repository, Package(TYPE, files, annotations={"number": "1"}), "v1")

    assert first != second
    assert artifact.find(repository, "v1")[0].digest == back.digest == first.digest


def test_a_registry_that_does_not_say_where_a_tag_leads_is_written_to(
    files: dict[str, Path], proxy: FaultyProxy, desk: Desk
) -> None:
    repository = desk.open(f"{proxy.host}/silent")
    artifact.push(repository, Package(TYPE, files), "v1")
    proxy.faults = [Fault("HEAD", "/manifests/v1", times=ALWAYS, status=200)]
    proxy.seen.clear()

    artifact.push(repository, Package(TYPE, files), "v1")

    assert len(proxy.requests("PUT", "/manifests/v1")) == 1


def test_what_is_there_is_not_fetched_again_unless_it_was_changed(
    files: dict[str, Path], proxy: FaultyProxy, desk: Desk, tmp_path: Path
) -> None:
    repository = desk.open(f"{proxy.host}/again")
    artifact.push(repository, Package(TYPE, files), "v1")
    manifest = artifact.find(repository, "v1")[1]
    got = artifact.fetch(repository, manifest, tmp_path / "out")
    got["sub/model.json"].write_bytes(bytes(100))
    proxy.seen.clear()

    artifact.fetch(repository, manifest, tmp_path / "out")

    assert len(proxy.requests("GET")) == 1
    assert got["sub/model.json"].read_bytes() == files["sub/model.json"].read_bytes()


def test_the_manifest_comes_last(files: dict[str, Path], proxy: FaultyProxy, desk: Desk) -> None:
    proxy.faults = [Fault("POST", status=403, times=ALWAYS)]
    repository = desk.open(f"{proxy.host}/last")

    with pytest.raises(RegistryError):
        artifact.push(repository, Package(TYPE, files), "v1")

    with pytest.raises(NotFoundError):
        artifact.find(repository, "v1")


def test_a_tampered_manifest_is_refused(files: dict[str, Path], plain: Registry, desk: Desk) -> None:
    repository = desk.open(f"{plain.host}/manifests")
    pushed = artifact.push(repository, Package(TYPE, files), "v1")
    stored = plain.blob(pushed.digest)
    stored.write_bytes(stored.read_bytes().replace(b"engine.plan", b"engine.evil"))

    for name in ("v1", pushed.digest):
        with pytest.raises(RegistryError):
            artifact.find(repository, name)


def test_room_is_looked_for_before_anything_is_written(desk: Desk, plain: Registry, small_disk: Path) -> None:
    layers = tuple(Descriptor("a/b", small()[1].digest, 3_000_000, {TITLE: name}) for name in "ab")
    manifest = Manifest(MANIFEST_TYPE, TYPE, describe(EMPTY, EMPTY_TYPE), layers)

    with pytest.raises(DiskFullError, match=r"room for 1[12] MiB; 14 MiB"):
        artifact.fetch(desk.open(f"{plain.host}/none"), manifest, small_disk)

    assert list(small_disk.iterdir()) == []


# -------------------------------------------------------------------------------------- bad names
def named(*names: str) -> Manifest:
    blob = describe(b"x", "a/b")
    layers = tuple(Descriptor("a/b", blob.digest, 1, {TITLE: name} if name else {}) for name in names)
    return Manifest(MANIFEST_TYPE, TYPE, describe(EMPTY, EMPTY_TYPE), layers)


@pytest.mark.parametrize(
    "names",
    [
        ("../evil",), ("/etc/passwd",), ("a/../../evil",), ("a//b",), ("",), (".",), (".hidden",),
        ("a/.git/b",),
        ("-o",), ("C:evil",), ("a\\b",), ("a\0b",), ("a\nb",), ("x" * 300,),
        ("a", "a"), ("a", "A"), ("a", "a/b"), ("a/b", "a"), ("a/b", "A"),
    ],
)  # fmt: skip
def test_a_name_that_leads_elsewhere_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(RegistryError, match="it is not unpacked"):
        artifact.files_of(named(*names))


def test_a_hundred_thousand_layers_are_refused_unread(plain: Registry, desk: Desk, tmp_path: Path) -> None:
    layer = canonical(named("file").layers[0].as_json())
    content = named().encode().replace(b'"layers":[]', b'"layers":[%s]' % b",".join([layer] * 100_000))
    layout = LayoutFolder(tmp_path / "layout")
    blob = describe(content, MANIFEST_TYPE)
    layout.push_blob(blob, content)
    proxy = FaultyProxy(plain.port)
    proxy.faults = [Fault(status=200, headers={"Content-Type": MANIFEST_TYPE}, body=content)]

    with pytest.raises(RegistryError, match="more than 4 MiB"):
        artifact.find(layout, blob.digest)
    with pytest.raises(RegistryError, match="more than 4096 KiB"):
        artifact.find(desk.open(f"{proxy.host}/many"), "v1")
    proxy.close()


def test_an_unknown_media_type_is_just_bytes(plain: Registry, desk: Desk, tmp_path: Path) -> None:
    """An archive of a type that others unpack stays what it is: a bomb does not go off."""
    repository = desk.open(f"{plain.host}/types")
    bomb = tmp_path / "bomb"
    bomb.write_bytes(b"\x1f\x8b not really")
    kind = "application/vnd.oci.image.layer.v1.tar+gzip"
    artifact.push(repository, Package(TYPE, {"bomb.tgz": bomb}, media_types={"bomb.tgz": kind}), "v1")

    got = artifact.fetch(repository, artifact.find(repository, "v1")[1], tmp_path / "out")

    assert [path.name for path in (tmp_path / "out").iterdir()] == ["bomb.tgz"]
    assert got["bomb.tgz"].read_bytes() == bomb.read_bytes()


def test_nothing_is_written_through_a_link(
    files: dict[str, Path], plain: Registry, desk: Desk, tmp_path: Path
) -> None:
    repository = desk.open(f"{plain.host}/links")
    artifact.push(repository, Package(TYPE, files), "v1")
    manifest = artifact.find(repository, "v1")[1]
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "sub").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(RegistryError, match="is a link"):
        artifact.fetch(repository, manifest, tmp_path / "out")

    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_link_in_the_place_of_a_file_is_replaced(
    files: dict[str, Path], plain: Registry, desk: Desk, tmp_path: Path
) -> None:
    repository = desk.open(f"{plain.host}/links")
    artifact.push(repository, Package(TYPE, files), "v1")
    (tmp_path / "out").mkdir()
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "out" / "engine.plan").symlink_to(tmp_path / "mine")

    artifact.fetch(repository, artifact.find(repository, "v1")[1], tmp_path / "out")

    assert (tmp_path / "mine").read_text() == "mine"
    assert not (tmp_path / "out" / "engine.plan").is_symlink()


# -------------------------------------------------------------------------------------- referrers
def test_signatures_are_found_by_what_they_sign(files: dict[str, Path], plain: Registry, desk: Desk) -> None:
    repository = desk.open(f"{plain.host}/signed")
    subject = artifact.push(repository, Package(TYPE, files), "v1")

    signed = [sign(repository, subject, text) for text in ("one", "two")]
    sign(repository, subject, "two")

    found = {one.digest: one.artifact_type for one, _ in repository.referrers(subject.digest)}
    assert found == {one.digest: SIGNATURE for one in signed}
    assert list(repository.referrers(signed[0].digest)) == []


def test_a_signature_survives_the_collection_of_untagged_manifests(
    files: dict[str, Path], desk: Desk, tmp_path: Path
) -> None:
    registry = Registry(tmp_path / "registry")
    repository = desk.open(f"{registry.host}/kept")
    subject = artifact.push(repository, Package(TYPE, files), "v1")
    untagged = artifact.push(repository, Package("application/vnd.untagged", {}))
    signature = sign(repository, subject, "kept")

    registry.collect()

    assert [one.digest for one, _ in repository.referrers(subject.digest)] == [signature.digest]
    assert artifact.find(repository, "v1")[0].digest == subject.digest
    with pytest.raises(NotFoundError):
        artifact.find(repository, untagged.digest)
    registry.close()


def test_the_engines_of_an_index_survive_that_too(files: dict[str, Path], desk: Desk, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    repository, copied = (desk.open(f"{registry.host}/{name}") for name in ("kept", "copied"))
    engine = artifact.push(repository, Package(TYPE, files))
    artifact.push_index(repository, Manifest(INDEX_TYPE, TYPE, manifests=(engine,)), "v1")
    artifact.copy(repository, copied, "v1", tag="v1", scratch=tmp_path)

    registry.collect()

    for place in (repository, copied):
        assert artifact.find(place, engine.digest)[0].digest == engine.digest
    registry.close()


def test_a_list_is_not_taken_at_its_word(files: dict[str, Path], plain: Registry, desk: Desk) -> None:
    repository = desk.open(f"{plain.host}/lists")
    subject = artifact.push(repository, Package(TYPE, files), "v1")
    other = artifact.push(repository, Package(TYPE, {}), "v2")
    sign(repository, other, "of another")
    stranger = next(iter(repository.referrers(other.digest)))[0]
    index = Manifest(INDEX_TYPE, manifests=(stranger,))
    repository.write_manifest(index.encode(), INDEX_TYPE, list_tag(subject.digest))

    assert list(repository.referrers(subject.digest)) == []


def test_a_registry_that_lists_referrers_itself_is_asked(
    files: dict[str, Path], plain: Registry, proxy: FaultyProxy, desk: Desk
) -> None:
    repository = desk.open(f"{proxy.host}/api")
    subject = artifact.push(repository, Package(TYPE, files), "v1")
    proxy.faults = [Fault("PUT", "manifests", headers={"OCI-Subject": subject.digest})]
    signature = sign(repository, subject, "listed")
    first, second = (Manifest(INDEX_TYPE, manifests=found).encode() for found in ((), (signature,)))
    proxy.faults = [
        Fault("GET", "page=2", status=200, body=second),
        Fault("GET", "referrers", status=200, body=first, headers={"Link": '</v2/api/x?page=2>; rel="next"'}),
    ]

    found = [one.digest for one, _ in repository.referrers(subject.digest)]

    assert found == [signature.digest]
    assert list_tag(subject.digest) not in repository.tags()


# -------------------------------------------------------------------------------------- copies, skopeo
@pytest.fixture
def release(files: dict[str, Path], plain: Registry, desk: Desk) -> tuple[Repository, Descriptor]:
    """Give an index of two engines, all of them signed."""
    repository = desk.open(f"{plain.host}/release")
    engines = [
        artifact.push(repository, Package(TYPE, files, annotations={"sm": sm}), f"v1-{sm}")
        for sm in ("8.7", "7.2")
    ]
    index = artifact.push_index(repository, Manifest(INDEX_TYPE, TYPE, manifests=tuple(engines)), "v1")
    for subject in (*engines, index):
        sign(repository, subject, subject.digest)
    return repository, index


def test_a_copy_has_the_same_digests_and_the_signatures(
    release: tuple[Repository, Descriptor], plain: Registry, desk: Desk, tmp_path: Path
) -> None:
    source, index = release
    layout = LayoutFolder(tmp_path / "layout")
    back = desk.open(f"{plain.host}/back")

    artifact.copy(source, layout, "v1", tag="v1", scratch=tmp_path / "scratch")
    artifact.copy(layout, back, "v1", tag="stable", scratch=tmp_path / "scratch")

    for place, tag in ((layout, "v1"), (back, "stable")):
        found, manifest = artifact.find(place, tag)
        assert found.digest == index.digest
        for subject in (index, *manifest.manifests):
            assert [one.artifact_type for one, _ in place.referrers(subject.digest)] == [SIGNATURE]
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.fixture
def has_skopeo() -> None:
    if shutil.which("skopeo") is None:
        pytest.skip("no skopeo: apt-get install skopeo")


@pytest.mark.usefixtures("has_skopeo")
def test_skopeo_reads_what_we_push(
    files: dict[str, Path], plain: Registry, desk: Desk, tmp_path: Path
) -> None:
    repository = desk.open(f"{plain.host}/ours")
    pushed = artifact.push(repository, Package(TYPE, files), "v1")

    done = skopeo("copy", "--src-tls-verify=false", f"docker://{plain.host}/ours:v1", f"dir:{tmp_path}/dir")
    raw = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{plain.host}/ours:v1")

    assert done.returncode == 0, done.stderr
    assert describe(raw.stdout.encode(), "").digest == pushed.digest
    for path in files.values():
        blob = describe(path.read_bytes(), "")
        assert (tmp_path / "dir" / blob.hex).read_bytes() == path.read_bytes()


@pytest.mark.usefixtures("has_skopeo")
def test_we_read_what_skopeo_pushes(
    release: tuple[Repository, Descriptor], plain: Registry, desk: Desk, tmp_path: Path
) -> None:
    source, index = release
    artifact.copy(source, LayoutFolder(tmp_path / "layout"), "v1", tag="v1", scratch=tmp_path)
    place = f"docker://{plain.host}/theirs:v1"

    done = skopeo("copy", "--all", "--dest-tls-verify=false", f"oci:{tmp_path}/layout:v1", place)

    assert done.returncode == 0, done.stderr
    theirs = desk.open(f"{plain.host}/theirs")
    found, manifest = artifact.find(theirs, "v1")
    assert found.digest == index.digest
    engine = artifact.find(theirs, manifest.manifests[0].digest)[1]
    assert artifact.fetch(theirs, engine, tmp_path / "out").keys() == {"engine.plan", "sub/model.json"}


@pytest.mark.usefixtures("has_skopeo")
def test_an_archive_of_skopeo_is_read(files: dict[str, Path], desk: Desk, tmp_path: Path) -> None:
    pushed = artifact.push(LayoutFolder(tmp_path / "layout"), Package(TYPE, files), "v1")
    archive = f"oci-archive:{tmp_path}/archive.tar:v1"
    done = skopeo("copy", f"oci:{tmp_path}/layout:v1", archive)
    assert done.returncode == 0, done.stderr

    with open_source(parse_reference(archive), desk.access) as source:
        found, manifest = artifact.find(source, "v1")
        got = artifact.fetch(source, manifest, tmp_path / "out")

    assert found.digest == pushed.digest
    assert json.dumps(sorted(got)) == '["engine.plan", "sub/model.json"]'
