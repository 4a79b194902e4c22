"""The null runtime: answers at once, with nothing found. It ships, so that a whole run can be rehearsed."""

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterator, List

from targets.errors import ModelError
from targets.model import ModelSpec, load_model_spec
from targets.profile import TargetProfile

if TYPE_CHECKING:
    from targets.runtime import Images, Infer, Output

ENGINE_NAME = "null.json"
_STRIDES = (8, 16, 32)  # of the pyramid levels of every YOLO since v3; one anchor point a cell


class NullRuntime:
    """Runs no model: each output is zeros, which decode to no detection."""

    def version(self) -> str:
        """Give the version of this runtime's engine file."""
        return "1"

    def facts(self) -> Dict[str, str]:
        """Give nothing: its engines depend on the version alone."""
        return {}

    def build(self, model: Path, profile: TargetProfile, out: Path) -> None:
        """Write `out/null.json` with the shape that the `model.json` beside `model` promises.

        Raises:
            ModelError: There is no `model.json`.
        """
        del profile
        shape = _output_shape(load_model_spec(model.parent))
        (out / ENGINE_NAME).write_text(json.dumps({"output_shape": shape}) + "\n", encoding="utf-8")

    @contextmanager
    def open(self, engine: Path, profile: TargetProfile) -> "Iterator[Infer]":
        """Load `engine/null.json`.

        Raises:
            ModelError: There is none, or it holds no shape.
        """
        del profile
        import numpy as np

        shape = _load_shape(engine / ENGINE_NAME)

        def infer(images: "Images") -> "Output":
            return np.zeros((len(images), *shape[1:]), np.float32)

        yield infer


def _output_shape(spec: ModelSpec) -> List[int]:
    if spec.output == "end2end":
        return [1, spec.max_det, 6]
    anchors = sum((spec.input.height // stride) * (spec.input.width // stride) for stride in _STRIDES)
    return [1, 4 + len(spec.class_names), anchors]


def _load_shape(path: Path) -> List[int]:
    try:
        record: Any = json.loads(path.read_text(encoding="utf-8"))
        return [int(side) for side in record["output_shape"]]
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise ModelError(f"{path} is no engine of the null runtime: {exc!r}", hint="Build it again.") from exc
