"""Agreement: two ranks have to give the gradients of one, or several would train another model than one does.

    torchrun --nproc-per-node 2 -m stages.train.agreement REQUEST.json

Runs on the CPU before training does, on the user's model and loss and small pictures. The two ranks get
unequal numbers of boxes, which tells a loss that divides by what one rank alone has. BatchNorm is frozen: its
statistics are each rank's own, here as everywhere.
"""

from __future__ import annotations

import os
import sys
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from stages.stage import no_progress
from stages.train.alignment import align
from stages.train.parallel import ALONE, Place, join, leave, wrap
from stages.yolo import DEFAULT_CFG
from targets.errors import EdgeboundError

if TYPE_CHECKING:
    from collections.abc import Mapping

LIMIT = 1e-4  # of the length of a tensor's gradient; issue 7
_SMALL = 1e-3  # of the largest: a gradient shorter than this part of it is judged by that
_PICTURES = 2  # of each rank
_BOXES = (1, 6)  # of each picture of the two ranks
_SIDES = 4  # of a picture, in strides
_SEED = 7

Gradients = dict[str, torch.Tensor]


def check_agreement(module: Any, place: Place) -> None:
    """See that this rank's and the other's gradients are, together, those of one rank with all pictures.

    Args:
        module: As training begins with it; it is not changed.
        place: One of two ranks, which have met.

    Raises:
        EdgeboundError: They are not.
    """
    classes = int(module.model[-1].nc)
    side = _SIDES * int(module.stride.max())
    pictures = torch.rand(2 * _PICTURES, 3, side, side, generator=torch.Generator().manual_seed(_SEED))
    ranks = [_batch(pictures, rank, classes) for rank in range(2)]
    together = _gradients(module, ranks[place.rank], place)
    alone = _gradients(module, _joined(ranks), ALONE)
    name, error = worst_of(together, alone)
    if not error <= LIMIT:
        raise EdgeboundError(
            f"Training is misaligned across ranks: with two, the gradient of {name} differs from one rank's"
            f" at the same batch by {error:.1%} of its length, limit {LIMIT:.2%}.",
            hint="A loss or a block of your own may divide by a number that one rank alone has, as its boxes:"
            " use torch.distributed.all_reduce on that number. Or train with train.ranks: 1.",
        )


def worst_of(found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> tuple[str, float]:
    """Give the tensor that is furthest from what it should be, and how far, as a part of its length."""
    longest = max(float(tensor.norm()) for tensor in expected.values())
    errors = {
        name: float((found[name] - tensor).norm()) / max(float(tensor.norm()), _SMALL * longest)
        for name, tensor in expected.items()
    }
    name = max(errors, key=lambda one: (errors[one] != errors[one], errors[one]))
    return name, errors[name]


def _gradients(module: Any, batch: dict[str, torch.Tensor], place: Place) -> Gradients:
    """Give what one training step would hand to the optimizer, as the trainer does it."""
    model = deepcopy(module)
    model.args = DEFAULT_CFG
    model.train()
    for part in model.modules():
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm | torch.nn.Dropout):  # noqa: SLF001
            part.eval()
    for parameter in model.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    align(model, place)
    wrapped = wrap(model, place, torch.device("cpu"))  # it has to live until the backward pass is over
    loss, _ = wrapped(batch)
    (loss.sum() * place.ranks).backward()
    return {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        for name, parameter in model.named_parameters()
    }


def _batch(pictures: torch.Tensor, rank: int, classes: int) -> dict[str, torch.Tensor]:
    count = _PICTURES * _BOXES[rank]
    generator = torch.Generator().manual_seed(_SEED + 1 + rank)
    centres = 0.25 + 0.5 * torch.rand(count, 2, generator=generator)
    return {
        "img": pictures[rank * _PICTURES : (rank + 1) * _PICTURES],
        "cls": torch.randint(classes, (count, 1), generator=generator).float(),
        "bboxes": torch.cat([centres, 0.1 + 0.3 * torch.rand(count, 2, generator=generator)], 1),
        "batch_idx": torch.arange(_PICTURES).repeat_interleave(_BOXES[rank]).float(),
    }


def _joined(batches: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    joined = {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
    indices = [batch["batch_idx"] + rank * _PICTURES for rank, batch in enumerate(batches)]
    return {**joined, "batch_idx": torch.cat(indices)}


def main(path: Path, place: Place) -> int:
    """Check as one of two ranks; give the exit code."""
    from stages.dataset import load_dataset
    from stages.train.course import Job
    from stages.train.request import FAILED, Request, tell_error
    from stages.train.session import load

    request = Request.read(path)
    dataset = load_dataset(request.inputs.index)
    job = Job(
        stage=request.stage,
        inputs=request.inputs,
        dataset=dataset,
        out=request.out,
        progress=no_progress,
        place=place,
    )
    join(place, "cpu")
    try:
        check_agreement(load(job).module, place)
    except EdgeboundError as exc:
        tell_error(path, exc)
        return FAILED
    finally:
        leave()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Place.of(os.environ)))  # noqa: TID251  (torchrun says so there)
