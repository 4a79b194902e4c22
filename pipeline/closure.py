"""What code a stage runs: its first-party import closure, hashed, and the packages that uses.

A step's key holds both, so a change in any file that a stage imports, however indirectly, makes its steps
run again, and a change anywhere else does not. Imports inside functions count, as most of ours are there.
"""

from __future__ import annotations

import ast
import importlib.metadata
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from stages.artifact import digest_file, digest_json

FIRST_PARTY = ("stages", "targets")
_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Code:
    """The code behind a stage.

    Attributes:
        digest: Over all first-party files it may import, data files of their packages included.
        tools: Versions of the foreign packages it may import, by distribution.
    """

    digest: str
    tools: dict[str, str]


@cache
def code_of(module: str) -> Code:
    """Describe the code of a module by reading it; nothing is imported."""
    files: dict[str, str] = {}
    foreign: set[str] = set()
    queue = [module]
    seen: set[str] = set()
    while queue:
        name = queue.pop()
        if name in seen:
            continue
        seen.add(name)
        if name.split(".")[0] not in FIRST_PARTY:
            foreign.add(name.split(".")[0])
        elif path := _file_of(name):
            files |= {file.relative_to(_ROOT).as_posix(): _digest(file) for file in (path, *_data(path))}
            queue += _imports(path)
            queue += [name.rpartition(".")[0]] * ("." in name)
    tools = {name: version for name in sorted(foreign) if (version := _version(name))}
    return Code(digest=digest_json(files), tools=tools)


def _file_of(module: str) -> Path | None:
    """Give the file of a module; None where the name is something inside a module."""
    base = _ROOT.joinpath(*module.split("."))
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.is_file():
            return path
    return None


def _data(module_file: Path) -> Iterator[Path]:
    """Give the data files that lie in a package, tables for example."""
    if module_file.name == "__init__.py":
        for path in sorted(module_file.parent.iterdir()):
            if path.is_file() and path.suffix not in {".py", ".pyc"}:
                yield path


@cache
def _imports(path: Path) -> list[str]:
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


@cache
def _digest(path: Path) -> str:
    return digest_file(path)


@cache
def _version(package: str) -> str | None:
    """Give the version of a foreign package; None for the standard library and what is not installed."""
    if package in sys.stdlib_module_names:
        return None
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        names = _distributions().get(package, [])
        return importlib.metadata.version(names[0]) if names else None


@cache
def _distributions() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())
