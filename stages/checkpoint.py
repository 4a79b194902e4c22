"""Checkpoint: trained weights with all it takes to rebuild their module, and no pickle.

A folder of `model.safetensors` (FP32), `architecture.json`, `model.json` and, for people who go on in
Ultralytics, `best.pt`.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_safetensors
from torch import nn

from stages.artifact import Artifact
from stages.yolo import ULTRALYTICS_VERSION, build_detector, register_modules
from targets.errors import ModelError
from targets.model import ModelSpec, load_model_spec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SCHEMA = 1
ARCHITECTURE = "architecture.json"
WEIGHTS = "model.safetensors"

Widths = dict[str, list[int]]
"""By module: input and output channels and groups of a convolution; channels of a normalisation."""


def save_checkpoint(module: nn.Module, *, spec: ModelSpec, packages: Sequence[str], folder: Path) -> None:
    """Write a checkpoint folder, whole or not at all.

    Args:
        module: A detector of `stages.yolo.build_detector`, trained; its widths may have changed since.
        spec: Goes into `model.json`.
        packages: Of the user, that define classes which `module` has.
        folder: Must not exist.

    Raises:
        ModelError: The module does more than its description and its weights say.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    fresh = build_detector(module.yaml, classes=len(spec.class_names))
    record = {
        "schema": SCHEMA,
        "yaml": module.yaml,
        "packages": list(packages),
        "widths": _changed_widths(fresh, module),
    }
    (partial / ARCHITECTURE).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    tensors = {
        name: tensor.detach().cpu().clone().contiguous() for name, tensor in module.state_dict().items()
    }
    (partial / WEIGHTS).write_bytes(to_safetensors(tensors))
    spec.save(partial)
    rebuilt = load_module(Artifact(partial, ""))
    _compare(module, rebuilt)
    torch.save(_for_ultralytics(rebuilt, spec), partial / "best.pt")
    partial.rename(folder)


def load_module(checkpoint: Artifact) -> Any:
    """Rebuild the `DetectionModel`: in eval mode, FP32, unfused, on the CPU.

    Raises:
        ModelError: The folder is not a checkpoint, or is damaged.
        UsageError: A package of the user that it needs is not there.
    """
    spec = load_model_spec(checkpoint.path)
    record = _load_architecture(checkpoint / ARCHITECTURE)
    register_modules(record["packages"])
    module = build_detector(record["yaml"], classes=len(spec.class_names))
    for name, width in record["widths"].items():
        _resize(module, name, width)
    try:
        module.load_state_dict(load_file(checkpoint / WEIGHTS), strict=True)
    except (OSError, SafetensorError, RuntimeError) as exc:
        raise ModelError(
            f"{checkpoint / WEIGHTS} does not hold the weights that {ARCHITECTURE} asks for: {exc}",
            hint="Train again, or run `pipeline store fsck` to find what else is damaged.",
        ) from exc
    module.names = dict(enumerate(spec.class_names))
    module.task = "detect"
    module.end2end = spec.output == "end2end"
    module.set_head_attr(max_det=spec.max_det)
    return module.float().eval()


def _load_architecture(path: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        newer = record["schema"] > SCHEMA
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise ModelError(
            f"{path} cannot be read as the description of a checkpoint: {exc}",
            hint="Give the checkpoint folder that training wrote.",
        ) from exc
    if newer:
        raise ModelError(
            f"{path} has format version {record['schema']}; this program reads up to {SCHEMA}.",
            hint="Update edgebound on this machine.",
        )
    return record


def _width(part: nn.Module) -> list[int] | None:
    if isinstance(part, nn.Conv2d):
        return [part.in_channels, part.out_channels, part.groups]
    if isinstance(part, nn.BatchNorm2d):
        return [part.num_features]
    return None


def _changed_widths(fresh: nn.Module, module: nn.Module) -> Widths:
    """Give the widths in which `module` differs from the `fresh` build of its description.

    Ultralytics keeps the wide class branch of pretrained weights when the number of classes changes.
    """
    before = {name: _width(part) for name, part in fresh.named_modules()}
    after = {name: _width(part) for name, part in module.named_modules()}
    return {name: width for name, width in after.items() if width and width != before.get(name)}


def _resize(module: nn.Module, name: str, width: Sequence[int]) -> None:
    parent = module.get_submodule(name.rpartition(".")[0])
    old = module.get_submodule(name)
    if isinstance(old, nn.Conv2d):
        inputs, outputs, groups = width
        new: nn.Module = nn.Conv2d(
            inputs,
            outputs,
            old.kernel_size,
            old.stride,
            old.padding,
            old.dilation,
            groups,
            old.bias is not None,
        )
    else:
        new = nn.BatchNorm2d(width[0], eps=old.eps, momentum=old.momentum)
    setattr(parent, name.rpartition(".")[2], new)


def _compare(module: nn.Module, rebuilt: nn.Module) -> None:
    """See that both answer alike, bit by bit."""
    module = module.float().cpu().eval()
    side_px = 2 * int(rebuilt.stride.max())
    images = torch.linspace(0, 1, 3 * side_px**2).reshape(1, 3, side_px, side_px)
    with torch.inference_mode():
        same = torch.equal(module(images)[0], rebuilt(images)[0])
    if not same:
        raise ModelError(
            "The model has been changed after it was built: its description and weights do not rebuild it.",
            hint="Give weights that Ultralytics trained from a YAML without changing the module by hand.",
        )


def _for_ultralytics(module: Any, spec: ModelSpec) -> Mapping[str, object]:
    """Give what Ultralytics expects in a `.pt`, with FP32 weights."""
    for cached in ("shape", "anchors", "strides"):
        vars(module.model[-1]).pop(cached, None)  # of the last input, whose size is nobody's business
    module.args = {"task": "detect", "imgsz": spec.input.width}
    return {
        "epoch": -1,
        "best_fitness": None,
        "model": module,
        "ema": None,
        "updates": None,
        "optimizer": None,
        "train_args": module.args,
        "version": ULTRALYTICS_VERSION,
        "license": "AGPL-3.0 (https://ultralytics.com/license)",
    }
