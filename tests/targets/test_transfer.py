"""Files cross two pipes whole, or what came of them is of use to the next attempt."""

import os
import threading
from pathlib import Path
from typing import IO

import pytest

from targets.engine import EngineFile
from targets.errors import ModelError
from targets.folder import describe_files
from targets.transfer import CutError, Landing, receive, send

SIZE = 1 << 20
FILES = {"first.bin": os.urandom(SIZE), "deep/second.bin": os.urandom(SIZE), "empty": b""}


class Cutting:
    """A pipe's end that is closed after so many bytes."""

    def __init__(self, sink: IO[bytes], after: int | None) -> None:
        self._sink, self._left, self.written = sink, after, 0

    def write(self, content: bytes) -> int:
        if self._left is not None:
            if self._left < len(content):
                self._sink.write(content[: self._left])
                self._sink.close()
                raise BrokenPipeError
            self._left -= len(content)
        self.written += len(content)
        return self._sink.write(content)

    def flush(self) -> None:
        self._sink.flush()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def landing(tmp_path: Path) -> Landing:
    return Landing(tmp_path / "there", tmp_path / "partial")


def carry(
    source: Path,
    landing: Landing,
    *,
    cut_after: int | None = None,
    files: dict[str, EngineFile] | None = None,
) -> int:
    """Send a folder through real pipes, and give the bytes that crossed to the receiver."""
    down, up = os.pipe(), os.pipe()
    errors: list[Exception] = []
    with (
        os.fdopen(down[0], "rb") as receiver_in,
        os.fdopen(up[1], "wb") as receiver_out,
        os.fdopen(up[0], "rb") as sender_in,
    ):
        sink = Cutting(os.fdopen(down[1], "wb"), cut_after)

        def run_sender() -> None:
            try:
                listed = describe_files(source, but=()) if files is None else files
                send(source, listed, sender_in, sink, lambda *_: None)
            except (CutError, ModelError) as exc:
                errors.append(exc)
            finally:
                sink._sink.close()

        thread = threading.Thread(target=run_sender)
        thread.start()
        try:
            receive(landing, receiver_in, receiver_out, lambda *_: None)
        finally:
            receiver_out.close()
            thread.join()
    if errors:
        raise errors[0]
    return sink.written


def content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in describe_files(folder, but=())}


def test_a_folder_arrives_as_it_is(source: Path, landing: Landing) -> None:
    carry(source, landing)

    assert content(landing.folder) == FILES
    assert not landing.partial.exists()


def test_what_is_there_is_not_sent_again(source: Path, landing: Landing) -> None:
    carry(source, landing)

    assert carry(source, landing) < 1000


@pytest.mark.parametrize("cut_after", [100, SIZE // 2, SIZE + 1000, 2 * SIZE - 1000])
def test_a_cut_costs_what_was_under_way_and_no_more(source: Path, landing: Landing, cut_after: int) -> None:
    with pytest.raises(CutError):
        carry(source, landing, cut_after=cut_after)

    crossed = carry(source, landing)

    assert content(landing.folder) == FILES
    assert crossed <= 2 * SIZE - cut_after + 2000


def test_a_file_that_has_changed_between_two_attempts_is_sent_anew(source: Path, landing: Landing) -> None:
    with pytest.raises(CutError):
        carry(source, landing, cut_after=SIZE // 2)
    for name in ("first.bin", "deep/second.bin"):
        (source / name).write_bytes(os.urandom(SIZE))

    carry(source, landing)

    assert content(landing.folder) == content(source)


def test_unfinished_files_are_not_where_whole_ones_belong(source: Path, landing: Landing) -> None:
    with pytest.raises(CutError):
        carry(source, landing, cut_after=SIZE // 2)

    whole = content(landing.folder) if landing.folder.exists() else {}
    assert all(FILES[name] == found for name, found in whole.items())


def test_strangers_are_removed_but_for_folders_that_may_stay(source: Path, landing: Landing) -> None:
    for name in ("old", "deep/old", "job/log"):
        (landing.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (landing.folder / name).touch()

    carry(source, Landing(landing.folder, landing.partial, beside=("job",)))

    assert sorted(content(landing.folder)) == ["deep/second.bin", "empty", "first.bin", "job/log"]


def test_a_file_that_is_at_hand_is_taken_and_not_sent(source: Path, landing: Landing, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(FILES["first.bin"])
    lie = tmp_path / "lie"
    lie.write_bytes(b"not what its digest says")
    known = dict.fromkeys(describe_files(source, but=()).values(), other)
    known[describe_files(source, but=())["deep/second.bin"]] = lie

    crossed = carry(source, Landing(landing.folder, landing.partial, find=known.get))

    assert content(landing.folder) == FILES
    assert SIZE <= crossed < SIZE + 2000


@pytest.mark.parametrize("name", ["../out", "/etc/passwd", "a/../../b", ".hidden", "-rf"])
def test_a_name_that_leads_elsewhere_is_refused(
    source: Path, landing: Landing, name: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="not allowed"):
        carry(source, landing, files={name: EngineFile("0" * 64, 1)})

    assert not landing.folder.exists()


def test_a_file_that_is_not_what_its_digest_says_does_not_arrive(source: Path, landing: Landing) -> None:
    listed = dict(describe_files(source, but=()))
    listed["first.bin"] = EngineFile("0" * 64, SIZE)

    with pytest.raises(ModelError, match=r"first\.bin arrived damaged"):
        carry(source, landing, files=listed)

    assert not (landing.folder / "first.bin").exists()


def test_a_file_that_shrinks_while_it_is_sent_is_told(source: Path, landing: Landing) -> None:
    listed = describe_files(source, but=())
    (source / "first.bin").write_bytes(b"short")

    with pytest.raises((ModelError, CutError)):
        carry(source, landing, files=listed)

    assert not (landing.folder / "first.bin").exists()
