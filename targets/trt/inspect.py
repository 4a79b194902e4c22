"""What an engine became: layers by precision, what fell out of INT8, and what only changes formats.

The inspector's JSON has no promised form and changes between versions, so it is read leniently: what is not
understood is not counted.
"""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Sequence, Tuple

_TYPES = (
    ("int8", "INT8"),
    ("half", "FP16"),
    ("fp16", "FP16"),
    ("float16", "FP16"),
    ("float", "FP32"),
    ("fp32", "FP32"),
)
_INTEGERS = ("int32", "int64", "bool")


@dataclass(frozen=True)
class Layers:
    """Layers of an engine.

    Attributes:
        counts: By what they give: `INT8`, `FP16`, `FP32`, `other`; without reformats.
        fell_out: Of the layers that were to be INT8, those that read something else.
        reformats: Layers that only change format or type.
    """

    counts: Dict[str, int]
    fell_out: Tuple[str, ...]
    reformats: int


def read_layers(text: str, *, wanted: Sequence[str]) -> Layers:
    """Read what the inspector says.

    Args:
        text: JSON of `get_engine_information`.
        wanted: Names of the layers that are to run in INT8.
    """
    layers = list(_layers(text))
    reformats = [one for one in layers if _is_reformat(one)]
    others = [one for one in layers if not _is_reformat(one)]
    counts = Counter(_type_of(one.get("Outputs")) for one in others)
    fell_out = tuple(name for name in wanted if not _runs_in_int8(name, others))
    return Layers(counts=dict(counts), fell_out=fell_out if others else (), reformats=len(reformats))


def _layers(text: str) -> Iterator[Dict[str, Any]]:
    try:
        record = json.loads(text)
    except ValueError:
        return
    found = record.get("Layers", record.get("layers", [])) if isinstance(record, dict) else record
    for one in found if isinstance(found, list) else []:
        if isinstance(one, dict):  # only names, as strings, if the engine was not built with details
            yield one


def _is_reformat(layer: Dict[str, Any]) -> bool:
    kinds = (str(layer.get("LayerType", "")), str(layer.get("ParameterType", "")))
    return any("reformat" in kind.lower() for kind in kinds)


def _type_of(ports: Any) -> str:
    """Give the type that a port says first."""
    for port in ports if isinstance(ports, list) else []:
        said = (
            str(port.get("Format/Datatype", port.get("Datatype", ""))).lower()
            if isinstance(port, dict)
            else ""
        )
        if any(name in said for name in _INTEGERS):
            continue
        for word, name in _TYPES:
            if word in said:
                return name
    return "other"


def _runs_in_int8(name: str, layers: List[Dict[str, Any]]) -> bool:
    """Say whether the layer that a node went into reads INT8; a node that is nowhere was folded away."""
    into = [one for one in layers if name in f"{one.get('Name', '')} {one.get('Metadata', '')}".split()] or [
        one for one in layers if name in f"{one.get('Name', '')} {one.get('Metadata', '')}"
    ]
    return not into or any(_type_of(one.get("Inputs")) == "INT8" for one in into)
