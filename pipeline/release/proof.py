"""Proof: pictures, and what the engine found on them, for `pipeline verify` on a device."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from pipeline.ladder import RunReport
from pipeline.release.parts import Engine, Run
from pipeline.release.pick import Pick, pick
from stages.artifact import Artifact
from stages.dataset import Picture, load_dataset
from stages.evaluation.detect import load_detections
from targets.postprocess import suppress
from targets.release.expected import Expected, ExpectedBox, ExpectedPicture, Tolerance, dump

_BIGGEST = 8 << 20  # bytes of a picture that goes along
_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
_EXPECTED, _PICTURES = "expected.json", "pictures"


def write_proof(engine: Engine, run: Run, data: Artifact, *, most: int, out: Path) -> int:
    """Write `expected.json` and the pictures; give how many there are.

    Pictures that are gone, were changed or are very big stay behind; so do those with a close call.

    Args:
        engine: What it is about.
        run: It comes from.
        data: The data set that it was judged by.
        most: Pictures at most.
        out: A folder to make.
    """
    (out / _PICTURES).mkdir(parents=True)
    chosen = list(_choose(engine, run, data, most))
    pictures = []
    for number, (one, content, suffix) in enumerate(chosen, 1):
        name = f"{number:02}{suffix}"
        (out / _PICTURES / name).write_bytes(content)
        pictures.append(ExpectedPicture(name=name, boxes=tuple(map(_box, one.boxes.tolist()))))
    (out / _EXPECTED).write_text(dump(_expected(engine, run.report, tuple(pictures))), encoding="utf-8")
    return len(pictures)


def _choose(engine: Engine, run: Run, data: Artifact, most: int) -> Iterator[tuple[Pick, bytes, str]]:
    """Give pictures, what is to be found on them, and the ending of their names."""
    val = load_dataset(data).val
    found = load_detections(engine.detections, pictures=len(val))
    left = most if run.report.pictures else 0
    for one in pick(found, engine.spec) if left else ():
        content = _read(run.folder / run.report.pictures, val[one.place])
        if content is not None:
            yield _as_deployed(one, engine), content, Path(val[one.place].file).suffix.lower()
            left -= 1
        if not left:
            return


def _as_deployed(one: Pick, engine: Engine) -> Pick:
    """Give what NMS leaves where it is stricter than that of validation."""
    kept = suppress(one.boxes, iou=engine.spec.iou, max_det=engine.spec.max_det)
    return Pick(place=one.place, boxes=one.boxes[kept])


def _read(root: Path, picture: Picture) -> bytes | None:
    path = root / picture.file
    if path.suffix.lower() not in _SUFFIXES or not path.is_file() or path.stat().st_size > _BIGGEST:
        return None
    content = path.read_bytes()
    return content if hashlib.sha256(content).hexdigest() == picture.sha256 else None


def _expected(engine: Engine, report: RunReport, pictures: tuple[ExpectedPicture, ...]) -> Expected:
    spec, rung, board = engine.spec, engine.cleared.rung, engine.cleared.result.board
    latency = rung.latency_ms
    return Expected(
        conf=spec.conf,
        iou=spec.iou,
        max_det=spec.max_det,
        pictures=pictures,
        tolerance=Tolerance(),
        p50_ms=_positive(latency.p50) if latency else None,
        p99_ms=_positive(latency.p99) if latency else None,
        host=rung.host,
        device=board.facts.get("board", "") if board else report.host.get("cpu", ""),
    )


def _positive(figure: float) -> float | None:
    return figure if 0 < figure < float("inf") else None


def _box(row: list[float]) -> ExpectedBox:
    left, top, right, bottom, score, class_id = row
    return ExpectedBox(xyxy=(left, top, right, bottom), score=score, class_id=int(class_id))
