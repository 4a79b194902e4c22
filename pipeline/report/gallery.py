"""Pictures that changed most: what the baseline found beside what an engine finds, boxes drawn."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.ladder import Rung, RunReport, TargetResult
from pipeline.report.markup import Markup, render, tag
from pipeline.report.parts import details
from pipeline.report.words import figure
from stages.evaluation.scores import ChangedBox, PictureChange
from stages.thumbnail import thumbnail

Album = Callable[[PictureChange], "str | None"]
"""Gives a picture as a data URI; None where it is not there any more."""

_SIDE = 480  # pixels of the longer side: two stand side by side on a page of 1120
_OPEN, _MOST = 3, 8  # pictures of an engine: at once, and on demand
_GONE = "Where a picture is not where it was, or has changed, only its boxes are drawn."
_MARKS = {"kept": "", "lost": "✕ ", "gained": "+ "}


def album_of(report: RunReport, run_dir: Path) -> Album:
    """Give the pictures of the report in `run_dir`, read where its data set lies and shrunk; each once."""
    root, known = run_dir / report.pictures, dict[str, "str | None"]()

    def give(change: PictureChange) -> str | None:
        if change.file not in known and report.pictures:
            jpeg = thumbnail(root / change.file, sha256=change.sha256, side_px=_SIDE)
            known[change.file] = _uri(jpeg) if jpeg else None
        return known.get(change.file)

    return give


def _uri(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


@dataclass(frozen=True)
class Gallery:
    """Draws pictures of a page.

    Attributes:
        names: Of the classes, by id.
        album: Gives the pictures.
        drawn: Those on the page already, which are shown again by reference.
    """

    names: Mapping[int, str]
    album: Album
    drawn: set[int]

    def pictures(self, target: TargetResult) -> Markup | None:
        """Show for each engine, what ships first, the pictures on which it differs most from the baseline."""
        engines = [rung for rung in target.ladder if rung.candidate and rung.changes and rung.changes.worst]
        engines.sort(key=lambda rung: rung.id != target.ships)
        if not engines:
            return None
        first, *others = [self._engine(rung) for rung in engines]
        more = details("Pictures of the other engines", others)
        shown = (first, more if others else None)
        places = {one.place for rung in engines if rung.changes for one in rung.changes.worst[:_MOST]}
        note = None if places <= self.drawn else tag("p", _GONE, class_="soft")
        return render((_legend(), note, shown))

    def _engine(self, rung: Rung) -> Markup:
        assert rung.changes
        pairs = [self._pair(change, rung) for change in rung.changes.worst[:_MOST]]
        heading = tag("h4", f"{rung.label}: {_summary(rung)}")
        more = details(f"{len(pairs) - _OPEN} more pictures of {rung.label}", pairs[_OPEN:])
        return render((heading, pairs[:_OPEN], more if len(pairs) > _OPEN else None))

    def _pair(self, change: PictureChange, rung: Rung) -> Markup:
        image = self._image(change)
        found = [
            self._side(change, image, of=of, name=name)
            for of, name in (("baseline", "baseline"), ("candidate", rung.label))
        ]
        caption = tag("figcaption", tag("code", change.file), f" {_counts(change)}")
        return tag("figure", caption, tag("div", found, class_="sides"), class_="pair")

    def _image(self, change: PictureChange) -> Markup | None:
        """Give the picture, or a reference to it where it is on the page already."""
        name = f"picture-{change.place}"
        if change.place in self.drawn:
            return tag("use", href=f"#{name}")
        uri = self.album(change)
        if uri is None:
            return None
        self.drawn.add(change.place)
        return tag("image", id=name, href=uri, width=change.width, height=change.height)

    def _side(self, change: PictureChange, image: Markup | None, *, of: str, name: str) -> Markup:
        boxes = [box for box in change.boxes if box.of == of]
        if of != "baseline" and image is not None:  # the same picture twice: once is enough
            image = tag("use", href=f"#picture-{change.place}")
        drawing = tag(
            "svg",
            tag("rect", class_="ground", width=change.width, height=change.height),
            image,
            [self._box(box, change) for box in sorted(boxes, key=lambda box: box.fate != "kept")],
            viewBox=f"0 0 {change.width} {change.height}",
            role="img",
            aria_label=f"{name}: {self._said(boxes)}",
        )
        return tag("div", drawing, tag("span", name, class_="label"))

    def _box(self, box: ChangedBox, change: PictureChange) -> Markup:
        left, top, right, bottom = box.xyxy
        unit = max(change.width, change.height) / _SIDE  # so that what is written is as large on any picture
        place = {"x": left, "y": top, "width": max(right - left, 0.0), "height": max(bottom - top, 0.0)}
        shapes = [tag("rect", class_="halo", **place), tag("rect", class_=f"box {box.fate}", **place)]
        if box.fate != "kept":
            shapes.append(self._name(box, change, unit))
        return tag("g", tag("title", self._words(box)), shapes)

    def _name(self, box: ChangedBox, change: PictureChange, unit: float) -> Markup:
        """Write on a changed box what it is: above it, or inside where there is no room."""
        left, top, *_ = box.xyxy
        y = top - 5 * unit if top > 22 * unit else top + 17 * unit
        at_end = left > 0.7 * change.width
        return tag(
            "text",
            f"{_MARKS[box.fate]}{self.names.get(box.class_id, box.class_id)} {figure(box.score)}",
            x=box.xyxy[2] if at_end else max(left, 2 * unit),
            y=y,
            text_anchor="end" if at_end else None,
            class_=box.fate,
            style=f"font-size:{15 * unit:.2f}px;stroke-width:{3.5 * unit:.2f}px",
        )

    def _words(self, box: ChangedBox) -> str:
        wrong = "" if box.right else ", no labelled box"
        return f"{self.names.get(box.class_id, box.class_id)} {figure(box.score)}, {box.fate}{wrong}"

    def _said(self, boxes: list[ChangedBox]) -> str:
        return "; ".join(map(self._words, boxes)) or "nothing found"


def _summary(rung: Rung) -> str:
    changes = rung.changes
    assert changes
    return f"{changes.lost} detections lost and {changes.gained} gained, {changes.kept} kept"


def _counts(change: PictureChange) -> str:
    """Say what changed on a picture."""
    alarms = f"{change.false_alarms} of them false" if change.false_alarms else ""
    missed = f"{change.missed} of them labelled" if change.missed else ""
    parts = ((change.lost, "lost", missed), (change.gained, "gained", alarms))
    return "; ".join(f"{count} {what}{f', {more}' if more else ''}" for count, what, more in parts if count)


def _legend() -> Markup:
    words = {
        "kept": "both find it",
        "lost": "only the baseline finds it",
        "gained": "only the engine finds it",
    }
    return tag("ul", _keys(words), class_="legend")


def _keys(words: Mapping[str, str]) -> Iterator[Markup]:
    for fate, said in words.items():
        box = tag("rect", class_=f"box {fate}", x=4, y=4, width=28, height=12)
        swatch = tag("svg", box, aria_hidden="true", class_="key")
        yield tag("li", swatch, f"{_MARKS[fate]}{fate}: {said}")
