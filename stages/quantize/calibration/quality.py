"""Quality: what a calibration set lacks, against the validation pictures that the result is judged on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from stages.box_sizes import SIZE_NAMES, sizes_of
from stages.dataset import Dataset, Picture
from stages.quantize.calibration.statistics import ZERO, Statistics
from targets.model import InputSpec

# Ranges by `mse` from n pictures of bccd-mini, drawn twice, make so much more squared error in the tensors of
# YOLOv8n than those from all 82, on average (in the worst tensor): n = 8: 2.5 % (59 %), 16: 0.9 % (21 %),
# 32: 0.4 % (8 %), 64: 0.1 % (3 %).
FEW = 32
_NAMED = 3  # of what a note is about


def notes_on_pictures(dataset: Dataset, chosen: Sequence[Picture], spec: InputSpec) -> Iterator[str]:
    """Say in which ways the chosen pictures are not like those of val.

    A picture that is in both is named only: the `data` stage refuses such sets unless it is told to go on.
    """
    if len(chosen) < FEW:
        yield (
            f"Only {len(chosen)} pictures calibrate: with fewer than {FEW} the ranges still move "
            "from one set to the next. Raise data.calibration, or take more pictures."
        )
    missing = _classes(dataset.val) - _classes(chosen)
    if missing:
        names = [dataset.class_names[one] for one in sorted(missing)]
        yield f"No calibration picture shows these classes of val: {_some(names)}."
    sizes = _sizes(dataset.val, spec) - _sizes(chosen, spec)
    if sizes:
        names = [SIZE_NAMES[one] for one in sorted(sizes)]
        yield f"No calibration picture has a {' or a '.join(names)} box, in COCO's terms, but val has."
    in_val = {picture.sha256 for picture in dataset.val}
    leaked = [picture.file for picture in chosen if picture.sha256 in in_val]
    if leaked:
        yield f"Calibration pictures that are in val too, where they flatter: {_some(leaked)}."


def _classes(pictures: Sequence[Picture]) -> set[int]:
    return {int(one) for picture in pictures for one in picture.boxes[:, 0]}


def _sizes(pictures: Sequence[Picture], spec: InputSpec) -> set[int]:
    """Give the sizes of boxes that occur, as places in `SIZE_NAMES`."""
    imgsz = max(spec.width, spec.height)
    return {int(size) for picture in pictures for size in sizes_of(picture, imgsz)}


def notes_on_values(statistics: Mapping[str, Statistics], blank: Sequence[str]) -> Iterator[str]:
    """Say which pictures and tensors are the same all over, as far as was seen.

    Args:
        statistics: By tensor.
        blank: Pictures of one colour.
    """
    if blank:
        yield f"Calibration pictures of one colour, which say nothing: {_some(blank)}."
    zero = [name for name, one in statistics.items() if max(-one.low, one.high) <= ZERO]
    if zero:
        yield f"Tensors that are 0 on all calibration pictures: {_some(zero)}."
    constant = [name for name, one in statistics.items() if one.low == one.high and name not in zero]
    if constant:
        yield f"Tensors that have the same value everywhere on all calibration pictures: {_some(constant)}."


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
