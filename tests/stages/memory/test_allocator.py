"""The numbers are those of PyTorch's own allocator, worked out by hand from its rules."""

import pytest

from stages.memory.allocator import MIB, CachingAllocator


@pytest.mark.parametrize(
    ("size", "reserved"),
    [
        pytest.param(1, 2 * MIB, id="a small one takes a small segment"),
        pytest.param(MIB, 2 * MIB, id="1 MiB is still small"),
        pytest.param(MIB + 1, 20 * MIB, id="more is cut from a large segment"),
        pytest.param(10 * MIB, 10 * MIB, id="10 MiB gets a segment of its own"),
        pytest.param(11 * MIB + 1, 12 * MIB, id="which is rounded up to 2 MiB"),
    ],
)
def test_segments_are_as_large_as_pytorch_takes_them(size: int, reserved: int) -> None:
    allocator = CachingAllocator()

    allocator.allocate("tensor", size)

    assert allocator.reserved == reserved


def test_blocks_are_rounded_to_512_bytes() -> None:
    allocator = CachingAllocator()

    allocator.allocate("tensor", 513)

    assert allocator.allocated == 1024


def test_what_was_released_is_used_again() -> None:
    allocator = CachingAllocator()

    for key in range(10):
        allocator.allocate(key, 30 * MIB)
        allocator.release(key)

    assert allocator.reserved == 30 * MIB
    assert (allocator.allocated, allocator.peak_allocated) == (0, 30 * MIB)


def test_the_rest_of_a_block_serves_others() -> None:
    allocator = CachingAllocator()
    allocator.allocate("large", 40 * MIB)
    allocator.release("large")

    allocator.allocate("half", 20 * MIB)
    allocator.allocate("other half", 20 * MIB)

    assert allocator.reserved == 40 * MIB


def test_free_neighbours_join() -> None:
    allocator = CachingAllocator()
    allocator.allocate("whole", 30 * MIB)
    allocator.release("whole")
    for part in ("left", "middle", "right"):
        allocator.allocate(part, 10 * MIB)
    for part in ("left", "right", "middle"):
        allocator.release(part)

    allocator.allocate("whole again", 30 * MIB)

    assert allocator.reserved == 30 * MIB


def test_pieces_that_are_apart_do_not_join() -> None:
    allocator = CachingAllocator()
    for part in ("left", "right"):
        allocator.allocate(part, 10 * MIB)
        allocator.release(part)
        allocator.allocate(f"{part} kept", 4 * MIB)

    allocator.allocate("both", 12 * MIB)

    assert allocator.reserved > 20 * MIB


def test_small_and_large_never_share_a_segment() -> None:
    allocator = CachingAllocator()
    allocator.allocate("large", 5 * MIB)

    allocator.allocate("small", 512)

    assert allocator.reserved == 22 * MIB


def test_an_empty_tensor_takes_nothing() -> None:
    allocator = CachingAllocator()

    allocator.allocate("empty", 0)
    allocator.release("empty")

    assert allocator.reserved == 0
