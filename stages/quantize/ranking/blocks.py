"""Blocks: what of a model changes its precision together, and the noise that this makes. Light to import."""

from __future__ import annotations

from dataclasses import dataclass

from stages.artifact import Artifact
from stages.quantize.ranking.cost import Load
from targets.profile import Dialect


@dataclass(frozen=True, kw_only=True)
class RankInputs:
    """What is ranked, with which pictures, for which kind of target.

    Attributes:
        onnx: The exported model.
        statistics: What `Calibrate` saw.
        index: The prepared data set.
        pictures: Its pictures.
        dialect: The Q/DQ graph that the target takes.
    """

    onnx: Artifact
    statistics: Artifact
    index: Artifact
    pictures: Artifact
    dialect: Dialect


@dataclass(frozen=True, kw_only=True)
class Block:
    """Weighted nodes that read the same activation, and so change their precision together.

    Attributes:
        name: Of the first node.
        nodes: Their names.
        sqnr_db: Signal-to-quantization-noise ratio at the head, in decibels, with this block alone in INT8.
        load: What they have to do for one picture.
    """

    name: str
    nodes: tuple[str, ...]
    sqnr_db: float
    load: Load

    @property
    def noise(self) -> float:
        """Noise by signal, as energies; that of independent blocks adds up."""
        return float(10 ** (-self.sqnr_db / 10))


@dataclass(frozen=True, kw_only=True)
class Noise:
    """What was measured of a model.

    Attributes:
        blocks: All that can be quantized, in the order of the graph.
        sqnr_db: At the head, with all blocks in INT8.
        rest: What the weighted nodes have to do that stay in float anyway.
        pictures: How many were looked at.
    """

    blocks: tuple[Block, ...]
    sqnr_db: float
    rest: Load
    pictures: int
