"""The models of `benchmarks.compression`, by the command line: baselines, pruned ones, and small ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.stored import artifacts_of, run_pipeline
from stages.artifact import Artifact
from stages.gmac import count_cost
from stages.weights import find_weights

FAMILY = "yolov8"
SMALL_WIDTH = 0.15
"""Width multiple of an unpruned model with 0.494 of the GMAC of the n size, whose own is 0.25."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How large the comparison is.

    Attributes:
        seeds: Of training; each has models of its own.
        steps: Of the optimizer for the baseline, one for each batch of 16.
        tuning: Of fine-tuning; the small model has as many as both together.
        train: Training pictures.
        val: Validation pictures.
        ratios: Of channels, at which the engine's speed is looked for.
        recipe: Other settings of the pruned model, as `prune.lr_factor=1`.
    """

    seeds: tuple[int, ...] = (0, 1, 2)
    steps: int = 3000
    tuning: int = 3000
    train: int = 2000
    val: int = 2000
    ratios: tuple[float, ...] = (0.2, 0.3, 0.4, 0.5)
    recipe: tuple[str, ...] = ()

    def settings(self, seed: int) -> tuple[str, ...]:
        """Give what all runs of a seed share."""
        return (f"demo.train={self.train}", f"demo.val={self.val}", f"train.seed={seed}")


class Bench:
    """Makes models in a folder, whose store keeps them: an interrupted benchmark goes on where it was."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder = folder
        self.plan = plan
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def _whole(self) -> tuple[str, ...]:
        return f"model.weights={FAMILY}n.yaml", f"train.steps={self.plan.steps}"

    def baseline(self, seed: int) -> dict[str, Any]:
        """Train the baseline and build its engines."""
        return self._run(seed, *self._whole, until="build")

    def pruned(self, seed: int, gmac: float) -> dict[str, Any]:
        """Cut the baseline to so many GMAC, tune it with the baseline as teacher, and verify all forms."""
        return self._run(
            seed,
            *self._whole,
            f"prune.target_gmac={gmac:.5f}",
            f"prune.steps={self.plan.tuning}",
            "build.precision=int8",
            *self.plan.recipe,
        )

    def small(self, seed: int) -> dict[str, Any]:
        """Train a narrower model from scratch, for as many steps as the baseline and its tuning have."""
        steps = self.plan.steps + self.plan.tuning
        return self._run(seed, f"model.weights={self._narrower()}", f"train.steps={steps}")

    def engines(self, cut: str, imgsz: int) -> tuple[Artifact, Artifact]:
        """Build FP32 and INT8 engines of the first seed's baseline; of a cut one too: speed needs no tuning.

        Args:
            cut: A setting of `prune`; empty for the uncut model.
            imgsz: Of the engines, in pixels; 0: as it was trained.
        """
        cuts = (cut, "prune.steps=1", "prune.distill=false") if cut else ()
        report = self._run(
            self.plan.seeds[0],
            *self._whole,
            f"export.imgsz={imgsz}",
            *cuts,
            until="build",
        )
        artifact = self.artifacts(report)
        return artifact("build openvino fp32", "engine"), artifact("build openvino int8", "engine")

    def data(self) -> tuple[Artifact, Artifact]:
        """Give the prepared data set and its pictures."""
        artifact = self.artifacts(self.baseline(self.plan.seeds[0]))
        return artifact("data check", "index"), artifact("data render", "data")

    def half_gmac(self) -> float:
        """Give the GMAC of the small model, at which all are compared; it need not be trained for that."""
        from stages.checkpoint import load_module
        from stages.yolo import build_detector

        report = self.baseline(self.plan.seeds[0])
        classes = int(load_module(self.artifacts(report)("train", "checkpoint")).model[-1].nc)
        module = build_detector({**self._narrower_description(), "scale": "n"}, classes=classes)
        return count_cost(module, side_px=report["settings"]["train"]["imgsz"]).gmac

    def artifacts(self, report: dict[str, Any]) -> Any:
        """Give a function that finds what a run made."""
        return artifacts_of(report, self.folder)

    def gmac(self, report: dict[str, Any]) -> float:
        """Count what a trained model costs a picture of the demo, in 10⁹ multiply-accumulates."""
        from stages.checkpoint import load_module

        module = load_module(self.artifacts(report)("train", "checkpoint"))
        return count_cost(module, side_px=report["settings"]["train"]["imgsz"]).gmac

    def _narrower_description(self) -> dict[str, Any]:
        stock = find_weights(f"{FAMILY}n.yaml", self.folder, self.folder).path
        description: dict[str, Any] = yaml.safe_load(stock.read_text(encoding="utf-8"))
        depth, _, most = description["scales"]["n"]
        return {**description, "scales": {"n": [depth, SMALL_WIDTH, most]}}

    def _narrower(self) -> Path:
        path = self.folder / f"{FAMILY}n-narrow.yaml"
        path.write_text(yaml.safe_dump(self._narrower_description()), encoding="utf-8")
        return path

    def _run(self, seed: int, *settings: str, until: str = "") -> dict[str, Any]:
        every = (*self.plan.settings(seed), *settings)
        stop = ("--until", until) if until else ()
        return run_pipeline(self.folder, "--demo", *(part for one in every for part in ("--set", one)), *stop)
