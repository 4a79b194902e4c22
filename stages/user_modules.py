"""The user's own packages, by their source: a change there changes every step that uses them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from stages.artifact import digest_file, digest_json
from targets.errors import UsageError


def digest_modules(packages: Sequence[str]) -> str:
    """Give the digest of the packages' source files, without importing them; empty for no package.

    Raises:
        UsageError: One of them is not there.
    """
    digests = [digest_file(file) for package in packages for file in _files(package)]
    return digest_json(digests) if digests else ""


def _files(package: str) -> Iterator[Path]:
    spec = find_spec(package.partition(".")[0])
    if spec is None:
        raise UsageError(
            f"`model.modules` names {package}, which is not there.",
            hint="Put the package beside pipeline.yaml, or install it into this environment.",
        )
    for folder in spec.submodule_search_locations or ():
        yield from sorted(Path(folder).rglob("*.py"))
    if not spec.submodule_search_locations and spec.origin:
        yield Path(spec.origin)
