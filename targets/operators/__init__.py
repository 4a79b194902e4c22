"""Operator tables: what a runtime that is not installed here can run, by version."""

import json
import pkgutil
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Dict, Iterator, Literal, Mapping, Optional, Tuple

from targets.errors import UnsupportedError

Level = Literal["full", "restricted", "none"]


@dataclass(frozen=True)
class Support:
    """What a runtime makes of one operator.

    Attributes:
        level: How much of it is taken.
        dtypes: Data types that its documentation names, as `FP32`; empty where it names none.
        restriction: What is not, in the words of the source.
        documented: The documentation has it too; otherwise only the parser's source has.
    """

    level: Level
    dtypes: Tuple[str, ...] = ()
    restriction: str = ""
    documented: bool = True


@dataclass(frozen=True)
class OperatorTable:
    """What one version of a runtime takes.

    Attributes:
        asked: Version that was asked for.
        version: Major and minor; the newest in the data that is not newer than the one asked for.
        opset_min: Oldest operator set of ai.onnx that the documentation names; 0 where it names none.
        opset_max: Newest operator set of ai.onnx.
        local_functions: Functions that the model itself defines are taken.
        operators: Of ai.onnx, by name; what is not in here was not known then.
        derived: Not read for this version itself, but put together from others and a change log.
        source: Where this comes from.
        newer: The next table, where the version asked for lies between two: what they differ in is not known.
    """

    asked: str
    version: str
    opset_min: int
    opset_max: int
    local_functions: bool
    operators: Mapping[str, Support]
    derived: bool
    source: str
    newer: Optional["OperatorTable"] = None


@lru_cache(maxsize=None)
def load_tensorrt_operators(version: str) -> OperatorTable:
    """Give the table of a TensorRT version.

    Args:
        version: As `10.3` or `10.3.0.30`.

    Raises:
        UnsupportedError: It is older than all we know, or no version at all.
    """
    known = tensorrt_versions()
    older = [one for one in known if number(one) <= number(version)]
    if not older:
        raise UnsupportedError(
            f"There is no operator table for TensorRT '{version}'.",
            hint=f"Known: {', '.join(known)}. Before 8.5 TensorRT lacks even Mod, which detectors use.",
        )
    table = replace(_table(older[-1]), asked=version)
    newer = known[len(older) :]
    if number(version) == number(older[-1]) or not newer:
        return table
    return replace(table, newer=_table(newer[0]))


@lru_cache(maxsize=None)
def tensorrt_versions() -> Tuple[str, ...]:
    """Give the TensorRT versions that have a table, oldest first."""
    return tuple(sorted(_record("tensorrt.json")["versions"], key=number))


def versions_with(op: str) -> Tuple[str, ...]:
    """Give the TensorRT versions that have an importer for an operator of ai.onnx, oldest first."""
    return tuple(one for one in tensorrt_versions() if _takes(_table(one), op))


@lru_cache(maxsize=None)
def number(version: str) -> Tuple[int, ...]:
    """Give major and minor as figures; nothing for what is no version."""
    parts = version.split(".")[:2]
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else ()


def load_record(name: str) -> Dict[str, Any]:
    """Read one of the data files that lie in this folder."""
    return _record(name)


def _takes(table: OperatorTable, op: str) -> bool:
    return op in table.operators and table.operators[op].level != "none"


@lru_cache(maxsize=None)
def _table(version: str) -> OperatorTable:
    record = _record("tensorrt.json")
    facts = record["versions"][version]
    return OperatorTable(
        asked=version,
        version=version,
        opset_min=facts["opset_min"] or 0,
        opset_max=facts["opset_max"],
        local_functions=facts["local_functions"],
        operators=dict(_operators(record["operators"], version)),
        derived=facts["derived"],
        source=facts["source"],
    )


def _operators(record: Mapping[str, Any], version: str) -> Iterator[Tuple[str, Support]]:
    for name, spans in record.items():
        for first, last, level, dtypes, restriction, remark in spans:
            if number(first) <= number(version) <= number(last):
                types = tuple(dtypes.split(",")) if dtypes else ()
                yield name, Support(level, types, restriction, documented=not remark)


@lru_cache(maxsize=None)
def _record(name: str) -> Dict[str, Any]:
    data = pkgutil.get_data(__name__, name)
    assert data is not None, "the package is incomplete"
    record: Dict[str, Any] = json.loads(data)
    return record
