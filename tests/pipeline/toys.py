"""Toy stages: real ones, ten lines each, for tests of the store and the runner."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from pipeline.runner import Done
from stages.artifact import Artifact
from stages.stage import Progress


@dataclass(frozen=True, kw_only=True)
class SowInputs:
    pass


@dataclass(frozen=True, kw_only=True)
class Sown:
    text: Artifact


@dataclass(frozen=True, kw_only=True)
class Sow:
    """Writes a word into many files."""

    name: ClassVar[str] = "data"
    resumes: ClassVar[bool] = False
    calls: ClassVar[list[str]] = []

    word: str = "seed"
    files: int = 1

    def run(self, inputs: SowInputs, out: Path, progress: Progress) -> Sown:
        self.calls.append(self.word)
        folder = out / "text"
        (folder / "deep").mkdir(parents=True)
        for number in range(self.files):
            progress(number, self.files)
            (folder / "deep" / f"{number}.txt").write_text(f"{self.word} {number}\n" * 100)
        return Sown(text=Artifact.of(folder))


@dataclass(frozen=True, kw_only=True)
class Heard:
    word: str
    at: int


@dataclass(frozen=True, kw_only=True)
class ShoutInputs:
    text: Artifact
    heard: tuple[Heard, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Shouted:
    text: Artifact
    heard: tuple[Heard, ...]
    loudness: float
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True, kw_only=True)
class Shout:
    """Writes its input in capitals; goes on where it was."""

    name: ClassVar[str] = "train"
    resumes: ClassVar[bool] = True
    calls: ClassVar[list[int]] = []

    times: int = 1

    def run(self, inputs: ShoutInputs, out: Path, progress: Progress) -> Shouted:
        folder = out / "text"
        folder.mkdir(exist_ok=True)
        self.calls.append(len(list(folder.iterdir())))
        for file in sorted(inputs.text.path.rglob("*.txt")):
            if not (folder / file.name).exists():
                partial = out / "partial"
                partial.write_text(f"{self.times} {file.read_text().upper()}")
                partial.replace(folder / file.name)
        return Shouted(
            text=Artifact.of(folder), heard=(Heard(word="a", at=1),), loudness=0.5, notes=("loud",)
        )


class Listener:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def started(self, title: str) -> None: ...
    def progress(self, done: float, total: float, note: str = "") -> None: ...
    def finished(self, done: Done) -> None: ...
    def note(self, text: str) -> None:
        self.notes.append(text)
