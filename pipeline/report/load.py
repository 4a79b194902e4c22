"""Reading a report back: whole and of our version, or an error; never a pass by accident."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.ladder import READABLE, RunReport
from targets.errors import EdgeboundError

FILE_NAME = "report.json"


def parse_report(text: str | bytes, *, name: str = FILE_NAME) -> RunReport:
    """Read a report; what it lacks is an error or NaN, never a figure that could pass.

    Raises:
        EdgeboundError: `text` is no whole report, or one of a newer version.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        document = json.loads(text)
        schema = document["schema"]
        if schema not in READABLE:
            versions = " and ".join(map(str, READABLE))
            raise EdgeboundError(
                f"{name} has format version {schema!r}; this program reads {versions}.",
                hint="Use the version of edgebound that wrote it, or a newer one.",
            )
        return TypeAdapter(RunReport).validate_json(text, strict=True)
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        problem = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise _unreadable(name, problem) from exc
    except (ValueError, KeyError, TypeError) as exc:
        raise _unreadable(name, str(exc)) from exc


def load_report(path: Path) -> RunReport:
    """Read a `report.json`, or the one in the run's folder `path`.

    Raises:
        EdgeboundError: It is missing, truncated, or of a newer version.
    """
    file = path / FILE_NAME if path.is_dir() else path
    try:
        return parse_report(file.read_bytes(), name=str(file))
    except OSError as exc:
        raise _unreadable(str(file), exc.strerror or str(exc)) from exc


def _unreadable(name: str, problem: str) -> EdgeboundError:
    return EdgeboundError(
        f"{name} cannot be read as a report: {problem}", hint="Run the pipeline again to write a new one."
    )
