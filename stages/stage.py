"""The contract of a stage: settings are its fields, artifacts go in, a typed result comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

Inputs_contra = TypeVar("Inputs_contra", contravariant=True)
Result_co = TypeVar("Result_co", covariant=True)


class Progress(Protocol):
    """Where a stage says how far it is; call it as often as you like."""

    def __call__(self, done: float, total: float, note: str = "") -> None:
        """Report `done` of `total` units of work, and in `note` what is going on."""
        ...


class Stage(Protocol[Inputs_contra, Result_co]):
    """One step's work: a frozen dataclass with a `run`. Nothing to inherit, nothing to register.

    Inputs and results are frozen dataclasses whose fields are artifacts, figures, strings, and tuples or
    frozen dataclasses of these: whatever JSON can carry.

    Attributes:
        name: The stage, one of `pipeline.plan.STAGES`.
        resumes: `run` makes use of what an interrupted run of the very same step left in `out`;
            otherwise `out` is empty.
    """

    name: ClassVar[str]
    resumes: ClassVar[bool]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def run(self, inputs: Inputs_contra, out: Path, progress: Progress) -> Result_co:
        """Do the work.

        Args:
            inputs: Artifacts of earlier stages; read only.
            out: A folder of the step's own, for its artifacts.
            progress: To be told how far it is.
        """
        ...


def no_progress(done: float, total: float, note: str = "") -> None:
    """Take no notice."""
