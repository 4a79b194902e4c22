"""OCI layouts: folders and archives, ours and those of others."""

import io
import os
import subprocess
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from targets.errors import DigestError, DiskFullError, NotFoundError, RegistryError, UsageError
from targets.registry import artifact, open_repository, open_source
from targets.registry.access import Access
from targets.registry.artifact import Package
from targets.registry.content import INDEX_TYPE, MAX_MANIFEST, Descriptor, Manifest, describe
from targets.registry.layout import Layout
from targets.registry.layout_archive import Archive
from targets.registry.layout_folder import LayoutFolder
from targets.registry.reference import parse_reference
from tests.targets.registry.conftest import small

TYPE = "application/vnd.test"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "model.bin"
    path.write_bytes(os.urandom(3_000_000))
    return path


@pytest.fixture
def folder(tmp_path: Path, source: Path) -> Path:
    """Give a layout with one artifact, `v1`."""
    artifact.push(LayoutFolder(tmp_path / "layout"), Package(TYPE, {"model.bin": source}), "v1")
    return tmp_path / "layout"


def packed(folder: Path, *options: str) -> Path:
    archive = folder.with_name("layout.tar")
    subprocess.run(["tar", "-C", folder, *options, "-cf", archive, "."], check=True)
    return archive


def blob_of(folder: Path) -> Descriptor:
    return artifact.find(Layout(LayoutFolder(folder)._files), "v1")[1].layers[0]


def test_what_is_put_in_comes_out(folder: Path, source: Path, tmp_path: Path) -> None:
    layout = LayoutFolder(folder)

    found, manifest = artifact.find(layout, "v1")
    files = artifact.fetch(layout, manifest, tmp_path / "out")

    assert files["model.bin"].read_bytes() == source.read_bytes()
    assert layout.tags() == ["v1"]
    assert artifact.find(layout, found.digest) == (found, manifest)


def test_an_archive_is_read_where_it_lies(folder: Path, source: Path, tmp_path: Path) -> None:
    reference = parse_reference(f"oci-archive:{packed(folder)}:v1")

    with open_source(reference, Access()) as archive:
        files = artifact.fetch(archive, artifact.find(archive, "v1")[1], tmp_path / "out")

    assert files["model.bin"].read_bytes() == source.read_bytes()


def test_an_archive_is_not_written(folder: Path) -> None:
    reference = parse_reference(f"oci-archive:{packed(folder)}:v1")

    with pytest.raises(UsageError, match="can only be read"), open_repository(reference, Access()):
        pass


def test_a_tag_goes_over_to_a_new_artifact_and_the_old_one_stays(folder: Path, source: Path) -> None:
    layout = LayoutFolder(folder)
    old, _ = artifact.find(layout, "v1")

    new = artifact.push(layout, Package(TYPE, {"other.bin": source}), "v1")

    assert artifact.find(layout, "v1")[0].digest == new.digest
    assert artifact.find(layout, old.digest)[0].digest == old.digest
    assert layout.tags() == ["v1"]


def test_many_may_write_one_layout_at_a_time(tmp_path: Path) -> None:
    def put(number: int) -> None:
        artifact.push(LayoutFolder(tmp_path / "shared"), Package(TYPE, {}), f"v{number}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(24)))

    assert len(LayoutFolder(tmp_path / "shared").tags()) == 24
    assert not list((tmp_path / "shared").rglob("*.tmp"))


def test_a_changed_blob_is_refused(folder: Path, tmp_path: Path) -> None:
    blob = blob_of(folder)
    path = folder / "blobs" / "sha256" / blob.hex
    path.write_bytes(bytes(blob.size))

    with pytest.raises(DigestError):
        LayoutFolder(folder).fetch_blob(blob, tmp_path / "got")

    assert not (tmp_path / "got").exists()


@pytest.mark.parametrize("size", [0, 2_999_999, 3_000_001])
def test_a_blob_of_another_size_is_refused(folder: Path, tmp_path: Path, size: int) -> None:
    blob = blob_of(folder)
    os.truncate(folder / "blobs" / "sha256" / blob.hex, size)

    with pytest.raises(DigestError):
        LayoutFolder(folder).fetch_blob(blob, tmp_path / "got")


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_plain_file_is_no_blob(folder: Path, tmp_path: Path, kind: str) -> None:
    blob = blob_of(folder)
    path = folder / "blobs" / "sha256" / blob.hex
    path.rename(tmp_path / "elsewhere")
    {
        "link": lambda: path.symlink_to(tmp_path / "elsewhere"),
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
    }[kind]()

    with pytest.raises(NotFoundError):
        LayoutFolder(folder).fetch_blob(blob, tmp_path / "got")


def test_content_that_is_not_what_it_is_said_to_be_is_not_kept(tmp_path: Path) -> None:
    _, blob = small()

    with pytest.raises(DigestError):
        LayoutFolder(tmp_path / "layout").push_blob(blob, b"something else")

    assert not [path for path in (tmp_path / "layout" / "blobs").rglob("*") if path.is_file()]


def test_a_folder_that_is_no_layout_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no OCI image layout"):
        LayoutFolder(tmp_path).read_manifest("v1")


def test_a_tag_that_is_not_there_is_answered_with_those_that_are(folder: Path) -> None:
    with pytest.raises(NotFoundError, match="no tag 'v2'") as caught:
        LayoutFolder(folder).read_manifest("v2")

    assert caught.value.hint == "It has v1."


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b'{"manifests": [1]}', b'{"manifests": 1}', b"[" * 9999]
)
def test_a_broken_index_is_named(folder: Path, content: bytes) -> None:
    (folder / "index.json").write_bytes(content)

    with pytest.raises(RegistryError, match=r"index.json cannot be read"):
        LayoutFolder(folder).tags()


def test_a_full_disk_is_named_and_leaves_nothing_half(source: Path, small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(bytes(10_500_000))

    with pytest.raises(DiskFullError):
        artifact.push(LayoutFolder(small_disk / "layout"), Package(TYPE, {"model.bin": source}), "v1")

    assert not list((small_disk / "layout").rglob("*.tmp"))


def test_a_large_file_is_not_read_as_a_manifest(folder: Path) -> None:
    content = b" " * (MAX_MANIFEST + 1)
    blob = describe(content, INDEX_TYPE)
    LayoutFolder(folder).push_blob(blob, content)

    with pytest.raises(RegistryError, match="more than 4 MiB"):
        LayoutFolder(folder).read_manifest(blob.digest)


# -------------------------------------------------------------------------------------- archives
def test_a_compressed_archive_is_not_unpacked(folder: Path) -> None:
    with pytest.raises(RegistryError, match="compressed, or no tar"):
        Archive(packed(folder, "-z"))


@pytest.mark.parametrize("size", [100, 600, 5000])
def test_an_archive_that_was_cut_short_is_refused(folder: Path, size: int) -> None:
    archive = packed(folder)
    content = archive.read_bytes()
    begin = content.index(b"index.json") if size == 600 else 0
    archive.write_bytes(content[: begin + size])

    with pytest.raises(RegistryError):
        Layout(Archive(archive)).read_manifest("v1")


def crafted(tmp_path: Path, *members: tarfile.TarInfo, content: bytes = b"{}") -> Path:
    path = tmp_path / "crafted.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(content) if member.isreg() else None)
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 2, target: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.size, found.linkname = kind, size, target
    return found


def test_a_link_in_an_archive_is_no_file(tmp_path: Path) -> None:
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
        archive = crafted(tmp_path, member("index.json", kind, 0, "/etc/passwd"))

        with pytest.raises(NotFoundError, match="no OCI image layout"):
            Layout(Archive(archive)).tags()


def test_a_name_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"'index.json' is there twice"):
        Archive(crafted(tmp_path, member("index.json"), member("./index.json")))


def test_a_file_that_is_larger_than_its_archive_is_refused(tmp_path: Path) -> None:
    archive = crafted(tmp_path, member("index.json"))
    content = bytearray(archive.read_bytes())
    content[124:136] = b"77777777777\0"
    content[148:156] = b" " * 8
    content[148:156] = b"%06o\0 " % sum(content[:512])
    archive.write_bytes(content)

    with pytest.raises(RegistryError, match="goes on after its end"):
        Archive(archive)


def test_names_that_lead_elsewhere_are_never_looked_at(tmp_path: Path) -> None:
    archive = Archive(crafted(tmp_path, member("../../evil"), member("/etc/evil"), member("index.json")))

    with pytest.raises(RegistryError, match=r"index.json cannot be read"):
        Layout(archive).tags()

    assert not (tmp_path.parent / "evil").exists()


def test_an_index_may_lead_to_indexes(folder: Path) -> None:
    layout = LayoutFolder(folder)
    child, _ = artifact.find(layout, "v1")

    artifact.push_index(layout, Manifest(INDEX_TYPE, TYPE, manifests=(child,)), "all")

    assert artifact.find(layout, "all")[1].manifests == (child,)
    assert {"all", "v1"} < set(layout.tags())
