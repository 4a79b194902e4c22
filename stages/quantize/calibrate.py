"""Calibration: from the values that tensors take on real pictures to the scales of their INT8 forms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.artifact import Artifact
from stages.dataset import Picture, read_picture
from stages.stage import Progress
from targets.errors import DataError, ModelError
from targets.model import InputSpec
from targets.preprocess import letterbox

Q_MAX = 127  # symmetric INT8 uses -127 … 127
_BINS = 2048
_SAMPLE = 1 << 16  # values of one tensor and picture that are looked at; a stride picks them evenly
_ZERO = 1e-30  # magnitudes below are zero: FP32 could not divide by their scale


@dataclass(frozen=True)
class CalibrationPictures:
    """The calibration set."""

    root: Artifact
    chosen: Sequence[Picture]

    def images(self, spec: InputSpec) -> Iterator[NDArray[np.float32]]:
        """Give the pictures as the model sees them, (1, 3, H, W)."""
        for picture in self.chosen:
            yield letterbox(read_picture(self.root, picture), spec)[0]


@dataclass
class Histogram:
    """How often magnitudes occur, in `_BINS` equal bins from 0; the range doubles when it has to.

    Zeros are not counted: every scale is exact for them. Memory does not grow with the number of values.
    """

    top: float = 0.0
    counts: NDArray[np.float64] = field(default_factory=lambda: np.zeros(_BINS))

    def add(self, values: NDArray[np.float32]) -> None:
        """Count magnitudes."""
        stride = values.size // _SAMPLE | 1  # odd, so that it does not meet the same columns in each row
        flat = np.abs(values.ravel()[::stride], dtype=np.float32)
        flat = flat[flat > _ZERO]
        largest = float(flat.max(initial=0.0))
        if largest == 0.0:
            return
        if self.top == 0.0:
            self.top = largest
        while self.top < largest:
            self.counts = np.concatenate([self.counts.reshape(-1, 2).sum(1), np.zeros(_BINS // 2)])
            self.top *= 2
        bins = np.minimum((flat * np.float32(_BINS / self.top)).astype(np.int32), _BINS - 1)
        self.counts += np.bincount(bins, minlength=_BINS)

    def scale(self) -> float:
        """Give the scale with the least mean squared error, clipping included.

        Rounding within ±limit costs step²/12 a value (uniform quantization noise), clipping the square of
        what is cut off.
        """
        if self.top == 0.0:
            return 1.0  # always zero: any scale is exact
        centres = (np.arange(_BINS) + 0.5) * (self.top / _BINS)
        limits = centres[7::8]
        over = np.maximum(centres[None, :] - limits[:, None], 0.0)
        rounding = (limits / Q_MAX) ** 2 / 12 * self.counts.sum()
        errors = (over**2) @ self.counts + rounding
        return float(limits[int(np.argmin(errors))] / Q_MAX)


def activation_scales(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    pictures: CalibrationPictures,
    *,
    spec: InputSpec,
    progress: Progress,
) -> dict[str, float]:
    """Find a scale for each tensor, by looking at all of them in one pass over the pictures.

    Raises:
        DataError: There is no picture.
        ModelError: A tensor takes a value that is not finite.
    """
    if not pictures.chosen:
        raise DataError("There are no calibration pictures.", hint="Set data.calibration above 0.")
    histograms = {name: Histogram() for name in tensors}
    session = _observing_session(model, tensors)
    source = model.graph.input[0].name
    inner = [name for name in tensors if name != source]
    for done, images in enumerate(pictures.images(spec)):
        progress(done, len(pictures.chosen), "calibrating")
        found = session.run(inner, {source: images}) if inner else []
        seen = {source: images, **dict(zip(inner, found, strict=True))}
        for name in tensors:
            values = seen[name]
            if not np.isfinite(values).all():
                raise ModelError(
                    f"Tensor {name} is not finite on {pictures.chosen[done].file}.",
                    hint="The model overflows in FP32: look at its training before quantizing it.",
                )
            histograms[name].add(values)
    progress(len(pictures.chosen), len(pictures.chosen), "calibrated")
    return {name: histogram.scale() for name, histogram in histograms.items()}


def _observing_session(model: onnx.ModelProto, tensors: Sequence[str]) -> Any:
    """Open the model with `tensors` as outputs."""
    import onnxruntime

    observed = onnx.ModelProto()
    observed.CopyFrom(model)
    known = {output.name for output in observed.graph.output} | {one.name for one in observed.graph.input}
    for name in tensors:
        if name not in known:
            observed.graph.output.append(onnx.ValueInfoProto(name=name))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        observed.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
