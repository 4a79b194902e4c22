"""The work of `Calibrate`: pictures are read, shown to the model, and what was seen is stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.artifact import Artifact, digest_json
from stages.dataset import Picture, load_dataset, read_picture
from stages.onnx_files import load_onnx, nodes_of
from stages.quantize.calibration.observe import NotFiniteError, observe
from stages.quantize.calibration.quality import notes_on_pictures, notes_on_values
from stages.quantize.calibration.storage import Origin, save_statistics
from stages.quantize.calibration.tensors import find_tensors
from stages.quantize.foreign import prepared
from stages.quantize.graph import Graph
from stages.stage import Progress
from targets.errors import DataError, ModelError
from targets.model import InputSpec, load_model_spec
from targets.preprocess import letterbox

if TYPE_CHECKING:
    from pathlib import Path

    from stages.quantize.calibration import Calibrate, Calibrated, CalibrateInputs


class CalibrationPictures:
    """The chosen pictures, as the model takes them.

    Attributes:
        chosen: What is to be read.
        blank: Files of those read so far that have one colour only.
    """

    def __init__(self, root: Artifact, chosen: Sequence[Picture], spec: InputSpec) -> None:
        self.chosen = tuple(chosen)
        self.blank: list[str] = []
        self._root = root
        self._spec = spec

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Read one after the other, (1, 3, height, width).

        Raises:
            DataError: A picture is gone, changed, or does not decode.
        """
        for picture in self.chosen:
            pixels = read_picture(self._root, picture)
            if (pixels == pixels[0, 0]).all():
                self.blank.append(picture.file)
            yield letterbox(pixels, self._spec)[0]


def calibrate(settings: Calibrate, inputs: CalibrateInputs, out: Path, progress: Progress) -> Calibrated:
    """Do the work of `Calibrate.run`."""
    from stages.quantize.calibration import Calibrated

    model = load_float(inputs.onnx / "model.onnx")
    spec = load_model_spec(inputs.onnx.path).input
    dataset = load_dataset(inputs.index)
    chosen = dataset.calibration[: settings.pictures or None]
    if not chosen:
        raise DataError("There are no calibration pictures.", hint="Set data.calibration above 0.")
    pictures = CalibrationPictures(inputs.pictures, chosen, spec)
    try:
        tensors = find_tensors(Graph(model))
        statistics = observe(model, tensors, pictures, total=len(chosen), progress=progress)
    except NotFiniteError as exc:
        raise exc.on(chosen[exc.picture].file) from exc
    shown = {"pictures": [picture.sha256 for picture in chosen], "input": asdict(spec)}
    folder = out / "statistics"
    folder.mkdir()
    origin = Origin(model=inputs.onnx.digest, data=digest_json(shown), pictures=len(chosen))
    save_statistics(statistics, origin, folder)
    notes = (*notes_on_pictures(dataset, chosen, spec), *notes_on_values(statistics, pictures.blank))
    return Calibrated(statistics=Artifact.of(folder), pictures=len(chosen), notes=notes)


def load_float(path: Path) -> onnx.ModelProto:
    """Read a model that is to be quantized, in the form that `prepared` gives.

    Raises:
        ModelError: It cannot be read or brought into that form, or is quantized already.
    """
    model = load_onnx(path)
    if any(node.op_type in {"QuantizeLinear", "DequantizeLinear"} for node in nodes_of(model)):
        raise ModelError("The model is quantized already.", hint="Quantize the FP32 export.")
    return prepared(model)
