"""Operator tables: what a runtime that is not installed here can run, by version."""

import json
import pkgutil
from dataclasses import dataclass
from typing import Any, Dict, Literal, Mapping, Tuple

from targets.errors import UnsupportedError

Level = Literal["full", "restricted", "none"]


@dataclass(frozen=True)
class Support:
    """What a runtime makes of one operator.

    Attributes:
        level: How much of it is taken.
        restriction: What is not, in the words of the source.
    """

    level: Level
    restriction: str = ""


@dataclass(frozen=True)
class OperatorTable:
    """What one version of a runtime takes.

    Attributes:
        version: Major and minor; the newest in the data that is not newer than the one asked for.
        opset_max: Newest operator set of ai.onnx.
        local_functions: Functions that the model itself defines are taken.
        operators: Of ai.onnx, by name; what is not in here was not known then.
        source: Where this comes from.
    """

    version: str
    opset_max: int
    local_functions: bool
    operators: Mapping[str, Support]
    source: str


def load_tensorrt_operators(version: str) -> OperatorTable:
    """Give the table of a TensorRT version.

    Args:
        version: As `10.3` or `10.3.0.30`.

    Raises:
        UnsupportedError: It is older than all we know, or no version at all.
    """
    data = pkgutil.get_data(__name__, "tensorrt.json")
    assert data is not None, "the package is incomplete"
    record: Dict[str, Any] = json.loads(data)
    known = sorted(record["versions"], key=_number)
    usable = [one for one in known if _number(one) <= _number(version)]
    if not usable:
        raise UnsupportedError(
            f"There is no operator table for TensorRT '{version}'.", hint=f"Known: {', '.join(known)}."
        )
    found = usable[-1]
    facts = record["versions"][found]
    operators = {
        name: Support(level, restriction)
        for name, spans in record["operators"].items()
        for first, last, level, restriction in spans
        if _number(first) <= _number(found) <= _number(last)
    }
    return OperatorTable(
        version=found,
        opset_max=facts["opset_max"],
        local_functions=facts["local_functions"],
        operators=operators,
        source=facts["source"],
    )


def _number(version: str) -> Tuple[int, ...]:
    """Give major and minor as figures; nothing for what is no version."""
    parts = version.split(".")[:2]
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else ()
