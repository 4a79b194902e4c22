"""What a detector found on one picture."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Dict, Iterator, List, Sequence, Tuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Detection:
    """One object.

    Attributes:
        left: In pixels of the picture, from its left edge.
        top: In pixels of the picture, from its upper edge.
        right: Likewise; at most the picture's width.
        bottom: Likewise; at most the picture's height.
        score: 0 to 1.
        class_id: Place in the model's class names.
        name: Of the class.
    """

    left: float
    top: float
    right: float
    bottom: float
    score: float
    class_id: int
    name: str


@dataclass(frozen=True)
class Times:
    """What a picture took, in milliseconds.

    Attributes:
        preprocess: From picture to the model's input.
        inference: Copies to and from the device included.
        postprocess: From the model's output to boxes.
    """

    preprocess: float
    inference: float
    postprocess: float

    @property
    def total(self) -> float:
        """From picture to boxes."""
        return self.preprocess + self.inference + self.postprocess


@dataclass(frozen=True, eq=False)
class Detections:
    """All objects on one picture, by falling score.

    Attributes:
        boxes: (N, 6), float32: xyxy in pixels of the picture, score, class id.
        class_names: Of the model, by class id.
        times: What it took.
    """

    boxes: "NDArray[np.float32]"
    class_names: Tuple[str, ...]
    times: Times

    def __len__(self) -> int:
        return len(self.boxes)

    def __iter__(self) -> "Iterator[Detection]":
        for left, top, right, bottom, score, class_id in self.boxes.tolist():
            yield Detection(left, top, right, bottom, score, int(class_id), self.class_names[int(class_id)])

    def only(self, names: Sequence[str]) -> "Detections":
        """Give those of some classes."""
        ids = [place for place, name in enumerate(self.class_names) if name in names]
        return Detections(self.boxes[np.isin(self.boxes[:, 5], ids)], self.class_names, self.times)

    def to_records(self) -> "List[Dict[str, object]]":
        """Give what JSON can hold: name, class_id, score and xyxy of each."""
        return [
            {
                "name": one.name,
                "class_id": one.class_id,
                "score": round(one.score, 4),
                "xyxy": [round(side, 2) for side in (one.left, one.top, one.right, one.bottom)],
            }
            for one in self
        ]
