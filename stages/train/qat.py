"""QAT: Ultralytics' training with rounded weights and inputs (`quantize=8`), and the ranges it ends with.

NVIDIA's ModelOpt rounds; its ranges are found once, before the first step, and the weights learn to live with
them. Normalisation stays as it is while training, and is folded into the ranges here as export folds it into
the weights.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from stages.learned import LayerRange, Learned
from stages.yolo import blocks, convs, strip_qat
from targets.errors import EdgeboundError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NEEDS = ("modelopt", "huggingface_hub")  # ModelOpt imports the second, and does not ask for it
_LIMIT = "_quantizer._amax"  # ends the names of ModelOpt's ranges
_MERGED = (convs.RepConv, blocks.RepVGGDW)  # several convolutions, which export makes one

Tensors = dict[str, torch.Tensor]


def see_that_it_can_be() -> None:
    """See that what rounds is installed.

    Raises:
        EdgeboundError: It is not.
    """
    missing = [name for name in _NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise EdgeboundError(
            f"Quantization-aware training needs {' and '.join(missing)}, which is not installed.",
            hint='Run `pip install "edgebound[qat]"`, or leave quantize.qat out of pipeline.yaml.',
        )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what ModelOpt says about packages that nobody asked for to itself: stdout is for --json."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def rounded_of(module: nn.Module) -> list[str]:
    """Give the names of the ranges that a module rounds by; none without QAT."""
    return [
        f"{name}._amax"
        for name, part in module.named_modules()
        if type(part).__name__ == "TensorQuantizer" and part.is_enabled and hasattr(part, "_amax")
    ]


def split(weights: Tensors) -> tuple[Tensors, Tensors]:
    """Tell a module's own weights from the ranges it was rounded by."""
    limits = {name: tensor for name, tensor in weights.items() if name.endswith(_LIMIT)}
    return {name: tensor for name, tensor in weights.items() if name not in limits}, limits


def strip(module: nn.Module) -> None:
    """Make a plain module of it again."""
    with quiet():
        strip_qat(module)


def learned_of(module: nn.Module, limits: Mapping[str, torch.Tensor]) -> Learned:
    """Give the ranges by layer of the exported model.

    Args:
        module: Trained, plain, unfused.
        limits: What it was rounded by, as `split` gives them, without those that were switched off.
    """
    learned: dict[str, LayerRange] = {}
    merged = {name: part for name, part in module.named_modules() if isinstance(part, _MERGED)}
    for name in merged:
        inputs = [float(one) for key, one in limits.items() if _is_input_within(key, name)]
        if inputs:
            learned[f"{name}.conv"] = LayerRange(inputs=max(inputs))
    for name, part in module.named_modules():
        read, kept = (limits.get(f"{name}.{side}{_LIMIT}") for side in ("input", "weight"))
        # Pooling has rounded inputs and no weights; its tensors go by the convolution that reads them.
        if read is None or kept is None or any(name.startswith(f"{one}.") for one in merged):
            continue
        weights = kept.flatten().float() * _folded(module, name, part)
        learned[name] = LayerRange(inputs=float(read), weights=tuple(weights.tolist()))
    return learned


def _is_input_within(key: str, name: str) -> bool:
    return key.startswith(f"{name}.") and key.endswith(f"input{_LIMIT}")


def _folded(module: nn.Module, name: str, part: nn.Module) -> torch.Tensor:
    """Give the factors by which export scales the weights of a layer: those of its normalisation."""
    parent: Any = module.get_submodule(name.rpartition(".")[0])
    norm = getattr(parent, "bn", None)
    if getattr(parent, "conv", None) is not part or not isinstance(norm, nn.BatchNorm2d):
        return torch.ones(1)
    factors: torch.Tensor = norm.weight.detach().abs() / (norm.running_var + norm.eps).sqrt()
    return factors
