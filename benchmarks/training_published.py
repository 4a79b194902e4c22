"""Published figures of training with Ultralytics, and how far our predictions are from them.

```
python -m benchmarks.training_published
```
prints Markdown. Others measured these, on cards that this project has none of; logs in public repositories
tell the batch, the side, the classes and the card. Memory is Ultralytics' GPU_mem: what PyTorch reserved.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.training_cards import count_model
from pipeline.gpus.catalogue import find_gpus
from pipeline.gpus.predict import CONTEXT_BYTES, GIB, Task, needed_bytes, predicted_rate
from stages.memory import Footprint


@dataclass(frozen=True, kw_only=True)
class Published:
    """A training that somebody ran.

    Attributes:
        model: Its description.
        card: In our catalogue.
        batch: Pictures at once.
        reserved_gib: Held by PyTorch's allocator at most.
        classes: Of the data set.
        boxes: In the fullest picture of a batch; guessed from the log's instances.
        imgsz: Side, in pixels.
        img_s: Pictures a second, where the card and not the loading was the limit; else None.
        source: Where the log is.
    """

    model: str
    card: str
    batch: int
    reserved_gib: float
    classes: int
    boxes: int
    imgsz: int = 640
    img_s: float | None = None
    source: str


PUBLISHED = (
    Published(model="yolov8n.yaml", card="t4", batch=16, reserved_gib=2.19, classes=2, boxes=6,
              source="log of 8.3.58, torch 2.5.1, 23 pictures"),
    Published(model="yolov8n.yaml", card="t4", batch=16, imgsz=1280, reserved_gib=10.4, classes=80, boxes=60,
              source="log of 8.0.227, torch 2.1.0, coco128 (11.2 GB, by 10⁹)"),
    Published(model="yolo11s.yaml", card="rtx3090", batch=8, reserved_gib=2.34, classes=3, boxes=6, img_s=133,
              source="log of 8.3.74, torch 2.5.1, 12,824 pictures"),
    Published(model="yolo11m.yaml", card="rtx3090", batch=8, reserved_gib=4.64, classes=3, boxes=6, img_s=78,
              source="log of 8.3.74, torch 2.5.1, 12,824 pictures"),
    Published(model="yolo11m.yaml", card="rtx3090", batch=25, reserved_gib=13.1, classes=3, boxes=6, img_s=98,
              source="log of 8.3.74, torch 2.5.1, 12,824 pictures"),
    Published(model="yolo11x.yaml", card="a100-40gb", batch=16, reserved_gib=16.5, classes=1, boxes=12,
              img_s=65, source="log of 8.3.55, torch 2.5.1, 440 pictures"),
    Published(model="yolo26x.yaml", card="a100-40gb", batch=32, reserved_gib=32.1, classes=2, boxes=12,
              img_s=67, source="log of 8.4.70, torch 2.11, 13,423 pictures in RAM"),
)  # fmt: skip
HEADINGS = (
    "model", "card", "batch", "side", "GiB predicted", "published", "off",
    "img/s predicted", "published", "off", "source",
)  # fmt: skip


def main() -> None:
    """Print predicted beside published."""
    print("| " + " | ".join(HEADINGS) + " |")
    print("|---|---|" + "--:|" * (len(HEADINGS) - 3) + "---|", flush=True)
    footprints: dict[tuple[str, int, int, int], Footprint] = {}
    for one in PUBLISHED:
        key = (one.model, one.classes, one.boxes, one.imgsz)
        if key not in footprints:
            footprints[key] = count_model(one.model, classes=one.classes, boxes=one.boxes, imgsz=one.imgsz)
        print("| " + " | ".join(_cells(one, footprints[key])) + " |", flush=True)


def _cells(one: Published, footprint: Footprint) -> Iterator[str]:
    predicted = (needed_bytes(footprint, one.batch) - CONTEXT_BYTES) / GIB
    yield from (one.model.removesuffix(".yaml"), one.card, str(one.batch), str(one.imgsz))
    yield from (
        f"{predicted:.2f}",
        f"{one.reserved_gib:g}",
        f"{100 * (predicted / one.reserved_gib - 1):+.0f} %",
    )
    if one.img_s is None:
        yield from ("", "", "")
    else:
        task = Task(footprint=footprint, batch=one.batch)
        rate = predicted_rate(task, find_gpus([one.card])[one.card], one.batch)
        yield from (f"{rate:.0f}", f"{one.img_s:g}", f"{100 * (rate / one.img_s - 1):+.0f} %")
    yield one.source


if __name__ == "__main__":
    main()
