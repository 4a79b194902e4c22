"""Alignment: the loss of several ranks is the loss of one, at the same batch over all ranks.

Ultralytics' loss divides what a rank's pictures lost by the target scores of these pictures alone. So a box
counts more on a rank that has fewer of them, and the gradient is not that of one rank with all pictures. Here
the sum of scores is taken over all ranks. By how much it is off otherwise: docs/slurm.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from stages.yolo import E2ELoss, v8DetectionLoss

if TYPE_CHECKING:
    from stages.train.parallel import Place


class AlignedLoss(v8DetectionLoss):  # type: ignore[misc]  # its types are not followed
    """Ultralytics' loss, which divides by the target scores of all ranks.

    The trainer multiplies by the ranks, and the gradient is the mean over them.
    """

    def __init__(self, model: Any, **settings: Any) -> None:
        super().__init__(model, **settings)
        self.scores = torch.zeros((), device=self.device)
        self.assigner.register_forward_hook(self._keep_scores)

    def _keep_scores(self, assigner: object, inputs: object, outputs: tuple[torch.Tensor, ...]) -> None:
        del assigner, inputs
        self.scores = outputs[2].sum()

    def loss(self, preds: Any, batch: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Give the loss of this rank's pictures as a part of all ranks'."""
        loss, items = super().loss(preds, batch)
        if not torch.is_grad_enabled():  # validation, which rank 0 does alone
            return loss, items
        mine = torch.stack([self.scores.float(), self.scores.new_tensor(len(batch["img"])).float()])
        total = mine.clone()
        torch.distributed.all_reduce(total)
        # As Ultralytics has it, less than one score counts as one.
        share = mine[0].clamp(min=1) / total[0].clamp(min=1) * total[1] / mine[1]
        return loss * share, items


def align(model: Any, place: Place) -> None:
    """Give a model the loss that goes with several ranks, if its loss is Ultralytics' own.

    Another may be right as it is; `stages.train.agreement` finds out.
    """
    stock = model.init_criterion()
    if place.ranks > 1 and type(stock) is v8DetectionLoss:
        stock = AlignedLoss(model)
    elif place.ranks > 1 and type(stock) is E2ELoss and type(stock.one2many) is v8DetectionLoss:
        stock = E2ELoss(model, AlignedLoss)
    model.criterion = stock
