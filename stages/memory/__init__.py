"""Memory: what training a detector takes of a GPU and asks of it, without a GPU.

For a batch of B pictures it is

    weights + gradients + EMA + optimizer state + step(B)

The first four are 4 bytes a parameter each, the optimizer's as many times as it keeps values
(`stages.memory.count`); mixed precision changes none of them, as weights stay FP32 there (PyTorch's AMP;
Micikevicius et al. 2018). `step(B)` is all that forward, loss and backward allocate, at the moment when that
is most: what autograd keeps, the half precision copies of AMP, cuDNN's workspaces, the loss's own tensors of
boxes × anchors. It is recorded operator by operator on the model itself, and played to PyTorch's caching
allocator (`stages.memory.allocator`), since what a card must have is what the allocator reserves. Not in it:
the CUDA context, and a teacher where one teaches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar

from annotated_types import Ge

from stages.artifact import Artifact
from stages.stage import Progress

__all__ = ["Footprint", "Memory", "MemoryInputs", "Need", "Work"]


@dataclass(frozen=True, kw_only=True)
class MemoryInputs:
    """What is to be trained.

    Attributes:
        checkpoint: As `stages.checkpoint` writes it.
        index: Prepared data set, to see how full its pictures are; None where `Memory.boxes` says it.
    """

    checkpoint: Artifact
    index: Artifact | None = None


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a batch takes of the GPU.

    Attributes:
        batch: Pictures at once.
        allocated: Bytes in tensors, at most.
        reserved: Bytes that PyTorch's allocator takes for them; what the card must have.
    """

    batch: int
    allocated: int
    reserved: int


@dataclass(frozen=True, kw_only=True)
class Work:
    """Kernels of about the same FLOP per byte, summed up for one picture.

    Attributes:
        flop: Of matrix products and convolutions, a multiply-add as two.
        traffic: Bytes read and written.
    """

    flop: float
    traffic: float


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """What training takes and asks.

    Attributes:
        parameters: How many the model has.
        boxes: In the fullest picture of a batch, as counted with.
        weights: Bytes; gradients and EMA are as many each.
        optimizer: Bytes of its state.
        needs: By rising batch.
        works: By rising FLOP per byte.
        kernels: Launched in one step.
    """

    parameters: int
    boxes: int
    weights: int
    optimizer: int
    needs: tuple[Need, ...]
    works: tuple[Work, ...]
    kernels: int


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Count what training needs.

    Attributes:
        imgsz: Side of the square input, in pixels; the largest where it changes.
        half: Mixed precision.
        boxes: In the fullest picture of a batch, to which the loss pads all others; 0 takes the data set's.
        mosaic: Pictures are put together from four.
        optimizer: As `Train.optimizer`.
    """

    name: ClassVar[str] = "train"
    resumes: ClassVar[bool] = False

    imgsz: int = 640
    half: bool = True
    boxes: Annotated[int, Ge(0)] = 0
    mosaic: bool = True
    optimizer: str = "auto"

    def run(self, inputs: MemoryInputs, out: Path, progress: Progress) -> Footprint:
        """Record two training steps on fake tensors, and play them to the allocator.

        Raises:
            ModelError: The checkpoint cannot be read, or the model does one thing or another by values.
        """
        from stages.checkpoint import load_module
        from stages.memory.count import count, fullest

        del out
        boxes = self.boxes or (fullest(inputs.index, mosaic=self.mosaic) if inputs.index else 1)
        return count(replace(self, boxes=boxes), load_module(inputs.checkpoint), progress)
