"""The command line, called within this process: a second each for a new Python would be most of the time."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from pipeline.cli import app
from stages.artifact import digest_file, walk


@dataclass(frozen=True)
class Outcome:
    """What a command did.

    Attributes:
        code: Exit code.
        out: Stdout.
        said: Stderr.
    """

    code: int
    out: str
    said: str

    @property
    def document(self) -> Any:
        """The JSON document in the last line of stdout."""
        return json.loads(self.out.splitlines()[-1])

    @property
    def what(self) -> str:
        return self.document["error"]["what"]

    @property
    def hint(self) -> str:
        return self.document["error"]["hint"]


def invoke(*args: str | Path) -> Outcome:
    """Call `pipeline`; a bug, which would be a traceback, is raised here."""
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert "Traceback" not in result.stderr
    return Outcome(result.exit_code, result.stdout, result.stderr)


def contents(folder: Path) -> dict[str, tuple[str, int]]:
    """Give digest and time of change of all files below a folder."""
    return {name: (digest_file(path), path.stat().st_mtime_ns) for name, path in walk(folder)}
