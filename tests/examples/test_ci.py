"""The CI examples: what they run exists, and what they pick up is what a run writes."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from pipeline.cli import app

UsageError: Any = typer.BadParameter.__base__
EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples" / "ci").glob("*.yml"))


def scripts_of(value: Any, key: str = "") -> Iterator[str]:
    """Give all shell scripts of a workflow: `run` of GitHub Actions, `…script` of GitLab CI."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from scripts_of(inner, str(name))
    elif isinstance(value, list):
        for inner in value:
            yield from scripts_of(inner, key)
    elif isinstance(value, str) and (key == "run" or key.endswith("script")):
        yield value


def commands_of(file: Path) -> list[list[str]]:
    """Give the arguments of each call of `pipeline`."""
    scripts = "\n".join(scripts_of(yaml.safe_load(file.read_text())))
    lines = [line.strip() for line in scripts.split("\n")]
    return [shlex.split(line)[1:] for line in lines if line.startswith("pipeline ")]


def parse(arguments: list[str]) -> str:
    """Parse a command line with the real parser, without running it; give the command's name."""
    group: Any = typer.main.get_command(app)
    context = group.make_context("pipeline", arguments[:1])
    name, command, rest = group.resolve_command(context, list(arguments))
    command.make_context(name, rest, parent=context)
    return str(name)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_every_command_is_one_that_our_command_line_takes(file: Path) -> None:
    names = [parse(arguments) for arguments in commands_of(file)]

    assert names == ["check", "run", "run"]


def test_a_command_that_does_not_exist_would_be_noticed() -> None:
    with pytest.raises(UsageError):
        parse(["run", "--base-line", "report.json"])
    with pytest.raises(UsageError):
        parse(["gait", "report.json"])


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_what_is_picked_up_is_what_a_run_writes(file: Path) -> None:
    picked = set(re.findall(r"\b(?:report|baseline)/([a-z]+\.[a-z]+)", file.read_text()))

    assert picked == {"report.json", "junit.xml", "summary.md"}


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_no_failure_is_swallowed(file: Path) -> None:
    text = file.read_text()

    assert not re.search(r"continue-on-error|allow_failure|pipeline .*\|\|", text)
