"""Licence: under what terms a release is given away."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files, metadata
from pathlib import Path

DEFAULT = "AGPL-3.0-or-later"
_NOTE = """\
This model was trained with Ultralytics YOLO, which is licensed under AGPL-3.0. Unless its maker holds another
licence from Ultralytics, the model is to be passed on under the same terms: {name}.
"""
_OWN = "License: {name}\n\nStated by whoever released this model (`release.license`).\n"
_LONGEST = 1 << 20  # bytes of a text that somebody names


@dataclass(frozen=True, kw_only=True)
class Licence:
    """Terms.

    Attributes:
        name: SPDX expression, or the name of the file that was given.
        text: The file `LICENSE`.
        spdx: `name` is an SPDX expression.
    """

    name: str
    text: str
    spdx: bool = True


def find_licence(given: str, root: Path) -> Licence:
    """Find the terms of a release.

    Args:
        given: As `release.license` has it: an SPDX expression, or a file of the project; empty: what follows
            from Ultralytics.
        root: Of the project.
    """
    if not given:
        return Licence(name=DEFAULT, text=_NOTE.format(name=DEFAULT) + _full_text())
    file = root / given
    if file.is_file() and file.stat().st_size <= _LONGEST:
        return Licence(
            name=Path(given).name, text=file.read_text(encoding="utf-8", errors="replace"), spdx=False
        )
    return Licence(name=given, text=_OWN.format(name=given))


def licence_of(package: str) -> str:
    """Give the licence that an installed package states; empty if it is not installed, or states none."""
    try:
        stated = metadata(package)
    except PackageNotFoundError:
        return ""
    texts = [*(stated.get_all("License-Expression") or []), *(stated.get_all("License") or [])]
    expression = texts[0] if texts else ""
    if expression and "\n" not in expression and len(expression) < 60:
        return str(expression)
    classifiers = [text for text in stated.get_all("Classifier") or [] if text.startswith("License :: ")]
    return str(classifiers[0].rpartition(" :: ")[2]) if classifiers else ""


def _full_text() -> str:
    """Give the text of the AGPL, which is this program's licence too, as its package or checkout has it."""
    checkout = Path(__file__).resolve().parents[2] / "LICENSE"
    if checkout.is_file():
        return "\n" + checkout.read_text(encoding="utf-8")
    try:
        found = [file for file in files("edgebound") or [] if file.name == "LICENSE"]
    except PackageNotFoundError:
        found = []
    return "\n" + found[0].read_text() if found else "\nhttps://www.gnu.org/licenses/agpl-3.0.txt\n"
