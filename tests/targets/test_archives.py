"""Archives carry a folder as it is; an archive from elsewhere cannot write outside its folder."""

import stat
import zipfile
from pathlib import Path

import pytest

from targets import archives
from targets.archives import pack, unpack
from targets.errors import ModelError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    (made / "sub").mkdir(parents=True)
    (made / "a.txt").write_bytes(b"a" * 3000)
    (made / "sub" / "empty").write_bytes(b"")
    return made


def hostile(path: Path, name: str, *, mode: int = 0o100644, content: bytes = b"x") -> Path:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = mode << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, content)
    return path


def test_a_folder_survives_the_way_through_an_archive(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "a.zip")
    unpack(tmp_path / "a.zip", tmp_path / "out")

    assert (tmp_path / "out" / "a.txt").read_bytes() == b"a" * 3000
    assert (tmp_path / "out" / "sub" / "empty").read_bytes() == b""


def test_equal_folders_give_equal_archives(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "a.zip")
    (folder / "a.txt").chmod(0o600)
    (folder / "a.txt").touch()
    pack(folder, tmp_path / "b.zip")

    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


@pytest.mark.parametrize(
    "name", ["../out", "/etc/out", "a/../../out", "a//b", ".hidden", "-rf", "c:\\out", "a\nb"]
)
def test_names_that_lead_elsewhere_are_refused(name: str, tmp_path: Path) -> None:
    archive = hostile(tmp_path / "a.zip", name)

    with pytest.raises(ModelError, match="not unpacked"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_links_are_refused(tmp_path: Path) -> None:
    archive = hostile(tmp_path / "a.zip", "link", mode=stat.S_IFLNK | 0o777, content=b"/etc/passwd")

    with pytest.raises(ModelError, match="no plain file"):
        unpack(archive, tmp_path / "out")


def test_names_that_are_one_on_other_systems_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a", b"1")
        archive.writestr("A", b"2")

    with pytest.raises(ModelError, match="twice"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


def test_more_than_a_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = hostile(tmp_path / "a.zip", "a", content=b"x" * 2000)
    monkeypatch.setattr(archives, "MAX_BYTES", 1000)

    with pytest.raises(ModelError, match="more than"):
        unpack(archive, tmp_path / "out")


def test_a_file_that_is_larger_than_it_says_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", b"\0" * 1_000_000)
    claimed = (1_000_000).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(claimed, (10).to_bytes(4, "little")))

    with pytest.raises(ModelError, match="cannot be read"):
        unpack(path, tmp_path / "out")
    assert (tmp_path / "out" / "bomb").stat().st_size <= 10


@pytest.mark.parametrize("keep", [0, 10, 100])
def test_what_is_no_whole_archive_is_refused(folder: Path, tmp_path: Path, keep: int) -> None:
    pack(folder, tmp_path / "a.zip")
    (tmp_path / "a.zip").write_bytes((tmp_path / "a.zip").read_bytes()[:keep])

    with pytest.raises(ModelError, match="cannot be read as a zip file"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


def test_a_changed_byte_is_noticed(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "a.zip")
    content = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(content.replace(b"aaaa", b"aaba", 1))

    with pytest.raises(ModelError, match="cannot be read"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
