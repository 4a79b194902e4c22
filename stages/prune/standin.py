"""Stand-ins: what is left alone, out of the way while a dependency graph is drawn.

Attention reshapes and splits by heads, and nobody knows what a user's own module does. In the graph, each is
a convolution of the same inputs and outputs, and whatever is tied to it keeps its width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from stages.prune.rewrite import replace
from targets.errors import UsageError


class StandIn(nn.Module):  # type: ignore[misc]  # torch's types are not followed
    """Takes and gives tensors of the same shapes as the module it stands for."""

    def __init__(self, inputs: Sequence[torch.Tensor], outputs: Any) -> None:
        super().__init__()
        self.several = not isinstance(outputs, torch.Tensor)
        self.sizes = [tuple(output.shape[2:]) for output in _tensors(outputs)]
        widths = [output.shape[1] for output in _tensors(outputs)]
        self.mixes = nn.ModuleList(
            nn.ModuleList(nn.Conv2d(one.shape[1], width, 1) for one in inputs) for width in widths
        )

    def forward(self, *args: Any) -> Any:
        """Give the outputs; their values mean nothing."""
        inputs = _tensors(args)
        outputs = [self._mix(inputs, mix, size) for mix, size in zip(self.mixes, self.sizes, strict=True)]
        return tuple(outputs) if self.several else outputs[0]

    def _mix(self, inputs: list[torch.Tensor], mix: Any, size: tuple[int, int]) -> torch.Tensor:
        mixed = [
            functional.adaptive_avg_pool2d(conv(one), size) for conv, one in zip(mix, inputs, strict=True)
        ]
        return torch.stack(mixed).sum(0) if len(mixed) > 1 else mixed[0]


@contextmanager
def stood_in(module: Any, names: Sequence[str], run: Callable[[], object]) -> Iterator[None]:
    """Put stand-ins into the places `names` of `module`, until the context ends.

    Args:
        module: Stands as it did afterwards.
        names: Of modules that take tensors and give tensors, each (B, C, H, W).
        run: Runs `module` once.

    Raises:
        UsageError: One of them takes or gives something else.
    """
    originals = {name: module.get_submodule(name) for name in names}
    for name, part in _stand_ins(originals, run).items():
        replace(module, name, part)
    try:
        yield
    finally:
        for name, original in originals.items():
            replace(module, name, original)


def _stand_ins(originals: Mapping[str, nn.Module], run: Callable[[], object]) -> dict[str, StandIn]:
    made: dict[str, StandIn] = {}

    def stand_in_for(name: str) -> Any:
        def hook(part: nn.Module, args: Any, output: Any) -> None:
            inputs = _tensors(args)
            if not inputs or {one.ndim for one in (*inputs, *_tensors(output))} != {4}:
                raise UsageError(
                    f"{name} ({type(part).__name__}) cannot be left alone while its neighbours are pruned: "
                    "it takes or gives something else than pictures of channels.",
                    hint="Leave `prune` out of pipeline.yaml for this model.",
                )
            made[name] = StandIn(inputs, output)

        return hook

    handles = [part.register_forward_hook(stand_in_for(name)) for name, part in originals.items()]
    try:
        with torch.no_grad():
            run()
    finally:
        for handle in handles:
            handle.remove()
    return made


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, list | tuple):
        return [tensor for one in value for tensor in _tensors(one)]
    return []
