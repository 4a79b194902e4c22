"""Render: the demo data set, for a first run without data of one's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from annotated_types import Ge

from stages.artifact import Artifact
from stages.stage import Progress


@dataclass(frozen=True, kw_only=True)
class RenderInputs:
    """Nothing goes in."""


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """A data set.

    Attributes:
        data: Its folder, with `data.yaml`.
    """

    data: Artifact


@dataclass(frozen=True, kw_only=True)
class Render:
    """Render surface inspection pictures; the same settings give the same bytes.

    Attributes:
        train: Training pictures.
        val: Validation pictures.
        size_px: Side of a picture.
        seed: Of the random numbers.
    """

    name: ClassVar[str] = "data"
    resumes: ClassVar[bool] = False

    train: Annotated[int, Ge(1)] = 600
    val: Annotated[int, Ge(1)] = 1000
    size_px: Annotated[int, Ge(32)] = 320
    seed: Annotated[int, Ge(0)] = 0

    def run(self, inputs: RenderInputs, out: Path, progress: Progress) -> Rendered:
        """Render all pictures."""
        from stages.data.demo import render_demo

        del inputs
        folder = out / "data"
        render_demo(
            folder,
            train=self.train,
            val=self.val,
            size_px=self.size_px,
            seed=self.seed,
            progress=progress,
        )
        return Rendered(data=Artifact.of(folder))
