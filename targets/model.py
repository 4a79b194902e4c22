"""`model.json`: what a form of the model is, travelling with it from training to the edge."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Mapping, Tuple

from targets.errors import ModelError

SCHEMA = 1
FILE_NAME = "model.json"

OutputLayout = Literal["raw", "end2end"]
"""raw: (B, 4 + classes, anchors), boxes as xywh in pixels of the input, scores after sigmoid, before NMS.
end2end: (B, detections, 6), xyxy in pixels of the input, score, class; nothing left to suppress."""


@dataclass(frozen=True)
class InputSpec:
    """How a picture becomes the model's input: letterboxed, scaled to [0, 1], RGB, NCHW.

    Attributes:
        height: Of the input, in pixels.
        width: Of the input, in pixels.
        pad_value: Grey level of the letterbox borders, 0 to 255.
        scale: Factor from 0..255 to the input's range.
        colour: Order of the colour channels.
    """

    height: int
    width: int
    pad_value: int = 114  # Ultralytics' LetterBox
    scale: float = 1 / 255
    colour: Literal["rgb"] = "rgb"


@dataclass(frozen=True)
class ModelSpec:
    """Everything about a model that one needs to run it and to judge what it says.

    Attributes:
        family: Architecture, as `yolo11n`.
        class_names: By class id.
        input: How pictures go in.
        output: How detections come out.
        conf: Score under which a detection is dropped in deployment, 0 to 1.
        iou: Overlap above which NMS drops the weaker box, 0 to 1.
        max_det: Detections kept per picture.
        data_digest: Of the data set it was trained on.
        parent_digest: Of the form it was made from; empty for the first.
        schema: Version of this file's format.
    """

    family: str
    class_names: Tuple[str, ...]
    input: InputSpec
    output: OutputLayout = "raw"
    conf: float = 0.25
    iou: float = 0.7
    max_det: int = 300
    data_digest: str = ""
    parent_digest: str = ""
    schema: int = field(default=SCHEMA)

    def save(self, folder: Path) -> None:
        """Write `folder/model.json`."""
        text = json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"
        (folder / FILE_NAME).write_text(text, encoding="utf-8")


def load_model_spec(folder: Path) -> ModelSpec:
    """Read `folder/model.json`.

    Raises:
        ModelError: It is missing, broken, or of a version newer than this program.
    """
    path = folder / FILE_NAME
    try:
        record: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if record["schema"] > SCHEMA:
            raise ModelError(
                f"{path} has format version {record['schema']}; this program reads up to {SCHEMA}.",
                hint="Update edgebound on this machine.",
            )
        fields = dict(record, class_names=tuple(record["class_names"]), input=InputSpec(**record["input"]))
        return ModelSpec(**fields)
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise ModelError(
            f"{path} cannot be read as a model description: {exc}",
            hint="Give the folder that the pipeline wrote, with model.json beside the model.",
        ) from exc
