"""Request: what ranks are to do, and what they leave beside it for who started them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from stages.train import Train, TrainInputs
from targets.errors import EdgeboundError

FAILED = 3


@dataclass(frozen=True, kw_only=True)
class Request:
    """What ranks are to do.

    Attributes:
        stage: With its settings.
        inputs: Of the step.
        out: Folder of the step, which all ranks see.
    """

    stage: Train
    inputs: TrainInputs
    out: Path

    def write(self, path: Path) -> None:
        """Write it for `read`."""
        path.write_text(json.dumps(asdict(self), default=str), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Request:
        """Read what `write` wrote."""
        return TypeAdapter(cls).validate_json(path.read_bytes())


def error_of(request: Path) -> Path:
    """Give where a rank says what went wrong."""
    return request.with_suffix(".error.json")


def progress_of(request: Path) -> Path:
    """Give where rank 0 says how far it is."""
    return request.with_suffix(".progress")


def tell_error(path: Path, exc: EdgeboundError) -> None:
    """Leave an error for who started the ranks."""
    error = {"kind": type(exc).__name__, "what": exc.what, "hint": exc.hint}
    error_of(path).write_text(json.dumps(error), encoding="utf-8")
