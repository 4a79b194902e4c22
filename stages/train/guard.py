"""Guard: sees the loss of each batch, and stops training that has come off its rails."""

from __future__ import annotations

import math
import statistics
from collections import deque
from typing import TYPE_CHECKING

from targets.errors import EdgeboundError

if TYPE_CHECKING:
    from collections.abc import Sequence

AMP_PATIENCE = 10  # batches; GradScaler gets over a loss that overflows now and then
# A batch without objects may well cost a hundred times another, since its loss is divided by 1 instead of by
# what the objects weigh. Ten in a row are no accident; nobody has been seen to come back from there.
EXPLOSION = 100.0
EXPLOSION_PATIENCE = 10
_REMEMBERED = 200
_ENOUGH = 50  # batches before the median means something
_SHOWN = 8


class LossGuard:
    """Judges the losses of a run, one after the other.

    Attributes:
        mixed: Mixed precision with a scaler, which leaves out a step whose gradients overflow.
    """

    def __init__(self, *, mixed: bool) -> None:
        self.mixed = mixed
        self._recent: deque[float] = deque(maxlen=_REMEMBERED)
        self._not_finite = 0
        self._too_large = 0

    def see(self, loss: float, *, where: str, files: Sequence[str]) -> None:
        """Take note of a batch's loss.

        Args:
            loss: Of one picture, in the mean.
            where: Step and epoch, for the message.
            files: Pictures of the batch.

        Raises:
            EdgeboundError: It is no number, or it has exploded.
        """
        if not math.isfinite(loss):
            self._not_finite += 1
            if self._not_finite >= (AMP_PATIENCE if self.mixed else 1):
                raise diverged(f"the loss is {loss} {where}", files, mixed=self.mixed)
            return
        self._not_finite = 0
        usual = statistics.median(self._recent) if len(self._recent) >= _ENOUGH else math.inf
        if loss <= EXPLOSION * usual:
            self._too_large = 0
            self._recent.append(loss)
            return
        self._too_large += 1
        if self._too_large >= EXPLOSION_PATIENCE:
            what = f"the loss has been over {EXPLOSION:.0f} times its usual {usual:.3g} for {self._too_large}"
            raise diverged(f"{what} batches: {loss:.3g} {where}", files, mixed=self.mixed)


def diverged(what: str, files: Sequence[str], *, mixed: bool) -> EdgeboundError:
    """Make the error of a training that diverged."""
    shown = ", ".join(files[:_SHOWN]) + (f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else "")
    pictures = f" The batch had {shown}." if files else ""
    return EdgeboundError(
        f"Training diverged: {what}.{pictures}",
        hint="Lower train.lr0 (and set train.optimizer, since auto chooses its own rate)"
        + (", or set train.amp to bf16 or fp32" if mixed else "")
        + ("; look at the labels of these pictures first." if files else "."),
    )
