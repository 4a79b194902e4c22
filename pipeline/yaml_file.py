"""YAML files that people write: read safely, checked against dataclasses, all problems with their lines."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from targets.errors import ConfigError, UsageError

T = TypeVar("T")
_MISSING = {"missing", "missing_argument"}
KeyPath = tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """A YAML document and where each of its keys stands, as `file:line`."""

    values: dict[str, Any]
    places: Mapping[KeyPath, str]
    name: str

    def place(self, path: KeyPath) -> str:
        """Give where a key, or the nearest one around it, stands."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, self.name)

    def within(self, path: KeyPath, values: Mapping[str, Any]) -> Source:
        """Give the mapping below a key as a document of its own."""
        depth = len(path)
        places = {key[depth:]: place for key, place in self.places.items() if key[:depth] == path}
        return Source(dict(values), places, self.place(path))


def load_source(file: Path) -> Source:
    """Read a YAML file whose top level is a mapping.

    Raises:
        UsageError: It is not there.
        ConfigError: It is not YAML, or not a mapping; with the line.
    """
    import yaml

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"{file} cannot be read: {exc}.", hint="Check the path.") from exc
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else 1
        raise ConfigError([f"{file}:{line}: {exc.problem}"], hint="This line is not valid YAML.") from exc
    except (yaml.YAMLError, ValueError, RecursionError) as exc:
        raise ConfigError([f"{file}: {exc}"], hint="This file is not valid YAML.") from exc
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise ConfigError([f"{file}:1: a mapping of sections is expected"], hint="Begin with `model:`.")
    places = dict(_places(node, (), str(file))) if node is not None else {}
    return Source(values, places, str(file))


def _places(node: Any, path: KeyPath, file: str) -> Iterator[tuple[KeyPath, str]]:
    import yaml

    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            inner = (*path, str(number))
            yield inner, f"{file}:{item.start_mark.line + 1}"
            yield from _places(item, inner, file)
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        inner = (*path, str(key.value))
        yield inner, f"{file}:{key.start_mark.line + 1}"
        yield from _places(value, inner, file)


def override(source: Source, settings: Sequence[str]) -> Source:
    """Apply `section.key=value` settings; values are YAML.

    Raises:
        UsageError: One has another form.
    """
    import yaml

    values = _copy(source.values)
    places = dict(source.places)
    for setting in settings:
        name, equals, text = setting.partition("=")
        path = tuple(name.strip().split("."))
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as exc:
            raise UsageError(f"--set {setting}: the value is not YAML.", hint="Quote it.") from exc
        if not equals or len(path) < 2 or not all(path):
            raise UsageError(
                f"--set {setting}: section.key=value is expected.", hint="For example --set train.epochs=3."
            )
        _put(values, path, value)
        places[path] = f"--set {setting}"
    return Source(values, places, source.name)


def _copy(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, dict) else value for key, value in values.items()}


def _put(values: dict[str, Any], path: KeyPath, value: Any) -> None:
    for key in path[:-1]:
        inner = values.get(key)
        if not isinstance(inner, dict):
            inner = values[key] = {}
        values = inner
    values[path[-1]] = value


def parse(kind: type[T], source: Source, *, hint: str) -> T:
    """Turn a document into the dataclass `kind`.

    Raises:
        ConfigError: Keys are unknown or missing, or values of a wrong type; all of them at once.
    """
    from pydantic import TypeAdapter, ValidationError

    problems = list(_unknown_keys(kind, source.values, (), source))
    try:
        parsed: T = TypeAdapter(kind).validate_python(source.values)
    except ValidationError as exc:
        problems += _problems(exc.errors(), source)
    else:
        if not problems:
            return parsed
    raise ConfigError(sorted(set(problems), key=_by_line), hint=hint)


def _unknown_keys(kind: Any, values: Any, path: KeyPath, source: Source) -> Iterator[str]:
    kind = next((one for one in (kind, *get_args(kind)) if is_dataclass(one)), None)
    if isinstance(values, list):
        for number, value in enumerate(values):
            yield from _unknown_keys(kind, value, (*path, str(number)), source)
    if kind is None or not isinstance(values, dict):
        return
    known = {field.name for field in fields(kind)}
    hints = get_type_hints(kind)
    for key, value in values.items():
        inner = (*path, str(key))
        if key in known:
            yield from _unknown_keys(hints[key], value, inner, source)
            continue
        near = difflib.get_close_matches(str(key), known, n=1)
        advice = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(sorted(known))}"
        yield f"{source.place(inner)}: unknown key '{'.'.join(inner)}'; {advice}"


def _problems(errors: Iterable[Any], source: Source) -> Iterator[str]:
    """Give a line for each key; where a value may be of several kinds, each kind has an error."""
    messages: dict[KeyPath, list[str]] = {}
    given: dict[KeyPath, str] = {}
    for error in errors:
        missing = error["type"] in _MISSING
        path = _key_path(error["loc"], source.values, missing=missing)
        messages.setdefault(path, []).append("is missing" if missing else error["msg"])
        given[path] = "" if missing else f" (got {error['input']!r})"
    for path, said in messages.items():
        text = ", or ".join([said[0], *(one[0].lower() + one[1:] for one in said[1:])])
        yield f"{source.place(path)}: {'.'.join(path)}: {text}{given[path]}"


def _key_path(location: Iterable[int | str], values: Any, *, missing: bool) -> KeyPath:
    """Give the keys on the way to an error, without the kinds that pydantic tried there."""
    path: list[str] = []
    for part in location:
        if isinstance(values, dict) and (part in values or missing):
            values = values.get(part)
        elif isinstance(values, list) and isinstance(part, int):
            values = values[part]
        else:
            break
        path.append(str(part))
    return tuple(path)


def _by_line(problem: str) -> tuple[str, int, str]:
    file, _, rest = problem.partition(":")
    line = rest.partition(":")[0]
    return file, int(line) if line.isdigit() else 0, problem
