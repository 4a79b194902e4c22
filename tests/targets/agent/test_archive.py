"""The agent is one file, equal from equal code, that any Python from 3.8 on runs with nothing installed."""

import ast
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from targets.agent.archive import make_agent

BARE = "/usr/bin/python3"


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("agent") / "agent.pyz"
    path.write_bytes(make_agent())
    return path


def in_archive(agent: Path, code: str, *flags: str) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.path.insert(0, {str(agent)!r}); {code}"
    return subprocess.run([sys.executable, *flags, "-c", code], capture_output=True, text=True, cwd="/")


def test_the_same_code_gives_the_same_agent() -> None:
    assert make_agent() == make_agent()


def test_an_agent_makes_itself(agent: Path) -> None:
    code = (
        "from targets.agent.archive import make_agent; import targets; assert '.pyz' in targets.__file__;"
        "sys.stdout.buffer.write(make_agent())"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(agent)!r}); {code}"],
        capture_output=True,
        check=True,
    )

    assert done.stdout == agent.read_bytes()


def test_an_agent_holds_the_code_and_no_more(agent: Path) -> None:
    with zipfile.ZipFile(agent) as archive:
        names = archive.namelist()

    assert {"__main__.py", "targets/agent/run.py", "targets/platforms.json"} <= set(names)
    assert not [name for name in names if "test" in name or name.endswith((".pyc", ".yaml"))]


def test_all_code_of_an_agent_is_python_3_8(agent: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(agent.read_bytes())) as archive:
        for name in archive.namelist():
            if name.endswith(".py"):
                ast.parse(archive.read(name), name, feature_version=(3, 8))


def test_every_module_of_an_agent_finds_what_it_imports_at_once(agent: Path) -> None:
    with zipfile.ZipFile(agent) as archive:
        modules = [
            name[:-3].replace("/", ".").replace(".__init__", "")
            for name in archive.namelist()
            if name.endswith(".py") and not name.endswith("__main__.py")
        ]
    code = f"import importlib; [importlib.import_module(one) for one in {modules!r}]"

    done = in_archive(agent, code)

    assert done.returncode == 0, done.stderr


def test_an_agent_loads_no_package_before_it_works(agent: Path) -> None:
    code = (
        "import targets.agent.run, targets.agent.steps, targets.agent.status, targets.agent.detach;"
        "print(sorted({'numpy', 'cv2', 'tensorrt', 'onnxruntime'} & set(sys.modules)))"
    )

    done = in_archive(agent, code)

    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.skipif(not Path(BARE).exists(), reason="no system Python: apt-get install python3")
def test_the_system_s_own_python_checks_with_nothing_installed(agent: Path) -> None:
    done = subprocess.run([BARE, "-S", "-E", agent, "check"], capture_output=True, text=True)

    assert done.returncode == 4
    assert "Missing: Python module numpy" in done.stderr
    assert "apt-get install python3-opencv" in done.stderr


def test_an_older_python_is_told_which_it_needs(agent: Path) -> None:
    with zipfile.ZipFile(agent) as archive:
        main = archive.read("__main__.py").decode()
    code = f"import sys; sys.version_info = (3, 6, 9); exec({main!r})"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.returncode == 1
    assert "needs Python 3.8 or newer; this is 3.6" in done.stderr
