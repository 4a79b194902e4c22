"""Ledger: every allocation and every kernel of a piece of PyTorch code, in order.

It stands between autograd and the kernels, so it sees what autograd keeps, what the casts of mixed precision
cost and what a backward pass needs on its way. Fake tensors (shapes without data) will do.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

Event = tuple[int, int]
"""A key with its bytes where memory is taken, with FREED where it is given back."""

FREED = -1
# cuDNN's fast kernels want channels last; of PyTorch's NCHW tensors they make copies in a workspace. That
# these are as large as all that a convolution touches is an assumption, held against public figures in
# docs/training.md.
_CONVOLUTIONS = (torch.ops.aten.convolution, torch.ops.aten.convolution_backward)


@dataclass(frozen=True)
class Kernel:
    """One operator that does something.

    Attributes:
        flop: Floating-point operations of a matrix product or convolution, a multiply-add as two; else 0.
        traffic: Bytes of all tensors that it reads and writes.
    """

    flop: int
    traffic: int


class Ledger(TorchDispatchMode):  # type: ignore[misc]  # its types are not followed
    """Write down what is allocated, released and computed while it is active.

    Tensors made before are not seen; neither are views, which cost nothing.

    Attributes:
        events: In order, but for what is given back at one time.
        kernels: In order.
    """

    def __init__(self, *, workspaces: bool = True) -> None:
        super().__init__()
        self.events: list[Event] = []
        self.kernels: list[Kernel] = []
        self._workspaces = workspaces
        self._keys = itertools.count()
        self._seen: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run an operator, and note what it did."""
        del types
        kwargs = kwargs or {}
        for tensor in _tensors((args, kwargs)):  # those from before, of which outputs may be views
            self._seen.add(tensor.untyped_storage())
        out = func(*args, **kwargs)
        made = [self._note(tensor) for tensor in _tensors(out)]
        if any(made) or func._schema.is_mutable:  # noqa: SLF001  (a view is neither)
            self._count(func, args, kwargs, out)
        return out

    def _note(self, tensor: torch.Tensor) -> bool:
        """Enter a tensor's storage if it is a new one."""
        storage = tensor.untyped_storage()
        if storage in self._seen:
            return False
        self._seen.add(storage)
        key = next(self._keys)
        self.events.append((key, storage.nbytes()))
        weakref.finalize(storage, self.events.append, (key, FREED)).atexit = False
        return True

    def _count(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> None:
        operator = func._overloadpacket  # noqa: SLF001  (what both tables know it by)
        flop = flop_registry.get(operator)
        traffic = sum(tensor.numel() * tensor.element_size() for tensor in _tensors((args, kwargs, out)))
        self.kernels.append(Kernel(flop(*args, **kwargs, out_val=out) if flop else 0, traffic))
        if operator in _CONVOLUTIONS and self._workspaces:
            key = next(self._keys)
            self.events += [(key, traffic), (key, FREED)]


def _tensors(tree: Any) -> Iterator[torch.Tensor]:
    return (leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor))
