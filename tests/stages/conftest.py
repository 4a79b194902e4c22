"""Small models and data sets that tests of several stages share."""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from stages.artifact import Artifact
from stages.dataset import Dataset, Picture, save_dataset

CLASSES = ("hole", "scratch", "stain")

BLOCKS = '''
"""Attention blocks and heads, as people add them to YOLO."""

import torch
from torch import nn

from ultralytics.nn.modules.conv import Conv
from ultralytics.nn.modules.head import Detect


class PlainAttention(nn.Module):
    """SimAM: attention without parameters."""

    def forward(self, x):
        centred = (x - x.mean(dim=(2, 3), keepdim=True)) ** 2
        variance = centred.mean(dim=(2, 3), keepdim=True)
        return x * torch.sigmoid(centred / (4 * (variance + 1e-4)) + 0.5)


class ChannelGate(nn.Module):
    """The channel half of CBAM."""

    def __init__(self, channels):
        super().__init__()
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, channels, 1), nn.Sigmoid())

    def forward(self, x):
        return x * self.gate(x)


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, gradient):
        return gradient * 2


class HandWritten(nn.Module):
    def forward(self, x):
        return Doubled.apply(x)


class Undecided(nn.Module):
    def forward(self, x):
        if x.mean() > 0:
            return x * 2
        return x


class UndecidedHead(Detect):
    def forward(self, x):
        scale = 2.0 if x[0].max() > 0 else 1.0
        return super().forward([one * scale for one in x])


class Wrapped(nn.Module):
    """A block that is fine but for what is in it."""

    def __init__(self):
        super().__init__()
        self.inner = Undecided()

    def forward(self, x):
        return self.inner(x) + 1


class LoudConv(Conv):
    """What model.fuse() takes for an ordinary Conv."""

    def __init__(self):
        super().__init__(16, 16)

    def forward(self, x):
        return super().forward(x) * 100 + 50


class NoOperator(nn.Module):
    def forward(self, x):
        return torch.special.i0e(x)
'''


@pytest.fixture(scope="session")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give the name of a package of the user's own, which can be imported."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "shop_blocks").mkdir()
    (folder / "shop_blocks" / "__init__.py").write_text("from shop_blocks.layers import *\n")
    (folder / "shop_blocks" / "layers.py").write_text(BLOCKS)
    sys.path.insert(0, str(folder))
    return "shop_blocks"


@pytest.fixture(scope="session")
def small_yaml() -> Callable[..., str]:
    """Give the text of a model YAML with two levels, with `block` after its third layer."""

    def text(block: str = "nn.Identity", *args: int, head: str = "Detect") -> str:
        return f"""
nc: 80
backbone:
  - [-1, 1, Conv, [8, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, C2f, [16, True]]
  - [-1, 1, {block}, {list(args)}]
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [32, 3, 2]]
head:
  - [[4, 5], 1, {head}, [nc]]
"""

    return text


@pytest.fixture(scope="session")
def checkpoint_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Artifact]:
    """Give the checkpoint of a stock model (`yolo11n`) with random weights, or of a YAML's text."""
    made: dict[str, Artifact] = {}

    def make(family: str, text: str = "", packages: tuple[str, ...] = ()) -> Artifact:
        if family not in made:
            made[family] = _make_checkpoint(family, text, packages, tmp_path_factory.mktemp(family))
        return made[family]

    return make


def _make_checkpoint(family: str, text: str, packages: tuple[str, ...], folder: Path) -> Artifact:
    import torch

    from stages.checkpoint import save_checkpoint
    from stages.train.start import load_start
    from stages.weights import find_weights
    from targets.model import InputSpec, ModelSpec

    if text:
        (folder / f"{family}.yaml").write_text(text)
    torch.manual_seed(0)
    torch.set_num_threads(1)  # quicker for models as small as these, above all on a busy machine
    path = find_weights(f"{family}.yaml", folder, folder).path
    start = load_start(path, f"{family}.yaml", class_names=CLASSES, packages=packages)
    for name, buffer in start.module.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            torch.nn.init.uniform_(buffer, 0.5, 1.5)
    side_px = 3 * int(start.module.stride.max())
    spec = ModelSpec(
        family=start.family,
        class_names=CLASSES,
        input=InputSpec(height=side_px, width=side_px),
        output="end2end" if start.module.end2end else "raw",
    )
    save_checkpoint(start.module, spec=spec, packages=packages, folder=folder / "checkpoint")
    return Artifact.of(folder / "checkpoint")


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Artifact, Artifact]:
    """Give index and pictures of a data set of 20 small pictures with bright squares."""
    folder = tmp_path_factory.mktemp("drawn")
    random = np.random.default_rng(0)
    pictures = tuple(_draw(folder / "pictures", number, random) for number in range(20))
    dataset = Dataset(class_names=CLASSES, train=pictures[:12], val=pictures[12:], calibration=pictures[:2])
    (folder / "index").mkdir()
    save_dataset(dataset, folder / "index")
    return Artifact.of(folder / "index"), Artifact.of(folder / "pictures")


def _draw(folder: Path, number: int, random: np.random.Generator) -> Picture:
    folder.mkdir(exist_ok=True)
    pixels = np.full((64, 64, 3), 60, np.uint8)
    x, y = random.integers(0, 40, 2)
    pixels[y : y + 24, x : x + 24] = 200
    path = folder / f"{number}.png"
    cv2.imwrite(str(path), pixels)
    box = [number % 3, (x + 12) / 64, (y + 12) / 64, 24 / 64, 24 / 64]
    return Picture(
        file=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        width=64,
        height=64,
        boxes=np.array([box]),
        crowd=np.zeros(1, np.bool_),
    )
