"""Size up: count what a configured training needs, and place it on cards."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.config import Config
from pipeline.gpus import Wish
from pipeline.gpus.catalogue import find_gpus
from pipeline.gpus.measured import measured_rates
from pipeline.gpus.predict import NOMINAL_BATCH, Compute, Known, Placed, Task, place
from pipeline.plan import prepare_data, train_inputs
from pipeline.runner import Runner
from stages.memory import Footprint, Memory, MemoryInputs
from stages.train import Train
from stages.train.sketch import Sketch
from targets.errors import UsageError

STRIDE = 32  # of all YOLOs; multi-scale training takes multiples of it


@dataclass(frozen=True, kw_only=True)
class SizedUp:
    """A training, and how it would go on each card.

    Attributes:
        model: As the configuration names it.
        imgsz: Largest side, in pixels.
        compute: Precision of matrix products.
        boxes: In the fullest picture of a batch.
        pictures: To train on.
        epochs: Of the training.
        footprint: What it takes and asks.
        cards: In the order asked for.
    """

    model: str
    imgsz: int
    compute: Compute
    boxes: int
    pictures: int
    epochs: int
    footprint: Footprint
    cards: tuple[Placed, ...]


def size_up(config: Config, wish: Wish, runner: Runner, *, folder: Path) -> SizedUp:
    """Count, and place.

    Args:
        config: Of the run.
        wish: Cards, and what is known of them.
        runner: Checks the data set, builds the model and counts, each once.
        folder: Of the project.

    Raises:
        UsageError: A card is not known, or a rate or price has another form.
    """
    gpus = find_gpus(wish.cards)
    stated = parse_figures(wish.rates, gpus, "--rate")
    prices = parse_figures(wish.prices, gpus, "--price")
    data, pictures = prepare_data(config, runner, folder=folder)
    sketch = Sketch(weights=config.model.weights, imgsz=config.train.imgsz)
    inputs = train_inputs(config, data, pictures, folder)
    checkpoint = runner(sketch, inputs, label="untrained").checkpoint
    stage = memory_stage(config.train)
    footprint = runner(stage, MemoryInputs(checkpoint=checkpoint, index=data.index), label="memory")
    task = Task(
        footprint=footprint,
        batch=asked_batch(config.train),
        nominal=int(_override(config.train, "nbs", NOMINAL_BATCH)),
        pictures=data.train_pictures,
        val_pictures=data.val_pictures,
        epochs=config.train.epochs,
        compute=compute_of(config.train),
    )
    measured = measured_rates(
        runner.store, gpus, weights=inputs.weights.digest, imgsz=config.train.imgsz, compute=task.compute
    )
    rates = {name: Known(rate_img_s=rate, rate="measured") for name, rate in measured.items()}
    rates |= {name: Known(rate_img_s=rate, rate="stated") for name, rate in stated.items()}
    return SizedUp(
        model=config.model.weights,
        imgsz=stage.imgsz,
        compute=task.compute,
        boxes=footprint.boxes,
        pictures=task.pictures,
        epochs=task.epochs,
        footprint=footprint,
        cards=tuple(
            place(task, name, gpu, replace(rates.get(name, Known()), usd_per_hour=prices.get(name)))
            for name, gpu in gpus.items()
        ),
    )


def memory_stage(train: Train) -> Memory:
    """Give the count that fits the settings of training."""
    return Memory(
        imgsz=largest_side(train.imgsz, _override(train, "multi_scale", 0.0)),
        half=compute_of(train) == "half",
        mosaic=_override(train, "mosaic", 1.0) > 0,
        optimizer=train.optimizer,
    )


def compute_of(train: Train) -> Compute:
    """Give the precision of matrix products; `auto` mostly ends in mixed."""
    if train.amp in {False, "fp32"}:
        return "fp32"
    return "tf32" if train.amp == "tf32" else "half"


def largest_side(imgsz: int, multi_scale: float) -> int:
    """Give the largest side that Ultralytics' trainer draws, as `DetectionTrainer.preprocess_batch` does."""
    if not multi_scale:
        return imgsz
    return (int(imgsz * (1 + multi_scale) + STRIDE) - 1) // STRIDE * STRIDE


def asked_batch(train: Train) -> int:
    """Give the batch that is asked for; 0 where it is to be found."""
    return train.batch if isinstance(train.batch, int) and train.batch > 0 else 0


def parse_figures(texts: Sequence[str], cards: Collection[str], option: str) -> dict[str, float]:
    """Read `a100=2.1`, or `2.1` for all cards.

    Raises:
        UsageError: One has another form, or names a card that is not asked for.
    """
    found: dict[str, float] = {}
    for text in texts:
        name, _, figure = text.rpartition("=")
        names = [name.lower()] if name else list(cards)
        try:
            value = float(figure)
        except ValueError:
            value = 0.0
        if not 0 < value < math.inf or not set(names) <= set(cards):
            raise UsageError(
                f"{option} {text}: a number above 0 is expected, or one of the cards asked for with it.",
                hint=f"For example {option} {next(iter(cards))}=2.5.",
            )
        found |= dict.fromkeys(names, value)
    return found


def _override(train: Train, key: str, default: float) -> float:
    value = train.overrides.get(key, default)
    return float(value) if isinstance(value, (int, float)) else default
