"""Detector: an engine folder that takes pictures and gives boxes, with numpy, OpenCV and its runtime."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Dict, Iterable, Iterator, Optional, Tuple, Type, Union, cast

import cv2
import numpy as np

from targets.detections import Detections, Times
from targets.engine import Manifest, open_engine
from targets.errors import DataError, UsageError
from targets.model import ModelSpec, load_model_spec
from targets.postprocess import decode
from targets.preprocess import letterbox
from targets.release.admit import admit
from targets.release.place import find_place
from targets.runtimes import find_runtime

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from targets.runtime import Infer

__all__ = ["Detector"]


class Detector:
    """An engine, loaded. Use it in a `with` block, from one thread at a time.

    ```
    with Detector.open("engine/") as detector:
        for found in detector(picture):
            print(found.name, found.score)
    ```

    Attributes:
        spec: Of the model, with the thresholds that are used.
        manifest: Of the engine: its runtime, precision and target.
    """

    def __init__(self, infer: "Infer", spec: ModelSpec, manifest: Manifest, closing: ExitStack) -> None:
        """Take a loaded engine; `open` is the way to get one."""
        self.spec = spec
        self.manifest = manifest
        self._infer = infer
        self._closing = closing
        self._images = np.empty((1, 3, spec.input.height, spec.input.width), np.float32)
        self._blank = np.zeros((spec.input.height, spec.input.width, 3), np.uint8)

    @classmethod
    def open(
        cls,
        folder: Union[str, Path],
        *,
        conf: Optional[float] = None,
        iou: Optional[float] = None,
        max_det: Optional[int] = None,
        trust: Union[str, Path, None] = None,
        allow_unsigned: bool = False,
    ) -> "Detector":
        """See who signed an engine, hold every file of it against its manifest, and load it.

        Args:
            folder: That a release was pulled to, or one release in it, or what a run left in `.edgebound`.
            conf: Score under which a box is dropped, 0 to 1; by default what the release was judged with.
            iou: Overlap above which the weaker box goes, 0 to 1; likewise.
            max_det: Boxes that are kept at most; likewise.
            trust: Policy that says whose signatures count; by default the user's or the machine's.
            allow_unsigned: Take an engine that nobody signed, or a release where there is no policy.

        Raises:
            TrustError: Nobody signed it, or nobody whom the policy trusts.
            ModelError: A file is missing, changed or not listed, or is no engine of its runtime.
            EvidenceError: The engine's runtime is not installed here.
            UsageError: A threshold is out of its range.
        """
        place = find_place(Path(folder))
        admit(place, Path(trust) if trust else None, allow_unsigned=allow_unsigned)
        path = place.engine
        manifest = open_engine(path)
        spec = _with_thresholds(load_model_spec(path), conf, iou, max_det)
        with ExitStack() as stack:
            infer = stack.enter_context(find_runtime(manifest.runtime).open(path, manifest.profile))
            return cls(infer, spec, manifest, stack.pop_all())

    def __enter__(self) -> "Detector":  # noqa: PYI034  (typing.Self is of Python 3.11)
        return self

    def __exit__(
        self,
        kind: "Optional[Type[BaseException]]",
        value: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the engine's memory back."""
        self._closing.close()

    def warm_up(self, calls: int = 3) -> None:
        """Run a black picture, so that the first real one does not wait for the runtime to settle."""
        for _ in range(calls):
            self(self._blank)

    def __call__(self, picture: "NDArray[np.uint8]") -> Detections:
        """Find objects.

        Args:
            picture: (H, W, 3), BGR as OpenCV reads it; grey (H, W) is taken too.

        Raises:
            DataError: It is no picture of that kind.
            ModelError: The engine answers with something else than its description says.
        """
        began = perf_counter()
        images, placement = letterbox(_checked(picture), self.spec.input, self._images)
        prepared = perf_counter()
        output = self._infer(images)
        inferred = perf_counter()
        boxes = decode(output, self.spec, placement)
        done = perf_counter()
        times = Times(1e3 * (prepared - began), 1e3 * (inferred - prepared), 1e3 * (done - inferred))
        return Detections(boxes, self.spec.class_names, times)

    def each(self, pictures: "Iterable[NDArray[np.uint8]]") -> Iterator[Detections]:
        """Find objects on each of several pictures, one after another as they are asked for."""
        return map(self, pictures)


def _with_thresholds(
    spec: ModelSpec, conf: Optional[float], iou: Optional[float], max_det: Optional[int]
) -> ModelSpec:
    given: Dict[str, Any] = {"conf": conf, "iou": iou, "max_det": max_det}
    asked = {name: value for name, value in given.items() if value is not None}
    for name, value in asked.items():
        if not (value >= 1 if name == "max_det" else 0 <= value <= 1):
            raise UsageError(
                f"{name} is {value}.",
                hint="max_det is 1 or more." if name == "max_det" else f"{name} is between 0 and 1.",
            )
    return replace(spec, **asked)


def _checked(picture: Any) -> "NDArray[np.uint8]":
    """Give a picture of three channels.

    Raises:
        DataError: It is none.
    """
    shape: Tuple[int, ...] = getattr(picture, "shape", ())
    if getattr(picture, "dtype", None) != np.uint8 or len(shape) not in {2, 3} or 0 in shape:
        kind = f"{picture.dtype} {shape}" if shape else type(picture).__name__
        raise DataError(
            f"A picture is an array (height, width, 3) of uint8, BGR; this is {kind}.",
            hint="Read it with cv2.imread; None means that the file is missing or broken.",
        )
    if len(shape) == 2:
        return cast("NDArray[np.uint8]", cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR))
    if shape[2] != 3:
        raise DataError(
            f"A picture has three channels, BGR; this one has {shape[2]}.",
            hint="Drop an alpha channel: picture[:, :, :3].",
        )
    return cast("NDArray[np.uint8]", picture)
