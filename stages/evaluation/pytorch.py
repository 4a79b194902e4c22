"""The PyTorch form of a model, as a function from images to outputs: the baseline of the ladder."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from stages.checkpoint import load_module

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from stages.artifact import Artifact
    from targets.runtime import Infer


@contextmanager
def open_checkpoint(model: Artifact) -> Iterator[Infer]:
    """Load a checkpoint folder; the context gives a function that answers as its `model.json` says, in FP32.

    It runs on a GPU where there is one, without TF32.

    Raises:
        ModelError: The folder is not a checkpoint, or is damaged.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    module = load_module(model).to(device)
    tf32 = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False

    def infer(images: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            output: NDArray[np.float32] = module(torch.from_numpy(images).to(device))[0].cpu().numpy()
        return output

    try:
        yield infer
    finally:
        torch.backends.cudnn.allow_tf32 = tf32
