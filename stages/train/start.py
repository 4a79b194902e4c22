"""Start: the module that training begins with, from what a user calls weights."""

from __future__ import annotations

import importlib
import pickle
import re
import zipfile
from typing import TYPE_CHECKING, Any

import torch
import yaml

from stages.artifact import Artifact
from stages.checkpoint import load_module, load_provenance
from stages.widths import changed_widths, set_widths
from stages.yolo import ULTRALYTICS_VERSION, build_detector, check_detector, load_checkpoint, register_modules
from targets.errors import ModelError, UsageError
from targets.model import load_model_spec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# What a damaged or a foreign file makes of Ultralytics' loader.
LOAD_ERRORS = (
    AttributeError, AssertionError, EOFError, ImportError, IndexError, KeyError, RuntimeError, TypeError,
    ValueError, pickle.UnpicklingError,
)  # fmt: skip
LIBRARIES = frozenset(
    ("torch", "ultralytics", "numpy", "collections", "builtins", "__builtin__", "pathlib", "_codecs")
)
_SIZED = re.compile(r"yolov?\d+([nslmx])")


class Start:
    """What training starts from: a module for the data set's classes, and what to say about it.

    Attributes:
        module: A `DetectionModel` with `names`, in training mode.
        family: Architecture, as `yolo11n`.
        names: Of the classes that the weights were trained for; empty for fresh ones.
        note: Which weights were taken.
        provenance: Of a pruned model, as `stages.checkpoint` keeps it; None for others.
    """

    def __init__(
        self,
        module: Any,
        *,
        family: str,
        names: tuple[str, ...],
        note: str,
        provenance: Mapping[str, object] | None = None,
    ) -> None:
        self.module = module
        self.family = family
        self.names = names
        self.note = note
        self.provenance = provenance


def load_start(path: Path, name: str, *, class_names: tuple[str, ...], packages: tuple[str, ...]) -> Start:
    """Make the module that training begins with.

    Args:
        path: A checkpoint (`.pt`), a model description (`.yaml`), or the folder of our own checkpoint.
        name: As the user gave it; `yolo11n.yaml` says size n, whatever the file is called.
        class_names: Of the data set.
        packages: Of the user, with modules that the model has.

    Raises:
        ModelError: The checkpoint cannot be read, or is no detector.
        UsageError: The description is wrong, or `packages` cannot be imported.
    """
    register_modules(packages)
    if path.is_dir():
        start = _from_folder(path)
    elif path.suffix == ".pt":
        start = _from_weights(path, name, class_names)
    elif path.suffix in {".yaml", ".yml"}:
        start = _from_description(path, name, class_names)
    else:
        raise UsageError(
            f"`model.weights: {name}` is neither a checkpoint nor a model description.",
            hint="Give a .pt that Ultralytics trained, or a model .yaml.",
        )
    start.module.names = dict(enumerate(class_names))
    return start


def load_weights(path: Path) -> Any:
    """Read the detector of a `.pt` that Ultralytics wrote; nothing in the file is run.

    Raises:
        ModelError: The file is damaged, foreign, or needs a class that nobody named.
    """
    if not zipfile.is_zipfile(path):
        raise ModelError(
            f"{path} is truncated, or was never a PyTorch checkpoint.",
            hint="Copy or download it again; if it is something else, give a .pt that Ultralytics trained.",
        )
    try:
        module, _ = load_checkpoint(path)
    except LOAD_ERRORS as exc:
        raise _unreadable(path) from exc
    check_detector(module, str(path))
    if module.is_fused():
        raise ModelError(
            f"{path} has been fused for inference and cannot be trained or measured layer by layer.",
            hint="Give the best.pt or last.pt that training wrote.",
        )
    return module


def _from_folder(path: Path) -> Start:
    """Go on with a checkpoint of ours, whatever widths it has."""
    spec = load_model_spec(path)
    module = load_module(Artifact(path, "")).train()
    return Start(
        module,
        family=spec.family,
        names=spec.class_names,
        note=f"All weights of {spec.family} were taken over.",
        provenance=load_provenance(Artifact(path, "")),
    )


def _from_weights(path: Path, name: str, class_names: tuple[str, ...]) -> Start:
    weights = load_weights(path)
    described = str(weights.yaml.get("yaml_file") or name)
    labels = weights.names.values() if isinstance(weights.names, dict) else weights.names
    module = build_detector(weights.yaml, classes=len(class_names))
    module.names = dict(enumerate(class_names))  # classes of the same name keep their weights
    module.load(weights, verbose=False)
    old, new = weights.state_dict(), module.state_dict()
    head = f"model.{len(module.model) - 1}."
    lost = [key for key, tensor in new.items() if key not in old or old[key].shape != tensor.shape]
    if any(not key.startswith(head) for key in lost):
        return Start(
            _as_wide_as(weights, path, tuple(map(str, labels)), class_names, lost[0]),
            family=_family(described, str(weights.yaml.get("scale") or "")),
            names=tuple(map(str, labels)),
            note=f"All weights of {path.name} were taken over, in its own widths.",
            provenance={"weights": path.name},
        )
    kept = [torch.equal(old[key].float(), tensor.float()) for key, tensor in new.items() if key not in lost]
    return Start(
        module,
        family=_family(described, str(weights.yaml.get("scale") or "")),
        names=tuple(map(str, labels)),
        note=f"{sum(kept)} of {len(new)} tensors were taken over from {path.name}.",
    )


def _as_wide_as(
    weights: Any, path: Path, labels: tuple[str, ...], class_names: tuple[str, ...], first: str
) -> Any:
    """Rebuild a pruned detector; its head has the classes it was pruned with.

    Raises:
        UsageError: The data set has more or fewer classes.
        ModelError: More than its widths is not as its description says, from the tensor `first` on.
    """
    if len(labels) != len(class_names):
        raise UsageError(
            f"{path} is pruned, and knows {len(labels)} classes; the data set has {len(class_names)}.",
            hint="Train unpruned weights on this data set, and let `prune` cut them.",
        )
    module = build_detector(weights.yaml, classes=len(class_names))
    try:
        set_widths(module, changed_widths(module, weights))
        module.load_state_dict(weights.state_dict())
        module.eval()(torch.zeros(1, 3, *[2 * int(module.stride.max())] * 2))
    except LOAD_ERRORS as exc:
        raise ModelError(
            f"{path} does not have the layers that its own description asks for, from {first} on.",
            hint="Give weights as Ultralytics trained them or as `prune` cut them, for 3 colour channels.",
        ) from exc
    return module.train()


def _from_description(path: Path, name: str, class_names: tuple[str, ...]) -> Start:
    name = name or path.name
    description = _read_description(path, name)
    sized = _SIZED.search(name)
    scales = list(description.get("scales") or {})
    scale = sized.group(1) if sized else ""
    note = f"{name} starts from fresh weights."
    if scales and scale not in scales:
        if sized:
            raise UsageError(
                f"{name} has no size {scale}.",
                hint=f"Its sizes: {', '.join(scales)}; put one after the number.",
            )
        scale = scales[0]
        note = (
            f"{name} starts from fresh weights, at size {scale}: its name tells none of {', '.join(scales)}."
        )
    description |= {"yaml_file": name.rpartition("/")[2], "scale": scale}
    module = build_detector(description, classes=len(class_names))
    return Start(module, family=_family(name, scale), names=(), note=note)


def _read_description(path: Path, name: str) -> dict[str, Any]:
    try:
        description = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        raise UsageError(f"{name} is not YAML: {exc}", hint="Correct the line it names.") from exc
    missing = {"backbone", "head"} - set(description if isinstance(description, dict) else ())
    if missing or not description["head"]:
        what = " and no ".join(sorted(missing)) or "layers in its head"
        raise UsageError(
            f"{name} is no model description: it has no {what}.",
            hint="Give a model YAML such as yolo11n.yaml; a data YAML belongs into `data.path`.",
        )
    return {"nc": 80, **description}


def _family(name: str, scale: str) -> str:
    stem = name.rpartition("/")[2].rpartition(".")[0] or name
    return stem if _SIZED.search(stem) else re.sub(r"^(yolov?\d+)(?=$|-)", rf"\g<1>{scale}", stem)


def _unreadable(path: Path) -> ModelError:
    classes = sorted(_classes_in(path))
    foreign = [name for name in classes if name.partition(".")[0] not in LIBRARIES]
    if foreign:
        package = foreign[0].partition(".")[0]
        return ModelError(
            f"{path} needs {', '.join(foreign)}, which is not among the known classes.",
            hint=f"Install the package that has it here, and name it: `model.modules: [{package}]`.",
        )
    gone = [name for name in classes if name.startswith("ultralytics.") and not _exists(name)]
    if gone:
        return ModelError(
            f"{path} needs {', '.join(gone)}, which Ultralytics {ULTRALYTICS_VERSION} does not have.",
            hint="Update ultralytics, or train again with the version that is installed.",
        )
    return ModelError(
        f"{path} is a PyTorch file without a YOLO model in it.",
        hint="Give the best.pt or last.pt that Ultralytics' training wrote, not weights alone.",
    )


def _classes_in(path: Path) -> list[str]:
    """Give the classes that a checkpoint wants, without making any."""
    try:
        classes: list[str] = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        return classes
    except (RuntimeError, ValueError, pickle.UnpicklingError, EOFError):
        return []


def _exists(name: str) -> bool:
    module, _, attribute = name.rpartition(".")
    try:
        return hasattr(importlib.import_module(module), attribute)
    except ImportError:
        return False
