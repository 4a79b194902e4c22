"""What the version that is asked for has: names, enum values and arguments, from the table."""

import functools
import json
import os
from enum import Enum
from pathlib import Path

_TABLE = Path(__file__).parent.parent / "api.json"
LINE = os.environ.get("TRT_DOUBLE_VERSION", "10.3")  # as a key of the table
_VERSION = json.loads(_TABLE.read_text())["versions"][LINE]
# What the JetPack releases of that line have, OE4T/meta-tegra; another by TRT_DOUBLE_RELEASE.
_RELEASES = {
    "8.5": "8.5.2",
    "8.6": "8.6.2",
    "10.3": "10.3.0",
    "10.13": "10.13.3.9",
    "10.16": "10.16.2.10",
    "11.4": "11.4.1",
}
VERSION = os.environ.get("TRT_DOUBLE_RELEASE", _RELEASES[LINE])
NUMBERS = tuple(int(part) for part in LINE.split("."))
VALUES = _VERSION["values"]


class _Enum(Enum):
    """As pybind11 makes them: they turn into an int where one is asked for, but do not equal it."""

    def __int__(self):
        return self.value

    __index__ = __int__


def enum(name):
    """Make an enum of the bindings, with the values of this version, or None where it has no such enum."""
    members = _VERSION["enums"].get(name)
    if members is None:
        return None
    made = _Enum(name.rsplit(".", maxsplit=1)[-1], members)
    made.__qualname__, made.__module__ = name, "tensorrt"
    return made


ENUMS = {name: enum(name) for name in _VERSION["enums"]}


def has(kind, member):
    """Say whether a class or an enum of this version has a member."""
    return member in {**_VERSION["classes"], **_VERSION["enums"]}.get(kind, ())


def as_in_this_version(kind):
    """Leave a class what this version has: no more members, no other arguments, nothing else to set."""
    table = _VERSION["classes"].get(kind.__name__, {})
    for name, value in list(vars(kind).items()):
        if name.startswith("_") and name != "__init__":
            continue
        if name not in table and name != "__init__":
            delattr(kind, name)
        elif isinstance(table.get(name), list) and table[name] and callable(value):
            setattr(kind, name, _checked(value, name, table[name]))
    for name, how in table.items():
        if not hasattr(kind, name):
            setattr(kind, name, _not_doubled(kind.__name__, name, how))
    kind.__setattr__ = _guarded(kind, table)
    return kind


def _checked(method, name, overloads):
    @functools.wraps(method)
    def call(self, *args, **kwargs):
        if not any(_fits(overload[1:], args, kwargs) for overload in overloads):
            raise TypeError(
                f"{name}(): incompatible function arguments; TensorRT {VERSION} takes {overloads}"
            )
        return method(self, *args, **kwargs)

    return call


def _fits(names, args, kwargs):
    required = [name for name in names if not name.endswith("=")]
    names = [name.rstrip("=") for name in names]
    given = [*names[: len(args)], *kwargs]
    return len(args) <= len(names) and set(given) <= set(names) and set(required) <= set(given)


def _not_doubled(kind, name, how):
    def refuse(*_args, **_kwargs):
        raise NotImplementedError(f"The double of TensorRT has no {kind}.{name} yet; the real {VERSION} has.")

    return property(refuse, refuse) if how in ("r", "rw") else refuse


def _guarded(kind, table):
    def put(self, name, value):
        private = (
            name.startswith("_") or type(self).__module__.split(".")[0] != "tensorrt"
        )  # a subclass of others
        if not private and table.get(name) != "rw":
            raise AttributeError(f"can't set attribute {kind.__name__}.{name} in TensorRT {VERSION}")
        object.__setattr__(self, name, value)

    return put


def stored(name, otherwise=None):
    """Make a property that can be read and set and does nothing else."""
    private = "_" + name

    def get(self):
        return self.__dict__.get(private, otherwise)

    def put(self, value):
        self.__dict__[private] = value

    return property(get, put)
