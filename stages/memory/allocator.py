"""Allocator: what PyTorch's caching allocator would take from a GPU for a sequence of allocations.

Its rules are those of `c10/cuda/CUDACachingAllocator.cpp` (PyTorch 2.6 to 2.14, `expandable_segments` off):
sizes are rounded up to 512 bytes; requests of up to 1 MiB are cut from segments of 2 MiB, of less than 10 MiB
from segments of 20 MiB, larger ones get a segment of their own, rounded up to 2 MiB. The smallest free block
that is large enough is taken; what is left of it is a block again if it is worth it; free neighbours join.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Hashable
from dataclasses import dataclass

MIB = 1 << 20
_ROUND = 512
_SMALL = MIB
_SMALL_SEGMENT = 2 * MIB
_LARGE_SEGMENT = 20 * MIB
_OWN_SEGMENT = 10 * MIB
_ROUND_LARGE = 2 * MIB


@dataclass(eq=False)
class _Block:
    """A piece of a segment, with its neighbours in there."""

    address: int
    size: int
    before: _Block | None = None
    after: _Block | None = None
    free: bool = False


class CachingAllocator:
    """Follows allocations by their keys.

    Attributes:
        allocated: Bytes in live blocks now.
        peak_allocated: Most of these so far.
        reserved: Bytes taken from the GPU; nothing is given back, so this is its own peak.
    """

    def __init__(self) -> None:
        self.allocated = self.peak_allocated = self.reserved = 0
        self._pools: dict[bool, list[tuple[int, int]]] = {True: [], False: []}  # (size, address), free
        self._free: dict[int, _Block] = {}  # by address
        self._live: dict[Hashable, tuple[_Block, bool]] = {}  # by key, with whether it is small

    def allocate(self, key: Hashable, size: int) -> None:
        """Give `key` a block of at least `size` bytes."""
        if size == 0:
            return
        size = -(-size // _ROUND) * _ROUND
        small = size <= _SMALL
        block = self._take(size, small=small) or self._reserve(size, small=small)
        rest = block.size - size
        if rest >= _ROUND if small else rest > _SMALL:
            self._split(block, size, small=small)
        self._live[key] = (block, small)
        self.allocated += block.size
        self.peak_allocated = max(self.peak_allocated, self.allocated)

    def release(self, key: Hashable) -> None:
        """Take the block of `key` back, and join it with free neighbours."""
        if key not in self._live:
            return
        block, small = self._live.pop(key)
        self.allocated -= block.size
        for neighbour in (block.before, block.after):
            if neighbour is not None and neighbour.free:
                self._forget(neighbour, small=small)
                self._join(block, neighbour)
        self._keep(block, small=small)

    def _take(self, size: int, *, small: bool) -> _Block | None:
        pool = self._pools[small]
        place = bisect_left(pool, (size, 0))
        if place == len(pool):
            return None
        block = self._free[pool[place][1]]
        self._forget(block, small=small)
        return block

    def _reserve(self, size: int, *, small: bool) -> _Block:
        if small:
            segment = _SMALL_SEGMENT
        elif size < _OWN_SEGMENT:
            segment = _LARGE_SEGMENT
        else:
            segment = -(-size // _ROUND_LARGE) * _ROUND_LARGE
        address = self.reserved  # any that is not used twice
        self.reserved += segment
        return _Block(address, segment)

    def _split(self, block: _Block, size: int, *, small: bool) -> None:
        rest = _Block(block.address + size, block.size - size, before=block, after=block.after)
        if rest.after is not None:
            rest.after.before = rest
        block.size, block.after = size, rest
        self._keep(rest, small=small)

    def _join(self, block: _Block, neighbour: _Block) -> None:
        if neighbour is block.before:
            block.address, block.before = neighbour.address, neighbour.before
            if block.before is not None:
                block.before.after = block
        else:
            block.after = neighbour.after
            if block.after is not None:
                block.after.before = block
        block.size += neighbour.size

    def _keep(self, block: _Block, *, small: bool) -> None:
        block.free = True
        self._free[block.address] = block
        insort(self._pools[small], (block.size, block.address))

    def _forget(self, block: _Block, *, small: bool) -> None:
        block.free = False
        del self._free[block.address]
        pool = self._pools[small]
        del pool[bisect_left(pool, (block.size, block.address))]
