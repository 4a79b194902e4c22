"""What the deep learning accelerator (DLA) of a Jetson runs, through TensorRT."""

from dataclasses import dataclass
from typing import Literal, Tuple

from targets.operators import load_record

Place = Literal["native", "build-time", "gpu"]


@dataclass(frozen=True)
class DlaSupport:
    """Where an operator runs.

    Attributes:
        place: On DLA, nowhere because the builder folds it, or on the GPU.
        reason: Why it falls back, where that is known.
    """

    place: Place
    reason: str = ""


def find_dla_support(op: str, version: str) -> DlaSupport:
    """Say where an operator runs with TensorRT `version`; what the table does not name, on the GPU."""
    found = load_record("dla.json")["operators"].get(op)
    if found is None:
        return DlaSupport("gpu", "DLA does not know it")
    place, since, reason = found
    if since and _figures(version) < _figures(since):
        return DlaSupport("gpu", f"only as of TensorRT {since}")
    return DlaSupport(place, reason or ("not on DLA through TensorRT" if place == "gpu" else ""))


def _figures(version: str) -> Tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
