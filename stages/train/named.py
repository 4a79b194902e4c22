"""Named: a checkpoint or a model description that a user names, with classes and size of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from stages.artifact import Artifact
from stages.checkpoint import save_checkpoint
from stages.train.start import load_start, load_weights
from targets.errors import UsageError
from targets.model import InputSpec, ModelSpec

if TYPE_CHECKING:
    from pathlib import Path

IMGSZ = 640  # Ultralytics' default


def save_named(path: Path, folder: Path) -> Artifact:
    """Write the checkpoint folder of a `.pt`, or of a `.yaml` with fresh weights.

    Args:
        path: As Ultralytics writes it.
        folder: Must not exist.

    Raises:
        ModelError: The checkpoint cannot be read, or is no detector.
        UsageError: The description is wrong.
    """
    class_names, imgsz = _of_weights(path) if path.suffix == ".pt" else _of_description(path)
    start = load_start(path, path.name, class_names=class_names, packages=())
    spec = ModelSpec(
        family=start.family,
        class_names=class_names,
        input=InputSpec(height=imgsz, width=imgsz),
        output="end2end" if start.module.end2end else "raw",
    )
    save_checkpoint(start.module, spec=spec, packages=(), folder=folder)
    return Artifact.of(folder)


def _of_weights(path: Path) -> tuple[tuple[str, ...], int]:
    weights = load_weights(path)
    names = weights.names.values() if isinstance(weights.names, dict) else weights.names
    settings = weights.args if isinstance(getattr(weights, "args", None), dict) else {}
    imgsz = settings.get("imgsz", IMGSZ)
    return tuple(map(str, names)), imgsz if isinstance(imgsz, int) and imgsz > 0 else IMGSZ


def _of_description(path: Path) -> tuple[tuple[str, ...], int]:
    try:
        description: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as exc:
        raise UsageError(f"{path} cannot be read as YAML: {exc}", hint="Give a model description.") from exc
    classes = description.get("nc", 80) if isinstance(description, dict) else 80
    return tuple(f"class {number}" for number in range(classes if isinstance(classes, int) else 80)), IMGSZ
