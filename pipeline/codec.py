"""Stage inputs and results as JSON, and results back again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from stages.artifact import Artifact

T = TypeVar("T")
_ARTIFACT_KEYS = {"path", "digest"}


def encode(value: Any, artifact: Callable[[Artifact], Any]) -> Any:
    """Turn frozen dataclasses, tuples and plain values into JSON, artifacts as `artifact` says."""
    if isinstance(value, Artifact):
        return artifact(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: encode(getattr(value, field.name), artifact) for field in fields(value)}
    if isinstance(value, dict):
        return {str(key): encode(item, artifact) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [encode(item, artifact) for item in value]
    if isinstance(value, Path):
        return str(value)
    assert value is None or isinstance(value, (str, int, float, bool)), f"{type(value)} is not for JSON"
    return value


def decode(kind: type[T], value: Any, artifact: Callable[[str, str], Artifact]) -> T:
    """Turn JSON into `kind` again; `artifact(name, digest)` finds the files."""
    from pydantic import TypeAdapter

    adapter: TypeAdapter[T] = TypeAdapter(kind)
    return adapter.validate_python(_with_artifacts(value, artifact))


def _with_artifacts(value: Any, artifact: Callable[[str, str], Artifact]) -> Any:
    if isinstance(value, dict):
        if value.keys() == _ARTIFACT_KEYS:
            return artifact(value["path"], value["digest"])
        return {key: _with_artifacts(item, artifact) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_artifacts(item, artifact) for item in value]
    return value


def artifacts_in(value: Any) -> list[Artifact]:
    """Give all artifacts inside a result."""
    found: list[Artifact] = []
    encode(value, found.append)
    return found


@cache
def result_type(stage: type) -> type[Any]:
    """Give the type that the stage's `run` returns."""
    kind: type[Any] = get_type_hints(stage.run)["return"]  # type: ignore[attr-defined]
    return kind
