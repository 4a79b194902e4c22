"""Checkpoint: trained weights with all it takes to rebuild their module, and no pickle.

A folder of `model.safetensors` (FP32), `architecture.json`, `model.json` and, for people who go on in
Ultralytics, `best.pt`, which is called `pruned.pt` where its widths are no longer those of its description.
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
from stages.widths import Widths, changed_widths, set_widths
from stages.yolo import ULTRALYTICS_VERSION, build_detector, register_modules
from targets.errors import ModelError
from targets.model import ModelSpec, load_model_spec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SCHEMA = 2
READABLE = (1, 2)  # 1 had no provenance
ARCHITECTURE = "architecture.json"
WEIGHTS = "model.safetensors"


def save_checkpoint(
    module: nn.Module,
    *,
    spec: ModelSpec,
    packages: Sequence[str],
    folder: Path,
    provenance: Mapping[str, object] | None = None,
) -> None:
    """Write a checkpoint folder, whole or not at all.

    Args:
        module: A detector of `stages.yolo.build_detector`, trained; its widths may have changed since.
        spec: Goes into `model.json`.
        packages: Of the user, that define classes which `module` has.
        folder: Must not exist.
        provenance: How a pruned model was cut, for JSON; None for one that was not.

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
        "widths": changed_widths(fresh, module),
        "provenance": dict(provenance or {}),
    }
    (partial / ARCHITECTURE).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    tensors = {
        name: tensor.detach().cpu().clone().contiguous() for name, tensor in module.state_dict().items()
    }
    (partial / WEIGHTS).write_bytes(to_safetensors(tensors))
    spec.save(partial)
    rebuilt = load_module(Artifact(partial, ""))
    _compare(module, rebuilt)
    name = "best.pt" if provenance is None else "pruned.pt"
    torch.save(_for_ultralytics(rebuilt, spec), partial / name)
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
    _set_widths(module, record["widths"], checkpoint / ARCHITECTURE)
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


def load_packages(checkpoint: Artifact) -> tuple[str, ...]:
    """Give the packages of the user that define classes which the module has.

    Raises:
        ModelError: The folder is not a checkpoint, or is damaged.
    """
    return tuple(_load_architecture(checkpoint / ARCHITECTURE)["packages"])


def load_provenance(checkpoint: Artifact) -> dict[str, Any] | None:
    """Give how the model was pruned; None if it was not.

    Raises:
        ModelError: The folder is not a checkpoint, or is damaged.
    """
    return _load_architecture(checkpoint / ARCHITECTURE)["provenance"] or None


def _load_architecture(path: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = record["schema"]
        record.setdefault("provenance", {})
        complete = version not in READABLE or {"yaml", "packages", "widths"} <= set(record)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise ModelError(
            f"{path} cannot be read as the description of a checkpoint: {exc}",
            hint="Give the checkpoint folder that training wrote.",
        ) from exc
    if version not in READABLE:
        raise ModelError(
            f"{path} has format version {version}; this program reads {READABLE[0]} to {READABLE[-1]}.",
            hint="Update edgebound on this machine, or write the checkpoint again with this one.",
        )
    if not complete:
        raise ModelError(
            f"{path} is no complete description of a checkpoint.",
            hint="Give the checkpoint folder that training wrote.",
        )
    return record


def _set_widths(module: nn.Module, widths: Widths, path: Path) -> None:
    try:
        set_widths(module, widths)
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as exc:
        raise ModelError(
            f"{path} gives widths that its model cannot have: {exc}",
            hint="Give the checkpoint folder as pruning wrote it.",
        ) from exc


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
