"""The models of `benchmarks.compression`: baselines, and unpruned ones of half their GMAC, from scratch."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from pipeline.config import Config, load_config
from stages.artifact import Artifact
from stages.data import DataInputs, Prepared
from stages.data.render import RenderInputs
from stages.stage import no_progress
from stages.train import TrainInputs
from stages.weights import find_weights

FAMILY = "yolo11n"
VAL_PICTURES = 2000
TUNE_EPOCHS = 8
"""Of pruning's fine-tuning, with an optimizer step a batch as in the baseline's own eight."""
HALF_WIDTH = 0.15
"""Width multiple of a yolo11 with 0.515 of the GMAC of yolo11n, whose own is 0.25 (`gmac_of` tells)."""


def prepare_data(work: Path) -> tuple[Config, Prepared, Artifact]:
    """Render the demo's data with 2,000 validation pictures, once."""
    config = load_config(None, [f"demo.val={VAL_PICTURES}"], demo=True, folder=work)
    assert config.demo is not None
    folder = work / "data"
    if not (folder / "done").exists():
        (folder / "render").mkdir(parents=True, exist_ok=True)
        config.demo.run(RenderInputs(), folder / "render", no_progress)
    source = Artifact.of(folder / "render" / "data")
    out = folder / "index"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    prepared = replace(config.data, imgsz=config.train.imgsz).run(DataInputs(source=source), out, no_progress)
    (folder / "done").touch()
    return config, prepared, Artifact(source.path, prepared.pictures_digest)


def checkpoint(work: Path, name: str, *, seed: int, half: bool) -> Path:
    """Train a model from scratch, or find it where it has been; give the folder of its checkpoint.

    Args:
        work: Folder that models are kept in.
        name: Of the model's folder.
        seed: Of all that is random.
        half: Half the GMAC, and as many steps as a baseline and its fine-tuning have together.
    """
    out = work / name
    if (out / "checkpoint").exists():
        return out / "checkpoint"
    config, data, pictures = prepare_data(work)
    out.mkdir(parents=True, exist_ok=True)
    weights = half_model(out) if half else find_weights(f"{FAMILY}.yaml", out, out).path
    epochs = config.train.epochs + (TUNE_EPOCHS if half else 0)
    stage = replace(config.train, epochs=epochs, seed=seed, weights=weights.name)
    inputs = TrainInputs(index=data.index, pictures=pictures, weights=Artifact.of(weights))
    stage.run(inputs, out, _say)
    return out / "checkpoint"


def half_model(folder: Path) -> Path:
    """Write the description of a yolo11 with half the GMAC of yolo11n."""
    stock = find_weights(f"{FAMILY}.yaml", folder, folder).path
    description: dict[str, Any] = yaml.safe_load(stock.read_text(encoding="utf-8"))
    depth, _, most = description["scales"]["n"]
    description["scales"] = {"n": [depth, HALF_WIDTH, most]}
    path = folder / f"{FAMILY}-half.yaml"
    path.write_text(yaml.safe_dump(description), encoding="utf-8")
    return path


def gmac_of(module: Any, imgsz: int) -> float:
    """Give 10^9 multiply-adds of a picture, as Ultralytics counts them."""
    from ultralytics.utils.torch_utils import get_flops

    return float(get_flops(module, imgsz)) / 2


def _say(done: float, total: float, note: str = "") -> None:
    if note and done == int(done):
        print(f"  {note}", file=sys.stderr, flush=True)
