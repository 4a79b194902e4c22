"""Weights: find the checkpoint or the model description that a user names, without loading it."""

from __future__ import annotations

import difflib
import importlib.util
import re
from functools import cache
from pathlib import Path

from stages.artifact import Artifact
from targets.errors import EdgeboundError, UsageError

# The detectors of https://docs.ultralytics.com/models; v5 in its anchor-free form, u.
PUBLISHED = tuple(
    f"{family}{size}{suffix}.pt"
    for family, sizes, suffix in (
        ("yolov5", "nsmlx", "u"),
        ("yolov5", ("n6", "s6", "m6", "l6", "x6"), "u"),
        ("yolov8", "nsmlx", ""),
        ("yolov9", "tsmce", ""),
        ("yolov10", "nsmblx", ""),
        ("yolo11", "nsmlx", ""),
        ("yolo12", "nsmlx", ""),
        ("yolo26", "nsmlx", ""),
    )
    for size in sizes
)
_SIZED = re.compile(r"^(yolov?\d+)([nslmx])((?:-[\w-]+)?\.ya?ml)$")
_DETECTOR_YAML = re.compile(r"^yolov?\d+[a-z]?(-(p2|p6|ghost[\w-]*|spp|tiny))?\.yaml$")


def find_weights(name: str, base: Path, downloads: Path) -> Artifact:
    """Find a checkpoint (`.pt`) or a model description (`.yaml`).

    Args:
        name: A path, a model of Ultralytics as `yolo11n.yaml`, or published weights as `yolo11n.pt`.
        base: Folder that a relative path starts from.
        downloads: Where published weights are looked for, and downloaded to.

    Raises:
        UsageError: There is no such file or model.
        EdgeboundError: It would have to be downloaded, and that failed.
    """
    path = (base / Path(name).expanduser()).absolute()
    for candidate in (path, path.with_name(_without_size(path.name)), _stock_yaml(name), downloads / name):
        if candidate is not None and candidate.is_file():
            return Artifact.of(candidate)
    if name in PUBLISHED:
        from stages.yolo import download_weights

        return Artifact.of(download_weights(name, downloads))
    near = difflib.get_close_matches(name, _known_names(), n=3, cutoff=0.6)
    raise UsageError(
        f"`model.weights: {name}` is neither a file in {base} nor a model that Ultralytics publishes.",
        hint=f"Near: {', '.join(near)}."
        if near
        else "Give the path of a .pt or .yaml, or a name such as yolo11n.pt.",
    )


def ultralytics_folder() -> Path:
    """Give the folder of the installed Ultralytics, without importing it.

    Raises:
        EdgeboundError: It is not installed.
    """
    spec = importlib.util.find_spec("ultralytics")
    if spec is None or spec.origin is None:
        raise EdgeboundError(
            "Ultralytics is not installed, so nothing can be trained.",
            hint='Run `pip install "edgebound[train]"`.',
        )
    return Path(spec.origin).parent


def _without_size(name: str) -> str:
    """Ultralytics' rule: `yolo11n.yaml` is `yolo11.yaml` at size n."""
    return _SIZED.sub(r"\1\3", name)


@cache
def _stock_yamls() -> dict[str, Path]:
    return {path.name: path for path in sorted((ultralytics_folder() / "cfg" / "models").rglob("*.yaml"))}


def _stock_yaml(name: str) -> Path | None:
    if not name.endswith((".yaml", ".yml")):
        return None
    stock = _stock_yamls()
    return stock.get(name) or stock.get(_without_size(name))


def _known_names() -> list[str]:
    yamls = [name for name in _stock_yamls() if _DETECTOR_YAML.match(name)]
    sized = [re.sub(r"^(yolov?\d+)", rf"\g<1>{size}", name) for name in yamls for size in "nsmlx"]
    return [*PUBLISHED, *yamls, *(name for name in sized if _without_size(name) in yamls)]
