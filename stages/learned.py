"""Learned ranges: which values each layer was trained to keep in INT8, as a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.artifact import Artifact
from targets.errors import DataError

SCHEMA = 1
FILE = "ranges.json"


@dataclass(frozen=True, kw_only=True)
class LayerRange:
    """What of a layer keeps within 8 bits; symmetric about 0.

    Attributes:
        inputs: Largest magnitude of what the layer reads.
        weights: Largest magnitude of each output channel of its weights, normalisation folded in; empty
            where training had several convolutions that are one in the exported model.
    """

    inputs: float
    weights: tuple[float, ...] = ()


Learned = Mapping[str, LayerRange]
"""By name of the layer, as `model.0.conv`."""


def save_learned(learned: Learned, folder: Path) -> Artifact:
    """Write `ranges.json` into a new folder."""
    folder.mkdir()
    layers = {name: [one.inputs, list(one.weights)] for name, one in learned.items()}
    text = json.dumps({"schema": SCHEMA, "layers": layers}, indent=1, sort_keys=True)
    (folder / FILE).write_text(text + "\n", encoding="utf-8")
    return Artifact.of(folder)


def load_learned(artifact: Artifact) -> Learned:
    """Read what `save_learned` wrote.

    Raises:
        DataError: It is missing, broken, or of another version.
    """
    try:
        record: dict[str, Any] = json.loads((artifact / FILE).read_text(encoding="utf-8"))
        version = record["schema"]
        learned = {
            name: LayerRange(inputs=float(inputs), weights=tuple(map(float, weights)))
            for name, (inputs, weights) in record["layers"].items()
        }
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as exc:
        raise DataError(
            f"{artifact.path} cannot be read as the ranges of quantization-aware training: {exc}",
            hint="Run `pipeline store fsck`, then the run again.",
        ) from exc
    if version != SCHEMA:
        raise DataError(
            f"{artifact.path} has format version {version}; this program reads {SCHEMA}.",
            hint="Use the version of edgebound that wrote it, or run the pipeline again.",
        )
    return learned
