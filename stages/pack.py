"""Pack: the candidates of a target become a kit, which a board builds, measures and verifies."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, ClassVar

from stages.artifact import Artifact
from stages.stage import Progress
from targets.agent.archive import make_agent
from targets.errors import DataError, EdgeboundError
from targets.kit import BoardWork, KitModel, write_kit
from targets.profile import Precision, TargetProfile

if TYPE_CHECKING:
    from stages.dataset import Picture


@dataclass(frozen=True, kw_only=True)
class PackInputs:
    """What a board is to have.

    Attributes:
        models: Folders with `model.onnx`, its precision in the graph, and `model.json`.
        precisions: Of the models, in their order.
        index: The prepared data set.
        pictures: The folder that its pictures are in.
        profile: Of the target.
        agent: sha256 of the agent that goes into the kit.
    """

    models: tuple[Artifact, ...]
    precisions: tuple[Precision, ...]
    index: Artifact
    pictures: Artifact
    profile: TargetProfile
    agent: str


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A kit, but for the key that seals its receipt.

    Attributes:
        kit: The folder.
        id: sha256 of its `kit.json`: what a receipt answers to.
    """

    kit: Artifact
    id: str


@dataclass(frozen=True, kw_only=True)
class Pack:
    """Pack a kit; equal inputs give an equal kit.

    Attributes:
        target: As it was asked for, `orin@6.2`.
        work: How the board is to build, measure and verify.
    """

    name: ClassVar[str] = "build"
    resumes: ClassVar[bool] = False

    target: str
    work: BoardWork = field(default_factory=BoardWork)

    def run(self, inputs: PackInputs, out: Path, progress: Progress) -> Packed:
        """Write `out/kit`.

        Raises:
            DataError: There is no validation picture, or one is gone.
            ModelError: A model is no ONNX file, or none that can be trusted.
        """
        del progress
        from stages.dataset import load_dataset
        from stages.onnx_files import load_onnx

        val = load_dataset(inputs.index).val
        if not val:
            raise DataError(
                "There is no validation picture to verify with.", hint="Add some to the data set."
            )
        for model in inputs.models:
            load_onnx(model / "model.onnx")
        agent = make_agent()
        if hashlib.sha256(agent).hexdigest() != inputs.agent:
            raise EdgeboundError("The agent has changed meanwhile.", hint="Run the same command again.")
        folder = out / "kit"
        kit_id = write_kit(
            folder,
            target=self.target,
            profile=inputs.profile,
            models=[
                (KitModel(id=precision, precision=precision, digest=model.digest), model.path)
                for precision, model in zip(inputs.precisions, inputs.models, strict=True)
            ],
            pictures=[
                (_name(place, picture), inputs.pictures / picture.file) for place, picture in enumerate(val)
            ],
            work=self.work,
            agent=agent,
        )
        return Packed(kit=Artifact.of(folder), id=kit_id)


def _name(place: int, picture: Picture) -> str:
    """Name a picture by its place: its own name may be no name for another file system."""
    return f"{place:06d}{PurePosixPath(picture.file).suffix.lower()}"
