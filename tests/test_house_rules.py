"""The rules of the house that a machine can check."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from pipeline.cli import app
from pipeline.profiles import find_profile, profile_names

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted(
    path for name in ("pipeline", "stages", "targets", "benchmarks") for path in (ROOT / name).rglob("*.py")
)
HEAVY = (
    "cv2",
    "numpy",
    "onnx",
    "onnxruntime",
    "openvino",
    "torch",
    "ultralytics",
    "yaml",
)  # pydantic: typer loads it


def commands() -> list[list[str]]:
    found = []
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        found += [[name, one] for one in inner] if inner else [[name]]
    return found


def in_fresh_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_modules_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    long = {
        node.name: code
        for node in functions
        if (code := node.end_lineno - node.lineno - _docstring_lines(node)) > 40  # type: ignore[operator]
    }

    assert text.count("\n") <= 300
    assert long == {}


def _docstring_lines(node: ast.FunctionDef) -> int:
    first = node.body[0]
    is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return first.end_lineno - first.lineno + 1 if is_text else 0  # type: ignore[operator]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_is_left_for_later_without_an_issue(path: Path) -> None:
    loose = [line for line in path.read_text().splitlines() if re.search(r"\b(TODO|FIXME|XXX)\b", line)]

    assert [line for line in loose if not re.search(r"#\d+", line)] == []


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_has_help(command: list[str]) -> None:
    done = in_fresh_python(
        f"import sys; sys.argv = ['pipeline', *{command!r}, '--help']; from pipeline.cli import main; main()"
    )

    assert done.returncode == 0
    assert "Usage" in done.stdout
    assert "Example" in done.stdout or command[0] == "store"


def test_help_loads_no_heavy_package() -> None:
    done = in_fresh_python(
        "import sys; from typer.testing import CliRunner; from pipeline.cli import app\n"
        "CliRunner().invoke(app, ['run', '--help'])\n"
        f"print(sorted(set(sys.modules) & set({HEAVY!r})))"
    )

    assert done.stdout.strip() == "[]", done.stderr


def test_the_configuration_loads_no_torch() -> None:
    done = in_fresh_python(
        "import sys, pipeline.conduct\n"
        "print(sorted(set(sys.modules) & {'torch', 'ultralytics', 'onnx', 'onnxruntime', 'openvino', 'cv2'}))"
    )

    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_is_valid_and_says_where_its_facts_come_from(name: str) -> None:
    profile = find_profile(name)

    assert profile.name == name
    assert profile.sources


def test_the_board_check_catches_a_planted_construct(tmp_path: Path) -> None:
    planted = tmp_path / "targets"
    planted.mkdir()
    (planted / "new.py").write_text("def f(x):\n    match x:\n        case 1:\n            return 2\n")
    command = [
        str(Path(sys.executable).with_name("vermin")),
        "--quiet",
        "--no-tips",
        "--target=3.8-",
        "--violations",
        str(planted),
    ]

    done = subprocess.run(command, capture_output=True, text=True)

    assert done.returncode != 0
    assert "pattern matching requires" in done.stdout


def test_the_import_contracts_catch_a_planted_import(tmp_path: Path) -> None:
    for package in ("pipeline", "stages", "targets"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
    (tmp_path / "targets" / "wrong.py").write_text("import stages\n")
    (tmp_path / ".importlinter").write_text(
        "[importlinter]\nroot_packages =\n    pipeline\n    stages\n    targets\n"
        "[importlinter:contract:1]\nname = one way\ntype = layers\n"
        "layers =\n    pipeline\n    stages\n    targets\n"
    )
    code = "from importlinter.cli import lint_imports; import sys; sys.exit(lint_imports(no_cache=True))"

    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)

    assert done.returncode == 1
    assert "targets is not allowed to import stages" in done.stdout


def test_the_schema_for_editors_is_up_to_date() -> None:
    done = in_fresh_python(
        "import json; from pipeline.config import schema; print(json.dumps(schema(), indent=1))"
    )

    assert done.stdout == (ROOT / "pipeline" / "pipeline.schema.json").read_text(), (
        "python -m pipeline.config > pipeline/pipeline.schema.json"
    )


def test_the_command_line_reference_is_up_to_date(tmp_path: Path) -> None:
    file = tmp_path / "cli.md"
    typer = str(Path(sys.executable).with_name("typer"))
    command = [typer, "pipeline.cli", "utils", "docs", "--name", "pipeline", "--title", "Command line"]

    subprocess.run([*command, "--output", str(file)], cwd=ROOT, capture_output=True, check=True)

    assert file.read_text() == (ROOT / "docs" / "cli.md").read_text(), "make docs"
