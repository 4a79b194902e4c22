"""Demo data: rendered pictures of brushed steel with holes, scratches and stains, and their boxes.

The sizes, contrasts and noise below were chosen so that a nano detector trained from scratch for some
minutes on two CPU cores is useful but not perfect: a saturated model would hide what INT8 costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pathlib import Path

    from stages.stage import Progress

NAMES = ("hole", "scratch", "stain")
SPLITS = ("train", "val")

MAX_DEFECTS = 4  # a picture has 0 to this many
CLEAN_SHARE = 0.12  # of pictures without any defect: a detector has to learn silence too
EDGE_COVER = 0.25  # thinner traces of anti-aliasing are not drawn, so that a box ends where the eye ends
MIN_SIDE_PX = 4  # of a box after clipping: smaller pieces cannot be told from noise
TRIES = 20  # to place a defect clear of the others, before the picture goes without it
JPEG_QUALITY = 95  # at lower ones, 8 x 8 blocks smear the faint scratches
SUBPIXEL_BITS = 4  # of cv2's fixed-point coordinates
SMOOTH = {"lineType": cv2.LINE_AA, "shift": SUBPIXEL_BITS}

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Defect:
    """Something drawn once on one picture.

    Attributes:
        kind: Index into `NAMES`.
        alpha: (H, W), 0 to 1: opacity of each pixel, 0 where nothing is drawn.
        ink: BGR, 0 to 255, of shape (3,) or (H, W, 3).
    """

    kind: int
    alpha: Array
    ink: Array

    def box_px(self) -> tuple[int, int, int, int]:
        """Give left, top, right, bottom of the pixels drawn; the last two are exclusive."""
        columns = np.flatnonzero(self.alpha.any(axis=0))
        rows = np.flatnonzero(self.alpha.any(axis=1))
        if not len(columns):
            return 0, 0, 0, 0
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1

    def draw(self, picture: Array) -> Array:
        """Give `picture` (H, W, 3), float, with the defect on it."""
        return picture + (self.ink - picture) * self.alpha[..., None]


def render_demo(out: Path, *, train: int, val: int, size_px: int, seed: int, progress: Progress) -> None:
    """Write an Ultralytics data folder: `data.yaml`, `images/` and `labels/`, each with both splits.

    A picture depends on `seed`, its split and its index only, so a larger set begins with the smaller one.

    Args:
        out: Must have no pictures yet: those of a larger set would stay and count.
        train: Number of training pictures.
        val: Number of validation pictures.
        size_px: Side of the square pictures; the defects scale with it.
        seed: Not negative.
        progress: Told the number of pictures written.
    """
    total, done = train + val, 0
    for split, (name, count) in enumerate(zip(SPLITS, (train, val), strict=True)):
        images, labels = out / "images" / name, out / "labels" / name
        images.mkdir(parents=True)
        labels.mkdir(parents=True)
        for index in range(count):
            picture, defects = render_picture(size_px, np.random.default_rng([seed, split, index]))
            _, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            (images / f"{index:06d}.jpg").write_bytes(jpeg.tobytes())
            # Clean pictures get an empty file, "nothing there"; a missing one might have been lost.
            (labels / f"{index:06d}.txt").write_text("".join(label_line(d) for d in defects))
            done += 1
            progress(done, total, name)
    # Without `path`, Ultralytics reads the folders relative to this file, so the data can be moved.
    names = "".join(f"  {index}: {name}\n" for index, name in enumerate(NAMES))
    (out / "data.yaml").write_text(f"train: images/train\nval: images/val\nnames:\n{names}")


def label_line(defect: Defect) -> str:
    """Give the line of a label file: class, then centre and size as shares of the picture."""
    height, width = defect.alpha.shape
    left, top, right, bottom = defect.box_px()
    centre = (left + right) / 2 / width, (top + bottom) / 2 / height
    sides = (right - left) / width, (bottom - top) / height
    return f"{defect.kind} " + " ".join(f"{share:.6f}" for share in (*centre, *sides)) + "\n"


def render_picture(size_px: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], list[Defect]]:
    """Draw one picture, (H, W, 3) BGR uint8, and give what was drawn on it."""
    picture = _steel(size_px, rng)
    for _ in range(rng.integers(0, 4)):
        picture = _grain_streak(size_px, rng).draw(picture)
    for _ in range(rng.integers(0, 4)):
        picture = _smudge(size_px, rng).draw(picture)
    count = 0 if rng.random() < CLEAN_SHARE else int(rng.integers(1, MAX_DEFECTS + 1))
    defects: list[Defect] = []
    for _ in range(count):
        _add_defect(defects, size_px, rng)
    for defect in defects:
        picture = defect.draw(picture)
    noise = rng.standard_normal((size_px, size_px, 1))
    picture = picture + noise * rng.uniform(4, 10)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8), defects


def _add_defect(defects: list[Defect], size_px: int, rng: np.random.Generator) -> None:
    """Add a defect whose box touches no other, so that none hides another."""
    kind = int(rng.integers(len(NAMES)))
    for _ in range(TRIES):
        defect = (_hole, _scratch, _stain)[kind](size_px, rng)
        left, top, right, bottom = box = defect.box_px()
        large = min(right - left, bottom - top) >= MIN_SIDE_PX
        if large and not any(_touch(box, other.box_px()) for other in defects):
            defects.append(defect)
            return


def _touch(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


def _steel(size_px: int, rng: np.random.Generator) -> Array:
    """Brushed from left to right, lit from one side."""
    grain = np.zeros((size_px, size_px))
    for length in (0.08, 0.5):
        noise = rng.standard_normal(grain.shape)
        streaks = cv2.blur(noise, (max(3, int(length * size_px)), 1))
        grain += streaks / streaks.std()
    across = np.linspace(-1, 1, size_px)
    angle, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0, 20)
    light = slope * (np.cos(angle) * across[None, :] + np.sin(angle) * across[:, None])
    grey = rng.uniform(110, 150) + light + grain * rng.uniform(2.5, 6)
    tint = 1 + rng.uniform(-0.02, 0.02, 3) + (0.02, 0.0, -0.02)  # steel is a little blue
    steel: Array = grey[..., None] * tint
    return steel


def _hole(size_px: int, rng: np.random.Generator) -> Defect:
    """Dark, with a rim that shines on one side."""
    radius = size_px * np.exp(rng.uniform(np.log(0.015), np.log(0.050)))
    outline = _outline(rng.uniform(0.03, 0.97, 2) * size_px, radius, 0.10, rng)
    angle = rng.uniform(0, 2 * np.pi)
    burr = max(1.0, 0.2 * radius) * np.array([np.cos(angle), np.sin(angle)])
    inside, rim = _filled(outline, size_px), _filled(outline + burr, size_px)
    ink = np.where(inside[..., None] >= EDGE_COVER, rng.uniform(25, 55), rng.uniform(190, 230))
    opacity = rng.uniform(0.35, 0.80)
    return Defect(kind=0, alpha=_cut(np.maximum(inside, rim)) * opacity, ink=ink)


def _scratch(size_px: int, rng: np.random.Generator) -> Defect:
    """Thin and bent, never along the brushing: there nobody could tell it from a grain streak."""
    angle = np.deg2rad(rng.uniform(15, 165))
    length = size_px * rng.uniform(0.12, 0.45)
    alpha = _line(size_px, angle, length, 1 + int(rng.random() < 0.2), rng)
    ink = rng.uniform(15, 40) if rng.random() < 0.4 else rng.uniform(220, 250)
    return Defect(kind=1, alpha=alpha * rng.uniform(0.27, 0.60), ink=np.full(3, ink))


def _stain(size_px: int, rng: np.random.Generator) -> Defect:
    """Brown, blotchy, with a soft edge; the steel shows through."""
    radius = size_px * rng.uniform(0.035, 0.13)
    outline = _outline(rng.uniform(0.03, 0.97, 2) * size_px, radius, 0.28, rng)
    cover = cv2.GaussianBlur(_filled(outline, size_px), (0, 0), size_px * 0.012)
    blotches = cv2.resize(rng.uniform(0.6, 1, (6, 6)), (size_px, size_px), interpolation=cv2.INTER_CUBIC)
    ink = np.array([45, 62, 80]) * rng.uniform(0.6, 1.0)
    return Defect(kind=2, alpha=_cut(cover) * blotches * rng.uniform(0.20, 0.50), ink=ink)


def _grain_streak(size_px: int, rng: np.random.Generator) -> Defect:
    """No defect, but drawn like one: a bright line along the brushing."""
    alpha = _line(size_px, rng.uniform(-0.03, 0.03), size_px * rng.uniform(0.15, 0.6), 1, rng)
    return Defect(kind=-1, alpha=alpha * rng.uniform(0.2, 0.5), ink=np.full(3, rng.uniform(200, 240)))


def _smudge(size_px: int, rng: np.random.Generator) -> Defect:
    """No defect, but drawn like one: a large faint shadow without an edge."""
    outline = _outline(rng.uniform(0, 1, 2) * size_px, size_px * rng.uniform(0.06, 0.2), 0.2, rng)
    cover = cv2.GaussianBlur(_filled(outline, size_px), (0, 0), size_px * 0.04)
    return Defect(kind=-1, alpha=cover * rng.uniform(0.04, 0.12), ink=np.full(3, 40.0))


def _outline(centre: Array, radius: float, bumps: float, rng: np.random.Generator) -> Array:
    """Give the (N, 2) points of a round shape; `bumps` is their height as a share of `radius`."""
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radii = np.ones_like(turn)
    for waves in (2, 3, 5):
        radii += bumps * rng.uniform(0.3, 1) * np.cos(waves * turn + rng.uniform(0, 6.28)) / waves**0.5
    points: Array = centre + radius * radii[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    return points


def _filled(outline: Array, size_px: int) -> Array:
    canvas = np.zeros((size_px, size_px), np.uint8)
    cv2.fillPoly(canvas, [_fixed_point(outline)], 255, **SMOOTH)
    cover: Array = canvas / 255
    return cover


def _line(size_px: int, angle: float, length: float, thickness: int, rng: np.random.Generator) -> Array:
    """Give the cover of a line, bent by up to an eighth of its length, that is centred in the picture."""
    along = np.array([np.cos(angle), np.sin(angle)])
    step = np.linspace(-1, 1, 17)[:, None]
    bend = rng.uniform(-0.125, 0.125) * (1 - step**2) if abs(angle) > 0.1 else 0.0
    points = rng.uniform(0.08, 0.92, 2) * size_px
    points = points + length * (step / 2 * along + bend * np.array([-along[1], along[0]]))
    canvas = np.zeros((size_px, size_px), np.uint8)
    cv2.polylines(canvas, [_fixed_point(points)], isClosed=False, color=255, thickness=thickness, **SMOOTH)
    return _cut(canvas / 255)


def _fixed_point(points: Array) -> NDArray[np.int32]:
    return np.asarray(np.rint(points * 2**SUBPIXEL_BITS), np.int32)


def _cut(cover: Array) -> Array:
    return np.where(cover < EDGE_COVER, 0, cover)
