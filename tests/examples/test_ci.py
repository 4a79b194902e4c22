"""The CI examples: what they run exists, and what they pick up is what a run writes."""

import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from pipeline.cli import app
from pipeline.config import load_config

UsageError: Any = typer.BadParameter.__base__
FOLDER = Path(__file__).resolve().parents[2] / "examples"
EXAMPLES = sorted((FOLDER / "ci").glob("*.yml"))
PIPELINE = FOLDER / "pipeline.yaml"


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


def places_of(value: Any, *path: str) -> Iterator[tuple[str, ...]]:
    """Give every text of a document behind the keys that lead to it."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from places_of(inner, *path, str(name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from places_of(inner, *path, str(number))
    else:
        yield (*path, str(value))


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

    by_hand = ["kit"] if file.stem == "github" else []
    assert names == ["check", "run", "run", "run", "run", *by_hand, "release"]


def test_a_command_that_does_not_exist_would_be_noticed() -> None:
    with pytest.raises(UsageError):
        parse(["run", "--base-line", "report.json"])
    with pytest.raises(UsageError):
        parse(["gait", "report.json"])


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_what_is_picked_up_is_what_a_run_writes(file: Path) -> None:
    picked = set(re.findall(r"\breport/([a-z]+\.[a-z]+)", file.read_text()))

    assert picked == {"junit.xml", "summary.md"}


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_every_run_takes_from_the_shared_cache_and_its_settings_are_settings(file: Path) -> None:
    runs = [one for one in commands_of(file) if one[0] == "run"]

    for arguments in runs:
        settings = [value for option, value in itertools.pairwise(arguments) if option == "--set"]
        assert load_config(PIPELINE, settings, demo=False, folder=file.parent).cache.remote == "$CACHE"
    assert [("--baseline" in one) for one in runs] == [True, False, True, False]


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_a_board_is_asked_by_its_jetpack_release_and_what_it_gives_is_released(file: Path) -> None:
    *_, at_the_board, release = (one for one in commands_of(file) if one[0] in {"run", "release"})

    assert "orin@6.2" in at_the_board
    assert release[1] in {"$(ls -d .edgebound/runs/*/ | tail -n 1)", "$last"}
    assert ("--channel", "stable") in itertools.pairwise(release)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_the_key_that_releases_is_seen_by_the_release_alone(file: Path) -> None:
    document = yaml.safe_load(file.read_text())
    seen = [place for place in places_of(document) if "EDGEBOUND_RELEASE_KEY" in place[-1]]
    scripts = [script for script in scripts_of(document) if "EDGEBOUND_RELEASE_KEY" in script]

    assert len(seen) == 1
    if file.stem == "github":
        steps = document["jobs"]["boards"]["steps"]
        (step,) = (one for one in steps if "EDGEBOUND_RELEASE_KEY" in str(one))
        assert step["if"] == "${{ startsWith(github.ref, 'refs/tags/') }}"
        assert "release" in document["jobs"]["boards"]["environment"]
    else:
        assert scripts[0].startswith('if [ -n "$CI_COMMIT_TAG" ]; then')


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_no_failure_is_swallowed(file: Path) -> None:
    text = file.read_text()

    assert not re.search(r"continue-on-error|allow_failure|pipeline .*\|\|", text)
