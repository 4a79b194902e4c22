"""Pictures: the prepared data set as Ultralytics' trainer takes it, with nothing written beside them."""

from __future__ import annotations

import contextlib
import io
import math
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from stages.train.order import draw_from, mix
from stages.yolo import YOLODataset, imread

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from stages.artifact import Artifact
    from stages.dataset import Picture
    from stages.train.figures import PictureCache
    from stages.train.order import Key


class Pictures(YOLODataset):  # type: ignore[misc]  # its types are not followed
    """One split of the data set.

    Boxes come from the index: Ultralytics' own reader would check all again, write a cache, and rewrite
    JPEGs that it thinks broken. Pictures come through symbolic links, since it looks for `.npy` beside them.

    Cached copies may be of the side of training: loading would make the same pixels of the whole picture.
    """

    def __init__(
        self,
        *,
        pictures: Sequence[Picture],
        root: Artifact,
        links: Path,
        seed: int,
        cache: PictureCache,
        **settings: Any,
    ) -> None:
        self.resized = cache == "resized"
        settings["cache"] = "disk" if self.resized else cache or None
        self.pictures = pictures
        self.seed = seed
        self.link_files = _link(pictures, root, links)
        super().__init__(img_path=str(links), **settings)

    @property
    def kept(self) -> PictureCache:
        """Where decoded pictures are kept; nowhere if there was no room after all."""
        if not self.cache:
            return ""
        return "resized" if self.resized else self.cache

    def __getitem__(self, key: Key | int) -> dict[str, Any]:
        """Give a picture, augmented by a randomness that depends on the seed, the epoch and the picture."""
        if isinstance(key, int):
            return super().__getitem__(key)  # type: ignore[no-any-return]
        epoch, number = key
        draw_from(mix(self.seed, epoch, number))
        return super().__getitem__(number)  # type: ignore[no-any-return]

    def names_of(self, links: Sequence[str]) -> list[str]:
        """Give the pictures' own names for those of their links."""
        return [self.pictures[int(link.rpartition("/")[2].partition(".")[0])].file for link in links]

    def get_img_files(self, img_path: str) -> list[str]:
        """Give the links, in the order of the index."""
        del img_path
        return [str(link) for link in self.link_files]

    def get_labels(self) -> list[dict[str, Any]]:
        """Give the boxes; those that stand for a crowd are nothing to learn from."""
        return [_label(picture, file) for picture, file in zip(self.pictures, self.im_files, strict=True)]

    def cache_images(self) -> None:
        """Decode all pictures once, without a progress bar on stdout."""
        with contextlib.redirect_stdout(io.StringIO()):
            super().cache_images()

    def cache_images_to_disk(self, i: int) -> None:
        """Keep a picture, decoded, and as large as it is trained with if that is what is wanted."""
        if not self.resized:
            super().cache_images_to_disk(i)
            return
        copy = self.npy_files[i]
        if copy.exists():
            return
        partial = copy.with_suffix(".partial")
        try:
            with partial.open("wb") as file:
                np.save(file, _shrunk(imread(self.im_files[i], flags=self.cv2_flag), self.imgsz))
            partial.replace(copy)
        except OSError:  # the disk is full: this one is read from the picture itself, which gives the same
            partial.unlink(missing_ok=True)


def _shrunk(pixels: Any, side: int) -> Any:
    """Make a picture as large as `load_image` does, by the same interpolation; a small one stays small."""
    height, width = pixels.shape[:2]
    ratio = side / max(height, width)
    if ratio >= 1:
        return pixels
    size = (min(math.ceil(width * ratio), side), min(math.ceil(height * ratio), side))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)


def _link(pictures: Sequence[Picture], root: Artifact, links: Path) -> list[Path]:
    links.mkdir(parents=True, exist_ok=True)
    files = []
    for number, picture in enumerate(pictures):
        target = root / picture.file
        link = links / f"{number:07d}{target.suffix.lower()}"
        if not link.is_symlink():
            link.symlink_to(target.absolute())
        files.append(link)
    return files


def _label(picture: Picture, file: str) -> dict[str, Any]:
    boxes = picture.boxes[~picture.crowd].astype(np.float32)
    return {
        "im_file": file,
        "shape": (picture.height, picture.width),
        "cls": boxes[:, :1],
        "bboxes": boxes[:, 1:],
        "segments": [],
        "keypoints": None,
        "normalized": True,
        "bbox_format": "xywh",
    }
