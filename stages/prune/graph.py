"""Graph: which channels of a detector go together, by torch-pruning's dependency graph."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch_pruning
from torch import nn

from stages.prune.standin import stood_in
from stages.prune.walk import last_convolutions, walk
from targets.errors import ModelError

TRACE_ERRORS = (AssertionError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)

LAYERS = (nn.Conv2d, nn.BatchNorm2d)


@dataclass(frozen=True, eq=False, kw_only=True)
class Member:
    """The channels of one layer that belong to a group.

    Attributes:
        layer: A convolution or a normalisation.
        side: Of the layer; a normalisation and a depthwise convolution have outputs only.
        channels: (N,): of the layer.
        roots: (N,): the channel of the group that each of them goes with.
    """

    layer: nn.Module
    side: Literal["in", "out"]
    channels: torch.Tensor
    roots: torch.Tensor


@dataclass(frozen=True, eq=False, kw_only=True)
class Group:
    """Channels that can be cut one by one, each with all that goes with it.

    Attributes:
        root: The convolution that makes them.
        name: Of the root.
        width: How many there are.
        members: What goes with them.
        frozen: None may be cut.
    """

    root: nn.Conv2d
    name: str
    width: int
    members: tuple[Member, ...]
    frozen: bool


class Graph:
    """The dependencies between the channels of a rewritten detector, which `remove` cuts.

    Attributes:
        groups: In the order of the layers, those of the predictions aside.
    """

    def __init__(self, module: Any, *, alone: Sequence[str], side_px: int) -> None:
        """Trace `module`.

        Args:
            module: Rewritten.
            alone: Names of modules in it that are left alone, as is what is tied to them.
            side_px: Of the picture that it is traced with; small is quick.

        Raises:
            ModelError: torch-pruning cannot follow the model.
        """
        images = torch.zeros(1, 3, side_px, side_px)
        self._names = {part: name for name, part in module.named_modules()}
        with stood_in(module, alone, lambda: walk(module, images)):
            still = {part for name in alone for part in module.get_submodule(name).modules()}
            self._graph = _trace(module, images)
            raw = list(self._graph.get_all_groups(ignored_layers=last_convolutions(module.model[-1])))
            self.groups = tuple(self._describe(group, still) for group in raw)

    def remove(self, group: Group, channels: torch.Tensor) -> None:
        """Cut `channels` of `group`, as they were counted when the graph was drawn, out of the module."""
        assert not group.frozen
        self._of(group.root, channels.tolist()).prune(record_history=False)

    def _of(self, root: nn.Conv2d, channels: list[int]) -> Any:
        return self._graph.get_pruning_group(root, torch_pruning.prune_conv_out_channels, channels)

    def _describe(self, raw: Any, still: set[nn.Module]) -> Group:
        root = raw[0].dep.target.module
        items = [item for item in raw if isinstance(item.dep.target.module, LAYERS)]
        clear = all(None not in item.root_idxs for item in items)  # what goes with what
        members = tuple(self._member(item) for item in items) if clear else ()
        return Group(
            root=root,
            name=self._names.get(root, ""),
            width=root.out_channels,
            members=members,
            frozen=not clear
            or any(_is_rigid(member.layer, still) for member in members)
            or not self._is_free(root),
        )

    def _member(self, item: Any) -> Member:
        layer = item.dep.target.module
        outputs = self._graph.is_out_channel_pruning_fn(item.dep.handler)
        return Member(
            layer=layer,
            side="out" if outputs else "in",
            channels=torch.tensor(item.idxs),
            roots=torch.tensor(item.root_idxs),
        )

    def _is_free(self, root: nn.Conv2d) -> bool:
        """See that a channel does not drag another one of its own group along, as in GhostConv."""
        half = list(range(root.out_channels // 2))
        own = [self._member(item) for item in self._of(root, half) if item.dep.target.module is root]
        return bool(half) and all(member.channels.tolist() == half for member in own if member.side == "out")


def _trace(module: Any, images: torch.Tensor) -> Any:
    try:
        with warnings.catch_warnings(), torch.enable_grad():
            warnings.simplefilter("ignore")  # an operator that it takes for element-wise
            return torch_pruning.DependencyGraph().build_dependency(
                module, images, forward_fn=walk, verbose=False
            )
    except TRACE_ERRORS as exc:
        raise ModelError(
            f"torch-pruning {torch_pruning.__version__} cannot follow the channels of this model: {exc}",
            hint="Leave `prune` out of pipeline.yaml for this model.",
        ) from exc


def _is_rigid(layer: nn.Module, still: set[nn.Module]) -> bool:
    if layer in still:
        return True
    if not isinstance(layer, nn.Conv2d) or layer.groups == 1:
        return False
    return bool(not layer.groups == layer.in_channels == layer.out_channels)
