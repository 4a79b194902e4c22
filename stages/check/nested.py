"""Names within names: what a body sees is its own, and what is around it; nothing is copied for it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TypeVar

ValueT = TypeVar("ValueT")


def within(
    own: Mapping[str, ValueT], names: AbstractSet[str], around: Mapping[str, ValueT]
) -> Mapping[str, ValueT]:
    """Give what a body sees, or a graph around which there is nothing.

    Args:
        own: What is known of its own values.
        names: All that its own nodes and inputs define, which hide those around it.
        around: What is known of the values around it.
    """
    return _Inner(own, names, around) if around else own


@dataclass(frozen=True)
class _Inner(Mapping[str, ValueT]):
    own: Mapping[str, ValueT]
    names: AbstractSet[str]
    around: Mapping[str, ValueT]

    def __getitem__(self, name: str) -> ValueT:
        if name in self.own or name in self.names:
            return self.own[name]
        return self.around[name]

    def __iter__(self) -> Iterator[str]:
        yield from self.own
        yield from (name for name in self.around if name not in self.own and name not in self.names)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        return any(True for _ in self)  # without counting all


@dataclass(frozen=True)
class Names:
    """Names that a body sees and that have something in common.

    Attributes:
        own: Those of its own.
        hidden: All that its own nodes and inputs define.
        around: Those around it.
    """

    own: AbstractSet[str]
    hidden: AbstractSet[str]
    around: Container[str]

    def __contains__(self, name: object) -> bool:
        return name in self.own or (name not in self.hidden and name in self.around)

    def issuperset(self, names: Iterable[str]) -> bool:
        """Say whether all of them are in it."""
        return all(name in self for name in names)
