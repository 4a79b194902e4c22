"""Detectors to cut: stock ones and tiny ones around one block, with weights and statistics that matter."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CLASSES = ("hole", "scratch", "stain")


def tiny_yaml(block: str, args: list[Any], *, width: int = 16) -> str:
    """Give the text of a model YAML with two levels, with `block` as its third layer."""
    return f"""
nc: 3
backbone:
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [{width}, 3, 2]]
  - [-1, 1, {block}, {args}]
  - [-1, 1, Conv, [24, 3, 2]]
  - [-1, 1, Conv, [32, 3, 2]]
head:
  - [[3, 4], 1, Detect, [nc]]
"""


@pytest.fixture(scope="session")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Give a fresh detector: `detector("yolo11n")`, or `detector("tiny", text, packages)`."""

    def build(family: str, text: str = "", packages: tuple[str, ...] = ()) -> Any:
        import torch

        from stages.train.start import load_start
        from stages.weights import find_weights

        folder = tmp_path_factory.mktemp(family)
        if text:
            (folder / f"{family}.yaml").write_text(text)
        torch.manual_seed(0)
        torch.set_num_threads(1)  # quicker for models as small as these, above all on a busy machine
        path = find_weights(f"{family}.yaml", folder, Path(folder)).path
        module = load_start(path, f"{family}.yaml", class_names=CLASSES, packages=packages).module
        return shaken(module)

    return build


@pytest.fixture(scope="session")
def tiny() -> Callable[..., str]:
    """Give the function that writes a small model YAML around a block."""
    return tiny_yaml


@pytest.fixture(scope="session")
def shake() -> Callable[[Any], Any]:
    """Give the function that makes statistics and scales matter."""
    return shaken


def shaken(module: Any) -> Any:
    """Give every normalisation statistics and scales of its own: fresh ones hide what gets lost."""
    import torch

    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            for tensor in (part.running_mean, part.running_var, part.weight.data, part.bias.data):
                torch.nn.init.uniform_(tensor, 0.5, 1.5)
        if getattr(part, "gamma", None) is not None:
            torch.nn.init.uniform_(part.gamma.data, 0.5, 1.5)
    return module.eval()
