"""The pictures of a kit: read ahead, put into the model's input, and what was found on them."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Deque, Iterator, List, Sequence, Tuple

from targets.errors import DataError
from targets.kit import Kit
from targets.model import InputSpec, ModelSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from targets.preprocess import Placement
    from targets.runtime import Images, Infer

_TIMED = 8  # enough for inputs to differ, few enough to stay in memory
_AHEAD = 4  # pictures in memory before their turn: boards have little of it


def timed_images(folder: Path, kit: Kit, spec: InputSpec) -> "List[Images]":
    """Give a few pictures from all over the set, as the engines take them.

    Raises:
        DataError: One cannot be read.
    """
    from targets.preprocess import letterbox

    step = -(-len(kit.pictures) // _TIMED)
    return [letterbox(read_picture(folder / "pictures" / name), spec)[0] for name in kit.pictures[::step]]


def read_picture(path: Path) -> "NDArray[np.uint8]":
    """Read the pixels as (H, W, 3), BGR, turned as EXIF says.

    Raises:
        DataError: The file is gone or does not decode.
    """
    import cv2
    import numpy as np

    pixels = None
    try:
        content = path.read_bytes()
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
    except (OSError, cv2.error) as exc:
        raise DataError(f"{path} cannot be read: {exc}", hint="Copy the kit to the board again.") from exc
    if pixels is None:
        raise DataError(
            f"{path} cannot be decoded.", hint="Check that OpenCV on this board reads this format."
        )
    found: NDArray[np.uint8] = pixels
    return found


def detect(
    infer: "Infer",
    spec: ModelSpec,
    pictures: Sequence[Path],
    *,
    out: Path,
    progress: Callable[[float, float], None],
) -> int:
    """Run an engine over pictures, as validation does, and write what it finds.

    Args:
        infer: The engine; called in this thread alone, which CUDA contexts want.
        spec: Its input and output, down to which score, by which NMS and how many it is to find.
        pictures: At least one.
        out: For counts (P,), boxes (N, 6) and nonfinite, as `stages.evaluation.detect.Detections` are saved.
        progress: Told after each picture.

    Returns:
        Pictures to which it answered NaN or infinity.

    Raises:
        DataError: A picture cannot be read.
        ModelError: The engine does not answer as `spec` says.
    """
    import numpy as np

    from targets.postprocess import decode

    rows: List[NDArray[np.float32]] = []
    nonfinite = 0
    for images, placement in _read_ahead(pictures, spec.input):
        output = infer(images)
        rows.append(decode(output, spec, placement, multi_label=True))
        nonfinite += not np.isfinite(output).all()
        progress(len(rows), len(pictures))
    counts = np.array([len(found) for found in rows], np.int32)
    np.savez(out, counts=counts, boxes=np.concatenate(rows), nonfinite=nonfinite)
    return nonfinite


def _read_ahead(pictures: Sequence[Path], spec: InputSpec) -> "Iterator[Tuple[Images, Placement]]":
    from targets.preprocess import letterbox

    def prepare(path: Path) -> "Tuple[Images, Placement]":
        return letterbox(read_picture(path), spec)

    waiting: Deque[Any] = deque()  # futures; Python 3.8 cannot say of what
    with ThreadPoolExecutor(2) as threads:
        for path in pictures:
            waiting.append(threads.submit(prepare, path))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
