"""Shapes, as the bindings give them: like a tuple, but none."""

from ._api import as_in_this_version


@as_in_this_version
class Dims:
    MAX_DIMS = 8

    def __init__(self, shape=()):
        self._shape = tuple(int(size) for size in shape)

    def __len__(self):
        return len(self._shape)

    def __getitem__(self, index):
        return self._shape[index]

    def __eq__(self, other):
        return self._shape == tuple(other)

    def __hash__(self):
        return hash(self._shape)

    def __repr__(self):
        return str(self._shape)
