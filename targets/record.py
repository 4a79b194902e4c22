"""Record: frozen dataclasses to JSON and back, strictly, for the files that travel between machines."""

import json
from dataclasses import MISSING, asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple, Type, TypeVar, Union, get_type_hints

from targets.errors import ModelError

T = TypeVar("T")
_NUMBERS = (int, float)


def dump(record: Any) -> str:
    """Give a dataclass as JSON, indented and sorted, with a line feed at its end.

    Raises:
        ValueError: A figure is NaN or infinite: JSON has none.
    """
    return json.dumps(asdict(record), indent=2, sort_keys=True, allow_nan=False) + "\n"


def load(kind: Type[T], text: str) -> T:
    """Read what `dump` gave.

    Raises:
        ValueError: It is no JSON, or not a record of that kind; with the place.
    """
    try:
        value = json.loads(text)
    except RecursionError as exc:
        raise ValueError("nested too deeply") from exc
    found: T = _read(kind, value, "record")
    return found


def refuse_schema(text: str, path: Path, known: int, *, older: str, newer: str) -> None:
    """Refuse a record of another format version before its fields are looked at, which may be others.

    Args:
        text: What `dump` gave.
        path: Where it is from.
        known: The version that this program reads.
        older: What to do about an older one.
        newer: What to do about a newer one.

    Raises:
        ValueError: It is no JSON object, or has no version.
        ModelError: It is of another version.
    """
    try:
        record = json.loads(text)
    except RecursionError as exc:
        raise ValueError("nested too deeply") from exc
    schema = record.get("schema") if isinstance(record, dict) else None
    if not isinstance(schema, int):
        raise ValueError("it has no format version")  # noqa: TRY004
    if schema != known:
        raise ModelError(
            f"{path} has format version {schema}; this program reads version {known}.",
            hint=newer if schema > known else older,
        )


def _read(kind: Any, value: Any, place: str) -> Any:
    origin = getattr(kind, "__origin__", None)
    if is_dataclass(kind):
        return _read_dataclass(kind, value, place)
    if origin is Union:
        return _read_union(kind, value, place)
    if origin is tuple:
        return _read_tuple(kind, value, place)
    if origin in (dict, Mapping) or getattr(origin, "__name__", "") == "Mapping":
        return _read_mapping(kind, value, place)
    if _is_literal(kind):
        if value not in kind.__args__ or not isinstance(value, str):
            raise ValueError(f"{place} is {value!r}, not one of {', '.join(map(str, kind.__args__))}")
        return value
    return _read_plain(kind, value, place)


def _read_dataclass(kind: Any, value: Any, place: str) -> Any:
    table = _expect(dict, value, place)
    hints = get_type_hints(kind)
    known = {one.name: one for one in fields(kind)}
    strange = sorted(set(table) - set(known))
    if strange:
        raise ValueError(f"{place} has {', '.join(map(repr, strange))}, which this program does not know")
    absent = [
        name
        for name, one in known.items()
        if name not in table and one.default is MISSING and one.default_factory is MISSING
    ]
    if absent:
        raise ValueError(f"{place} lacks {', '.join(absent)}")
    return kind(**{name: _read(hints[name], item, f"{place}.{name}") for name, item in table.items()})


def _read_union(kind: Any, value: Any, place: str) -> Any:
    """Read an Optional; other unions do not occur."""
    if value is None and type(None) in kind.__args__:
        return None
    (inner,) = (one for one in kind.__args__ if one is not type(None))
    return _read(inner, value, place)


def _read_tuple(kind: Any, value: Any, place: str) -> Tuple[Any, ...]:
    items: List[Any] = _expect(list, value, place)
    inner = kind.__args__[0]
    if kind.__args__[-1] is not Ellipsis and len(items) != len(kind.__args__):
        raise ValueError(f"{place} has {len(items)} items, not {len(kind.__args__)}")
    return tuple(_read(inner, item, f"{place}[{index}]") for index, item in enumerate(items))


def _read_mapping(kind: Any, value: Any, place: str) -> Dict[str, Any]:
    table: Dict[str, Any] = _expect(dict, value, place)
    inner = kind.__args__[1]
    return {key: _read(inner, item, f"{place}.{key}") for key, item in table.items()}


def _read_plain(kind: Any, value: Any, place: str) -> Any:
    if kind is Any:
        return value
    if kind is float and isinstance(value, _NUMBERS) and not isinstance(value, bool):
        figure = float(value)
        if figure - figure != 0:  # NaN and infinity, which Python's JSON reads though JSON has none
            raise ValueError(f"{place} is {value!r}, not a finite figure")
        return figure
    if kind in (int, float) and isinstance(value, bool):
        raise ValueError(f"{place} is {value!r}, not a number")
    return _expect(kind, value, place)


def _expect(kind: Any, value: Any, place: str) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"{place} is {type(value).__name__}, not {kind.__name__}")  # noqa: TRY004
    return value


def _is_literal(kind: Any) -> bool:
    return str(kind).startswith("typing.Literal[")
