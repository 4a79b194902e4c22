"""Peers of our quantizer: each makes an INT8 OpenVINO engine of the same model with the same pictures.

A library for `benchmarks.precision`. What they have in common: all calibration pictures, letterboxed alike;
for the two that work on ONNX, the output convolutions of the head and decoding are left out, without which
they lose everything, and `OvRuntime.build` makes the engine. Ultralytics writes an engine by itself, with
NNCF.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.evaluator import Setting, write_ultralytics_folder
from benchmarks.precision_sets import Subject, say
from stages.dataset import read_picture
from targets.model import ModelSpec
from targets.preprocess import letterbox
from targets.profile import TargetProfile
from targets.runtimes.ov import MODEL_NAME, WEIGHTS_NAME, OvRuntime

if TYPE_CHECKING:
    from numpy.typing import NDArray

THREADS = 2
PROFILE = TargetProfile(name="here", device="this machine", runtime="openvino", threads=THREADS)
_WORKER = Path(__file__).with_name("modelopt_worker.py")


class AbsentError(Exception):
    """A peer could not be had, and why."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a peer that works on ONNX is given.

    Attributes:
        onnx: The FP32 model, its nodes named.
        images: `.npy` of the calibration pictures, (N, 3, H, W).
        left_out: Names of the head's nodes.
        folder: Empty, for whatever the peer writes.
    """

    onnx: Path
    images: Path
    left_out: tuple[str, ...]
    folder: Path


def make_peers(subject: Subject, *, modelopt_python: Path | None) -> tuple[dict[str, Path], dict[str, str]]:
    """Let each peer quantize.

    Returns:
        Engine folders by name, and why there is none, by name.
    """
    folder = subject.folder / "peers"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    task = _set_task(subject, folder)
    makers: dict[str, Callable[[Path], Path]] = {
        "ultralytics": lambda out: make_ultralytics(subject, out),
        "onnxruntime": lambda out: make_onnxruntime(replace(task, folder=out)),
        "modelopt": lambda out: make_modelopt(replace(task, folder=out), modelopt_python),
    }
    engines: dict[str, Path] = {}
    absent: dict[str, str] = {}
    for name, make in makers.items():
        say(f"{subject.case.name}: {name} quantizes")
        (folder / name).mkdir()
        try:
            with contextlib.redirect_stdout(sys.stderr):
                engines[name] = make(folder / name)
        except AbsentError as exc:
            absent[name] = str(exc)
    return engines, absent


def calibration_images(subject: Subject) -> NDArray[np.float32]:
    """Give the calibration pictures as the model sees them, (N, 3, H, W)."""
    return np.concatenate(
        [
            letterbox(read_picture(subject.pictures, picture), subject.spec.input)[0]
            for picture in subject.dataset.calibration
        ]
    )


def _set_task(subject: Subject, folder: Path) -> Task:
    import onnx

    # The one place here that knows the inside of our quantizer.
    from stages.quantize.graph import Graph, name_nodes
    from stages.quantize.placement.head import find_head

    model = name_nodes(onnx.load(subject.onnx / "model.onnx"))
    onnx.save(model, folder / "named.onnx")
    np.save(folder / "calibration.npy", calibration_images(subject))
    head = find_head(Graph(model))
    return Task(
        onnx=folder / "named.onnx",
        images=folder / "calibration.npy",
        left_out=tuple(sorted(head.outputs | head.decoding)),
        folder=folder,
    )


def make_ultralytics(subject: Subject, out: Path) -> Path:
    """Export as `yolo export format=openvino int8=True` does.

    It calibrates on the val split of the YAML it is given: here that is the calibration set.
    """
    from ultralytics import YOLO

    dataset = replace(subject.dataset, val=subject.dataset.calibration)
    write_ultralytics_folder(
        Setting(onnx=subject.onnx, spec=subject.spec, dataset=dataset, pictures=subject.pictures, folder=out)
    )
    shutil.copyfile(subject.checkpoint / "best.pt", out / "best.pt")
    exported = YOLO(str(out / "best.pt"), task="detect").export(
        format="openvino", quantize=8, data=str(out / "data.yaml"), imgsz=_side_px(subject.spec), device="cpu"
    )
    engine = out / "engine"
    engine.mkdir()
    shutil.copyfile(Path(exported) / "best.xml", engine / MODEL_NAME)
    shutil.copyfile(Path(exported) / "best.bin", engine / WEIGHTS_NAME)
    return engine


def make_onnxruntime(task: Task) -> Path:
    """Quantize as its documentation says; activations as UINT8.

    Its default, INT8 with a zero point, is the same arithmetic (signal by noise 27.5 dB in float simulation,
    either way), but OpenVINO 2026.4.1 computes it wrongly: 13 against 27.5 dB (decision 1).
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    quantize_static(
        task.onnx,
        task.folder / "int8.onnx",
        OneByOne(np.load(task.images, mmap_mode="r"), _input_name(task.onnx)),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        calibrate_method=CalibrationMethod.MinMax,
        nodes_to_exclude=list(task.left_out),
    )
    return _build(task.folder / "int8.onnx", task.folder)


def make_modelopt(task: Task, python: Path | None) -> Path:
    """Quantize in another Python: ModelOpt pins packages that we have in other versions.

    Raises:
        AbsentError: It is not there, or has failed.
    """
    if python is None:
        raise AbsentError("--modelopt-python does not name a Python that has nvidia-modelopt[onnx]")
    out = task.folder / "int8.onnx"
    done = subprocess.run(
        [str(python), str(_WORKER), str(task.onnx), str(task.images), str(out), *task.left_out],
        cwd=task.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 or not out.is_file():
        raise AbsentError(f"ModelOpt failed: {_last_line(done.stderr)}")
    return _build(out, task.folder)


class OneByOne:
    """Gives pictures one at a time, as onnxruntime's calibrators ask for them."""

    def __init__(self, images: NDArray[np.float32], name: str) -> None:
        self._rest: Iterator[NDArray[np.float32]] = (images[at : at + 1] for at in range(len(images)))
        self._name = name

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Give the next one by the input's name; None after the last."""
        image = next(self._rest, None)
        return None if image is None else {self._name: np.ascontiguousarray(image)}


def _build(model: Path, folder: Path) -> Path:
    engine = folder / "engine"
    engine.mkdir()
    OvRuntime().build(model, PROFILE, engine)
    return engine


def _input_name(model: Path) -> str:
    import onnx

    return str(onnx.load(model, load_external_data=False).graph.input[0].name)


def _side_px(spec: ModelSpec) -> Sequence[int]:
    return [spec.input.height, spec.input.width]


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
