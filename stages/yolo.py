"""Ultralytics: the one place that imports it, with network, installs, telemetry and chatter off."""
# ruff: noqa: E402, TID251  (Ultralytics reads its switches from the environment while it is imported)

from __future__ import annotations

import atexit
import contextlib
import importlib
import logging
import os
import shutil
import sys
import tempfile
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import cv2
import torch

_CV2_THREADS = cv2.getNumThreads()
_SET_BY_USER = "OMP_NUM_THREADS" in os.environ
_SETTINGS = tempfile.mkdtemp(prefix="edgebound-ultralytics-")
atexit.register(shutil.rmtree, _SETTINGS, ignore_errors=True)
os.environ.update(
    YOLO_CONFIG_DIR=_SETTINGS,  # the user's own settings stay as they are, and are not obeyed
    YOLO_OFFLINE="true",
    YOLO_AUTOINSTALL="false",
    YOLO_VERBOSE="false",
    ULTRALYTICS_SAFE_LOAD="true",  # a checkpoint gives known model classes or nothing; no eval in a YAML
)

from ultralytics import __version__ as ULTRALYTICS_VERSION  # noqa: N812  (a constant, whatever they call it)
from ultralytics.data.build import build_dataloader
from ultralytics.data.dataset import YOLODataset
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.nn import tasks
from ultralytics.nn.modules import C2f
from ultralytics.nn.modules import block as blocks
from ultralytics.nn.modules import conv as convs
from ultralytics.nn.modules.head import OBB, Detect, Pose, Segment, WorldDetect, YOLOEDetect, v10Detect
from ultralytics.nn.tasks import DetectionModel, load_checkpoint
from ultralytics.utils import DEFAULT_CFG, LOGGER, SETTINGS
from ultralytics.utils.downloads import attempt_download_asset
from ultralytics.utils.loss import E2ELoss, v8DetectionLoss
from ultralytics.utils.patches import imread
from ultralytics.utils.torch_utils import strip_qat

from targets.errors import EdgeboundError, ModelError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = [
    "DEFAULT_CFG",
    "ULTRALYTICS_VERSION",
    "C2f",
    "Detect",
    "DetectionModel",
    "DetectionTrainer",
    "E2ELoss",
    "YOLODataset",
    "blocks",
    "build_dataloader",
    "build_detector",
    "check_detector",
    "convs",
    "download_weights",
    "imread",
    "load_checkpoint",
    "register_modules",
    "strip_qat",
    "v8DetectionLoss",
    "v10Detect",
]

# Importing it takes all but one thread from OpenCV, and one from every child process.
cv2.setNumThreads(_CV2_THREADS)
if not _SET_BY_USER:
    os.environ.pop("OMP_NUM_THREADS", None)
LOGGER.handlers.clear()  # it writes to stdout, which belongs to --json
LOGGER.setLevel(logging.ERROR)
LOGGER.propagate = True
SETTINGS.update(
    dict.fromkeys(("sync", "clearml", "comet", "dvc", "mlflow", "raytune", "tensorboard", "wandb"), False)
)

TASK_HEADS = (Segment, Pose, OBB, WorldDetect, YOLOEDetect)  # they inherit from Detect, and answer more
BUILD_ERRORS = (
    AttributeError, AssertionError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError,
    ValueError,
)  # fmt: skip


def build_detector(yaml: Mapping[str, Any], *, classes: int) -> Any:
    """Build a `DetectionModel` with fresh weights from a model description, as YAML gives it.

    Raises:
        UsageError: The description is wrong, or names a class that nobody defines.
    """
    name = yaml.get("yaml_file", "model description")
    try:
        with _custom_head(yaml):
            module = DetectionModel(deepcopy(dict(yaml)), nc=classes, verbose=False)
    except KeyError as exc:
        raise UsageError(
            f"{name} names {exc}, which Ultralytics {ULTRALYTICS_VERSION} does not know.",
            hint="Check the spelling, or name the package that defines it in `model.modules`.",
        ) from exc
    except BUILD_ERRORS as exc:
        raise UsageError(
            f"{name} cannot be built: {exc}", hint="Check its layers, channels and arguments."
        ) from exc
    check_detector(module, name)
    module.end2end = getattr(module.model[-1], "one2one_cv2", None) is not None
    return module


def check_detector(module: Any, name: str) -> None:
    """See that `module` is a YOLO detector, and nothing that answers with masks or keypoints.

    Raises:
        ModelError: It is something else.
    """
    if type(module) is DetectionModel:
        head = module.model[-1]
        if isinstance(head, Detect) and not isinstance(head, TASK_HEADS):
            return
        kind = type(head).__name__
    else:
        kind = type(module).__name__
    raise ModelError(
        f"{name} is no YOLO detector: it is a {kind}.",
        hint="Give a detection model, such as yolo11n.pt or yolo11n.yaml; other tasks are not supported.",
    )


def register_modules(packages: Sequence[str]) -> None:
    """Import packages and make the `nn.Module` classes they define known to model YAMLs and checkpoints.

    Raises:
        UsageError: A package cannot be imported, or a class has the name of one of Ultralytics'.
    """
    for package in packages:
        try:
            importlib.import_module(package)
        except Exception as exc:
            raise UsageError(
                f"`model.modules` names {package}, which cannot be imported: {type(exc).__name__}: {exc}.",
                hint="Put the package beside pipeline.yaml, or install it into this environment.",
            ) from exc
        for cls in _module_classes(package):
            _register(cls)


def download_weights(name: str, folder: Path) -> Path:
    """Fetch published weights, such as `yolo11n.pt`, into `folder`.

    Raises:
        EdgeboundError: There is no network, or the server does not have them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    try:
        attempt_download_asset(path, progress=False)
    except (ConnectionError, OSError) as exc:
        raise EdgeboundError(
            f"{name} is not here, and cannot be downloaded: there is no way to GitHub from this machine.",
            hint="Download it from https://github.com/ultralytics/assets/releases and set model.weights to "
            f"its path, or put it at {path}.",
        ) from exc
    if not path.is_file():
        raise EdgeboundError(
            f"{name} is not among the weights that Ultralytics publishes.",
            hint="Check the name, or set model.weights to the path of a file.",
        )
    return path


def _module_classes(package: str) -> list[type[torch.nn.Module]]:
    loaded = [
        module
        for name, module in sorted(sys.modules.items())
        if name == package or name.startswith(f"{package}.")
    ]
    names = {module.__name__ for module in loaded}
    found = {
        f"{cls.__module__}.{cls.__qualname__}": cls
        for module in loaded
        for cls in vars(module).values()
        if isinstance(cls, type) and issubclass(cls, torch.nn.Module) and cls.__module__ in names
    }
    return [found[name] for name in sorted(found)]


def _register(cls: type[torch.nn.Module]) -> None:
    known = vars(tasks).get(cls.__name__)
    if known not in {None, cls} and f"{known.__module__}.{known.__qualname__}" != _path(cls):
        raise UsageError(
            f"{_path(cls)} has the name of {known.__module__}.{known.__qualname__}.",
            hint=f"Rename the class, as to My{cls.__name__}, in the package and in the model YAML.",
        )
    setattr(tasks, cls.__name__, cls)
    torch.serialization.add_safe_globals([(cls, _path(cls))])


def _path(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


@contextlib.contextmanager
def _custom_head(yaml: Mapping[str, Any]) -> Iterator[None]:
    """Let a user's own subclass of Detect stand for it while a model is built.

    The YAML parser gives channels only to the heads that it knows by identity.
    """
    head = vars(tasks).get(str(yaml["head"][-1][2]))
    custom = (
        isinstance(head, type) and issubclass(head, Detect) and not head.__module__.startswith("ultralytics.")
    )
    try:
        tasks.Detect = head if custom else Detect
        yield
    finally:
        tasks.Detect = Detect
