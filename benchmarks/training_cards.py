"""The tables of `docs/training.md` that say which model trains on which card.

```
python -m benchmarks.training_cards [yolov8n.yaml …]
```
prints Markdown: for each model, what training it on COCO (118,287 pictures, 640 px, mixed precision, 100
epochs) needs of a card and would take there. All of it is predicted: it measures nothing and needs no GPU.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from pipeline.gpus.catalogue import find_gpus
from pipeline.gpus.predict import Known, Placed, Task, place
from pipeline.gpus.table import row
from stages.memory import Footprint, Memory
from stages.memory.count import count
from stages.stage import no_progress
from stages.train.start import load_start
from stages.weights import find_weights

MODELS = tuple(f"{family}{size}.yaml" for family in ("yolov8", "yolo26") for size in "nsmlx")
CARDS = ("rtx3060", "rtx4090", "a6000", "a100", "h100", "h200")
CLASSES = 80
BATCH = 64  # Ultralytics' nominal batch: where it fits, nothing has to be accumulated
BOXES = 60  # COCO train2017 has 7.3 boxes a picture; this is a full one in a mosaic of four
PICTURES, VAL_PICTURES = 118_287, 5_000  # COCO 2017
HEADINGS = ("model", "card", "GiB", "needed", "largest batch", "fits", "batch", "img/s", "h/epoch", "h total")


def main(arguments: list[str]) -> None:
    """Print a table for each model."""
    gpus = find_gpus(CARDS)
    print("| " + " | ".join(HEADINGS) + " |")
    print("|---|---|" + "--:|" * (len(HEADINGS) - 2), flush=True)
    for name in arguments or MODELS:
        footprint = count_model(name)
        for card, gpu in gpus.items():
            print(_line(name, place(_task(footprint), card, gpu, Known())), flush=True)


def count_model(
    name: str, *, classes: int = CLASSES, boxes: int = BOXES, imgsz: int = 640, half: bool = True
) -> Footprint:
    """Count what training a stock model with fresh weights needs."""
    module = build_model(name, classes=classes)
    return count(Memory(imgsz=imgsz, boxes=boxes, half=half), module, no_progress)


def build_model(name: str, *, classes: int = CLASSES) -> Any:
    """Build a stock model with fresh weights."""
    with tempfile.TemporaryDirectory(prefix="edgebound-training-") as folder:
        path = find_weights(name, Path(folder), Path(folder)).path
        names = tuple(map(str, range(classes)))
        return load_start(path, name, class_names=names, packages=()).module


def _task(footprint: Footprint) -> Task:
    return Task(
        footprint=footprint,
        batch=BATCH,
        pictures=PICTURES,
        val_pictures=VAL_PICTURES,
        epochs=100,
        compute="half",
    )


def _line(name: str, placed: Placed) -> str:
    return "| " + " | ".join((name.removesuffix(".yaml"), *row(placed)[:-1])) + " |"


if __name__ == "__main__":
    main(sys.argv[1:])
