"""The Dockerfile: linted, and each of its RUN lines exercised as far as that goes without a Docker engine."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
RUNS = [re.sub(r"\\\n", " ", line) for line in re.findall(r"^RUN ((?:.*\\\n)*.*)$", TEXT, re.MULTILINE)]


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")

    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (0, "")


def test_there_is_no_run_line_that_these_tests_do_not_know() -> None:
    kinds = {"apt-get": 2, "make": 1, "python3": 1}

    assert {kind: sum(run.split()[0] == kind for run in RUNS) for kind in kinds} == kinds
    assert len(RUNS) == sum(kinds.values())


@pytest.mark.parametrize("run", [run for run in RUNS if run.startswith("apt-get")])
def test_every_package_that_an_image_installs_exists(run: str) -> None:
    if shutil.which("apt-get") is None:
        pytest.skip("no apt-get: Debian or Ubuntu is needed")
    (install,) = re.findall(r"apt-get install ([^&]*)", run)
    packages = [word for word in install.split() if not word.startswith("-")]

    done = subprocess.run(
        ["apt-cache", "show", "--no-all-versions", *packages], capture_output=True, text=True
    )

    found = set(re.findall(r"^Package: (\S+)", done.stdout, re.MULTILINE))
    virtual = {"libglib2.0-0"}  # a transitional name, provided by libglib2.0-0t64 on newer systems
    assert set(packages) - found <= virtual, done.stderr


def test_the_agent_that_the_edge_image_gets_is_made_and_starts(tmp_path: Path) -> None:
    (run,) = [run for run in RUNS if run.startswith("python3")]
    shutil.copytree(ROOT / "targets", tmp_path / "targets", ignore=shutil.ignore_patterns("__pycache__"))
    command = run.replace("/opt/agent.pyz", str(tmp_path / "agent.pyz")).split()

    made = subprocess.run(["/usr/bin/env", *command], cwd=tmp_path, capture_output=True, text=True)
    started = subprocess.run(
        [sys.executable, "-S", tmp_path / "agent.pyz", "--help"], capture_output=True, text=True
    )

    assert made.returncode == 0, made.stderr
    assert zipfile.is_zipfile(tmp_path / "agent.pyz")
    assert started.returncode == 0
    assert "run" in started.stdout


def test_the_make_target_of_the_training_image_is_the_readme_s() -> None:
    (run,) = [run for run in RUNS if run.startswith("make")]

    done = subprocess.run(["make", "-n", run.split()[1]], cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert run in (ROOT / "README.md").read_text(encoding="utf-8")
