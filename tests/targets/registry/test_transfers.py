"""Blobs over a network that cuts, stalls, lies and flips bits, to and from a real registry."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from targets.errors import DigestError, DiskFullError, NotFoundError, RegistryError
from targets.registry.content import Descriptor
from targets.registry.patience import Retry, TransientError
from tests.registry_fixture.faults import ALWAYS, Fault, FaultyProxy
from tests.registry_fixture.server import Registry
from tests.targets.registry.conftest import Desk, small

Big = tuple[Path, Descriptor]


@pytest.fixture
def pushed(big: Big, plain: Registry, desk: Desk) -> Descriptor:
    desk.open(f"{plain.host}/blobs").push_blob(big[1], big[0])
    return big[1]


def test_a_blob_that_is_there_is_not_sent_again(big: Big, proxy: FaultyProxy, desk: Desk) -> None:
    repository = desk.open(f"{proxy.host}/blobs")
    repository.push_blob(big[1], big[0])
    before = len(proxy.seen)

    repository.push_blob(big[1], big[0])

    assert [one.method for one in proxy.seen[before:]] == ["HEAD"]


def test_a_blob_of_another_repository_is_mounted(big: Big, proxy: FaultyProxy, desk: Desk) -> None:
    desk.open(f"{proxy.host}/there").push_blob(big[1], big[0])
    proxy.seen.clear()

    desk.open(f"{proxy.host}/here").push_blob(big[1], big[0], mount_from="there")

    assert [one.method for one in proxy.seen] == ["HEAD", "POST"]
    assert desk.open(f"{proxy.host}/here").has_blob(big[1])


def test_a_blob_that_cannot_be_mounted_is_sent(big: Big, proxy: FaultyProxy, desk: Desk) -> None:
    proxy.faults = [Fault("POST", "mount=", status=403)]
    repository = desk.open(f"{proxy.host}/sent")

    repository.push_blob(big[1], big[0], mount_from="closed")

    assert repository.has_blob(big[1])


def test_a_push_that_is_cut_goes_on_where_the_registry_is(big: Big, proxy: FaultyProxy, desk: Desk) -> None:
    proxy.faults = [Fault("PATCH", cut_request=2_000_000, keeps=True, times=2)]
    moved: list[int] = []
    repository = desk.open(f"{proxy.host}/cut")

    repository.push_blob(big[1], big[0], moved.append)

    starts = [one.headers["content-range"].split("-")[0] for one in proxy.requests("PATCH")]
    assert starts == ["0", "2000000", "4000000"]
    assert sum(moved) == big[1].size
    assert repository.has_blob(big[1])


def test_a_push_that_is_cut_every_n_bytes_arrives(big: Big, proxy: FaultyProxy, desk: Desk) -> None:
    proxy.faults = [Fault("PATCH", cut_request=400_000, keeps=True, times=ALWAYS)]
    repository = desk.open(f"{proxy.host}/cut")

    repository.push_blob(big[1], big[0])

    assert repository.has_blob(big[1])
    assert len(proxy.requests("PATCH")) == 13


def test_a_push_without_progress_ends(big: Big, proxy: FaultyProxy, desk: Desk) -> None:
    proxy.faults = [Fault("PATCH", cut_request=0, times=ALWAYS)]

    with pytest.raises(TransientError, match="cannot be reached"):
        desk.open(f"{proxy.host}/cut").push_blob(big[1], big[0])

    assert [one.size for one in proxy.requests("PATCH")][-5:] == [312_500, *[256 << 10] * 4]


def test_chunks_get_smaller_where_a_registry_forgets_what_was_cut(
    big: Big, proxy: FaultyProxy, desk: Desk
) -> None:
    proxy.faults = [Fault("PATCH", cut_request=400_000, times=ALWAYS)]
    repository = desk.open(f"{proxy.host}/cut")

    repository.push_blob(big[1], big[0])

    sizes = [one.size for one in proxy.requests("PATCH")]
    assert sizes[:4] == [5_000_000, 1_250_000, 312_500, 312_500]
    assert repository.has_blob(big[1])


def test_a_push_goes_on_in_the_middle_where_the_registry_was_not_well(
    big: Big, proxy: FaultyProxy, desk: Desk
) -> None:
    repository = desk.open(f"{proxy.host}/middle")
    proxy.faults = [Fault("PATCH", cut_request=10), Fault("PATCH", times=2), Fault("PATCH", status=503)]

    repository.push_blob(big[1], big[0])

    starts = [one.headers["content-range"].split("-")[0] for one in proxy.requests("PATCH")]
    assert starts[:5] == ["0", "0", "1250000", "2500000", "2500000"]
    assert repository.has_blob(big[1])


def test_an_upload_that_the_registry_has_forgotten_starts_over(
    big: Big, proxy: FaultyProxy, desk: Desk
) -> None:
    proxy.faults = [Fault("PATCH", cut_request=3_000_000), Fault("GET", "uploads", status=404)]
    repository = desk.open(f"{proxy.host}/forgotten")

    repository.push_blob(big[1], big[0])

    assert len(proxy.requests("POST")) == 2
    assert repository.has_blob(big[1])


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT"])
def test_an_answer_that_is_lost_is_found_out(big: Big, proxy: FaultyProxy, desk: Desk, method: str) -> None:
    proxy.faults = [Fault(method, loses_answer=True)]
    repository = desk.open(f"{proxy.host}/lost")

    repository.push_blob(big[1], big[0])

    assert repository.has_blob(big[1])
    assert len(proxy.requests("PUT")) == 1


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", 429), ("POST", 500), ("PATCH", 502), ("PUT", 503), ("PATCH", 429)]
)
def test_a_push_goes_on_after_a_server_was_not_well(
    big: Big, proxy: FaultyProxy, desk: Desk, method: str, status: int
) -> None:
    proxy.faults = [Fault(method, status=status)]
    repository = desk.open(f"{proxy.host}/unwell")

    repository.push_blob(big[1], big[0])

    assert repository.has_blob(big[1])


def test_a_bit_that_flips_on_the_way_up_is_found_and_sent_again(
    big: Big, proxy: FaultyProxy, desk: Desk
) -> None:
    proxy.faults = [Fault("PATCH", flip_request=1_234_567)]
    repository = desk.open(f"{proxy.host}/flipped")

    repository.push_blob(big[1], big[0])

    assert repository.has_blob(big[1])
    assert len(proxy.requests("PATCH")) == 2


def test_a_network_that_always_flips_bits_is_named(big: Big, proxy: FaultyProxy, desk: Desk) -> None:
    proxy.faults = [Fault("PATCH", flip_request=1_234_567, times=ALWAYS)]

    with pytest.raises(DigestError, match="arrives damaged") as caught:
        desk.open(f"{proxy.host}/flipped").push_blob(big[1], big[0])

    assert "proxy" in caught.value.hint


def test_a_file_that_changed_is_not_taken_for_what_it_was(big: Big, plain: Registry, desk: Desk) -> None:
    path, blob = big
    with path.open("r+b") as file:
        file.write(b"changed")

    with pytest.raises(DigestError, match="has changed"):
        desk.open(f"{plain.host}/changed").push_blob(blob, path)


def test_a_file_that_was_cut_short_is_refused(big: Big, plain: Registry, desk: Desk) -> None:
    os.truncate(big[0], 1000)

    with pytest.raises(RegistryError, match="has changed while it was sent"):
        desk.open(f"{plain.host}/short").push_blob(big[1], big[0])


def test_a_proxy_that_limits_sizes_is_named(big: Big, proxy: FaultyProxy, desk: Desk) -> None:
    proxy.faults = [Fault("PATCH", status=413, times=ALWAYS)]

    with pytest.raises(RegistryError, match="so large a file") as caught:
        desk.open(f"{proxy.host}/large").push_blob(big[1], big[0])

    assert "client_max_body_size" in caught.value.hint


def test_a_pull_that_is_cut_goes_on_where_it_was(
    pushed: Descriptor, proxy: FaultyProxy, desk: Desk, tmp_path: Path
) -> None:
    proxy.faults = [Fault("GET", "blobs", cut_answer=700_000, times=ALWAYS)]
    moved: list[int] = []

    desk.open(f"{proxy.host}/blobs").fetch_blob(pushed, tmp_path / "got", moved.append)

    starts = [one.headers.get("range") for one in proxy.requests("GET", "blobs")]
    assert starts == [None, *(f"bytes={n * 700_000}-" for n in range(1, 8))]
    assert digest_of(tmp_path / "got") == pushed.digest
    assert sum(moved) == pushed.size


def test_a_pull_goes_on_with_what_an_earlier_process_left(
    pushed: Descriptor, proxy: FaultyProxy, desk: Desk, tmp_path: Path
) -> None:
    proxy.faults = [Fault("GET", "blobs", cut_answer=3_000_000), Fault("GET", "blobs", status=404)]
    with pytest.raises(NotFoundError):
        desk.open(f"{proxy.host}/blobs").fetch_blob(pushed, tmp_path / "got")
    proxy.seen.clear()

    desk.open(f"{proxy.host}/blobs").fetch_blob(pushed, tmp_path / "got")

    assert [one.headers["range"] for one in proxy.requests("GET", "blobs")] == ["bytes=3000000-"]
    assert digest_of(tmp_path / "got") == pushed.digest


@pytest.mark.parametrize("left", [b"other bytes", b"x" * 6_000_000], ids=["wrong", "too long"])
def test_what_an_earlier_process_left_is_not_trusted(
    pushed: Descriptor, proxy: FaultyProxy, desk: Desk, tmp_path: Path, left: bytes
) -> None:
    (tmp_path / f".{pushed.hex}.part").write_bytes(left)

    desk.open(f"{proxy.host}/blobs").fetch_blob(pushed, tmp_path / "got")

    assert digest_of(tmp_path / "got") == pushed.digest


def test_a_registry_without_ranges_is_read_from_the_beginning(
    pushed: Descriptor, proxy: FaultyProxy, desk: Desk, tmp_path: Path
) -> None:
    proxy.faults = [Fault("GET", "blobs", cut_answer=700_000), Fault("GET", "blobs", forgets_range=True)]

    desk.open(f"{proxy.host}/blobs").fetch_blob(pushed, tmp_path / "got")

    assert digest_of(tmp_path / "got") == pushed.digest


@pytest.mark.parametrize(
    "fault",
    [
        Fault("GET", "blobs", flip_answer=4_000_000),
        Fault("GET", "blobs", lie=-1),
        Fault("GET", "blobs", lie=-4_000_000),
        Fault("GET", "blobs", lie=1000),
        Fault("GET", "blobs", status=206, headers={"Content-Range": "bytes 7-9/10"}, body=b"abc"),
        Fault("GET", "blobs", status=416),
        Fault("GET", "blobs", headers={"Content-Encoding": "gzip"}),
        Fault("GET", "blobs", loses_answer=True),
        Fault("GET", "blobs", status=429, headers={"Retry-After": "0"}),
    ],
    ids=lambda fault: str({name: value for name, value in vars(fault).items() if value and name != "times"}),
)
def test_a_pull_gets_over_a_fault(
    pushed: Descriptor, proxy: FaultyProxy, desk: Desk, tmp_path: Path, fault: Fault
) -> None:
    proxy.faults = [Fault(**vars(fault))]

    desk.open(f"{proxy.host}/blobs").fetch_blob(pushed, tmp_path / "got")

    assert digest_of(tmp_path / "got") == pushed.digest
    assert len(proxy.requests("GET", "blobs")) == 2


def test_a_silent_server_is_left_and_asked_again(
    pushed: Descriptor, proxy: FaultyProxy, desk: Desk, tmp_path: Path
) -> None:
    proxy.faults = [Fault("GET", "blobs", stall_answer=1_000_000)]

    desk.open(f"{proxy.host}/blobs", idle_s=0.2).fetch_blob(pushed, tmp_path / "got")

    assert [one.headers.get("range") for one in proxy.requests("GET", "blobs")] == [None, "bytes=1000000-"]


def test_a_server_that_says_its_headers_byte_by_byte_is_left(
    pushed: Descriptor, proxy: FaultyProxy, desk: Desk, tmp_path: Path
) -> None:
    proxy.faults = [Fault("GET", "blobs", drips=0.02)]
    begin = time.monotonic()

    desk.open(f"{proxy.host}/blobs", idle_s=0.3).fetch_blob(pushed, tmp_path / "got")

    assert time.monotonic() - begin < 5


def test_a_server_is_given_the_pause_it_asks_for(
    pushed: Descriptor, proxy: FaultyProxy, desk: Desk, tmp_path: Path
) -> None:
    proxy.faults = [Fault("GET", "blobs", status=503, headers={"Retry-After": "1"})]
    begin = time.monotonic()

    desk.open(f"{proxy.host}/blobs").fetch_blob(pushed, tmp_path / "got")

    assert 1 <= time.monotonic() - begin < 3


def test_a_server_that_asks_for_an_hour_is_not_waited_for(
    pushed: Descriptor, proxy: FaultyProxy, desk: Desk, tmp_path: Path
) -> None:
    proxy.faults = [Fault("GET", "blobs", status=503, headers={"Retry-After": "3600"}, times=ALWAYS)]

    with pytest.raises(TransientError, match="503"):
        desk.open(f"{proxy.host}/blobs").fetch_blob(pushed, tmp_path / "got")

    assert len(proxy.requests("GET", "blobs")) == 1


def test_a_blob_that_was_changed_in_the_registry_is_refused(
    big: Big, plain: Registry, desk: Desk, tmp_path: Path
) -> None:
    repository = desk.open(f"{plain.host}/tampered")
    repository.push_blob(big[1], big[0])
    with plain.blob(big[1].digest).open("r+b") as file:
        file.seek(4_000_000)
        file.write(b"evil")

    with pytest.raises(DigestError, match="other bytes"):
        repository.fetch_blob(big[1], tmp_path / "got")

    assert not (tmp_path / "got").exists()
    content, blob = small()
    repository.push_blob(blob, content)
    plain.blob(blob.digest).write_bytes(b"evil")
    with pytest.raises(DigestError, match="tampered"):
        repository.read_blob(blob)


def test_a_blob_that_is_not_there_is_said_to_be_missing(plain: Registry, desk: Desk, tmp_path: Path) -> None:
    repository = desk.open(f"{plain.host}/blobs")

    with pytest.raises(NotFoundError, match="BLOB_UNKNOWN"):
        repository.fetch_blob(small()[1], tmp_path / "got")


def test_two_processes_do_not_write_one_file(
    pushed: Descriptor, plain: Registry, desk: Desk, tmp_path: Path
) -> None:
    from targets.registry.part import open_part

    with open_part(tmp_path / f".{pushed.hex}.part"), pytest.raises(RegistryError, match="Another process"):
        desk.open(f"{plain.host}/blobs").fetch_blob(pushed, tmp_path / "got")


def test_a_link_in_the_place_of_an_unfinished_file_is_not_followed(
    pushed: Descriptor, plain: Registry, desk: Desk, tmp_path: Path
) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / f".{pushed.hex}.part").symlink_to(tmp_path / "mine")

    with pytest.raises(RegistryError, match="cannot be used"):
        desk.open(f"{plain.host}/blobs").fetch_blob(pushed, tmp_path / "got")

    assert (tmp_path / "mine").read_text() == "mine"


def test_a_full_disk_is_named_and_the_pull_goes_on_afterwards(
    pushed: Descriptor, plain: Registry, desk: Desk, small_disk: Path
) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(10_000_000))
    repository = desk.open(f"{plain.host}/blobs")

    with pytest.raises(DiskFullError, match="full") as caught:
        repository.fetch_blob(pushed, small_disk / "got")
    ballast.unlink()
    repository.fetch_blob(pushed, small_disk / "got")

    assert "goes on where it was" in caught.value.hint
    assert digest_of(small_disk / "got") == pushed.digest


def test_a_server_that_is_off_is_given_up_soon(desk: Desk, tmp_path: Path) -> None:
    begin = time.monotonic()

    with pytest.raises(TransientError, match=r"cannot be reached: .*refused"):
        desk.open("127.0.0.1:1/off").fetch_blob(small()[1], tmp_path / "got")

    assert time.monotonic() - begin < 3


def test_a_server_that_comes_back_is_waited_for(
    pushed: Descriptor, proxy: FaultyProxy, desk: Desk, tmp_path: Path
) -> None:
    proxy.faults = [Fault("GET", "blobs", status=502, times=3)]
    repository = desk.open(f"{proxy.host}/blobs", retry=Retry(attempts=4, first_s=0.05))

    repository.fetch_blob(pushed, tmp_path / "got")

    assert digest_of(tmp_path / "got") == pushed.digest


def digest_of(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
