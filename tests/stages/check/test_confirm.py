"""The parser of an installed TensorRT: its word counts, and a disagreement is told as our error.

No TensorRT is here: a double with the names of the real bindings stands in (`parser_double.py`).
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from onnx import parser

from stages.artifact import Artifact
from stages.check import Check, CheckInputs, Finding, check_for_all
from stages.check.bodies import name_by_place
from stages.check.confirm import Confirmed, ask_installed, confirm, find_installed
from stages.stage import no_progress
from targets.profile import TargetProfile
from tests.stages.check.parser_double import Manner, install

OURS = "which is an error of Edgebound"
PARSER = "parser of the installed TensorRT 10.3.0"
ROOT = Path(__file__).resolve().parents[3]
Installed = Callable[..., Path]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installed:
    """Give what installs the double where this process and its children find it."""

    def install_here(
        version: str = "10.3.0", *, refuses: tuple[str, ...] = (), manner: Manner = "tells"
    ) -> Path:
        folder = tmp_path / "packages"
        install(folder, version, refuses=refuses, manner=manner)
        monkeypatch.delitem(sys.modules, "tensorrt")
        monkeypatch.syspath_prepend(folder)
        monkeypatch.setenv("PYTHONPATH", str(folder))
        return folder

    return install_here


def ask(
    body: str,
    *said: Finding,
    version: str = "10.3.0.30",
    local: bool = False,
    inputs: str = "float[4] x, bool c",
    timeout_s: float = 60,
) -> Confirmed:
    text = f'<ir_version: 8, opset_import: ["": 18]> g ({inputs}) => (float[4] y) {{ {body} }}'
    model = parser.parse_model(text)
    name_by_place(model)
    profile = TargetProfile(name="t", device="t", runtime="tensorrt", runtime_version=version, local=local)
    return confirm(said, model, profile, asked=lambda: ask_installed(model, timeout_s))


def finding(node: str, op: str, severity: str = "error") -> Finding:
    return Finding(node=node, op=op, severity=severity, reason="No.", remedy="Do.")  # type: ignore[arg-type]


def test_parser_that_agrees_adds_nothing(installed: Installed) -> None:
    installed()
    warning = finding("y", "Relu", "warning")

    assert ask("y = Relu (x)", warning) == Confirmed(findings=(warning,), by="10.3.0")


def test_node_that_only_the_tables_take_is_an_error_and_ours(installed: Installed) -> None:
    installed(refuses=("Softplus",))

    (found,) = ask("a = Relu (x) [last] y = Softplus (a)").findings

    assert (found.node, found.op, found.severity) == ("last", "Softplus", "error")
    assert found.reason == (
        f"The {PARSER} refuses Softplus: No importer registered for this operator. (UNSUPPORTED_NODE). "
        f"Edgebound's tables take it, {OURS}."
    )
    assert "report it to the makers of Edgebound" in found.remedy


def test_node_that_only_the_tables_refuse_is_a_warning_and_ours(installed: Installed) -> None:
    installed()

    (found,) = ask("y = Mish (x)", finding("y", "Mish")).findings

    assert (found.node, found.op, found.severity) == ("y", "Mish", "warning")
    assert found.reason == f"No. But the {PARSER} takes it: the tables are wrong, {OURS}."
    assert "report it to the makers of Edgebound" in found.remedy


@pytest.mark.parametrize("manner", ["tells", "marks"])
def test_node_that_both_refuse_is_told_once_and_nobodys_error(installed: Installed, manner: Manner) -> None:
    installed(refuses=("Mish",), manner=manner)

    (found,) = ask("y = Mish (x)", finding("y", "Mish")).findings

    assert (found.severity, found.reason) == ("error", f"No. So says the {PARSER}.")


def test_what_the_tables_left_open_is_decided_and_nobodys_error(installed: Installed) -> None:
    installed(refuses=("TopK",))
    said = finding("y", "TopK", "warning")

    error, warning = ask("y, i = TopK (x, k)", said, inputs="float[4] x, int64[1] k").findings

    assert (error.severity, error.node, warning) == ("error", "y", said)
    assert OURS not in error.reason


def test_more_that_is_refused_beside_an_error_may_follow_from_it(installed: Installed) -> None:
    installed(refuses=("Mish", "Softplus"))

    found = ask("a = Mish (x) y = Softplus (a)", finding("a", "Mish")).findings

    assert [(one.node, one.severity) for one in found] == [("a", "error"), ("y", "error")]
    assert not any(OURS in one.reason for one in found)


def test_node_within_another_is_named_with_its_place(installed: Installed) -> None:
    installed(refuses=("Mish",))
    branches = "then_branch = t () => (a) { a = Relu (x) }, else_branch = e () => (b) { b = Mish (x) }"

    (found,) = ask(f"[choice] y = If (c) <{branches}>").findings

    assert (found.node, found.op) == ("choice > else_branch > b", "Mish")


def test_refusal_without_a_reason_is_one_of_the_whole_model(installed: Installed) -> None:
    installed(refuses=("Mish",), manner="is silent")

    (found,) = ask("y = Mish (x)").findings

    assert (found.node, found.op, found.severity) == ("", "", "error")
    assert "refuses the model: it gives no reason" in found.reason


@pytest.mark.parametrize(
    ("version", "local", "asked"),
    [
        pytest.param("10.3", False, True, id="the target's version"),
        pytest.param("10.7", False, False, id="another minor version"),
        pytest.param("8.5.2", False, False, id="another major version"),
        pytest.param("8.5.2", True, True, id="another version, but the target is this machine"),
    ],
)
def test_only_the_targets_own_tensorrt_is_asked(
    installed: Installed, version: str, local: bool, asked: bool
) -> None:
    installed(refuses=("Relu",))

    confirmed = ask("y = Relu (x)", version=version, local=local)

    assert bool(confirmed.by) == bool(confirmed.findings) == asked
    # What another version refuses is no error of the tables.
    assert any(OURS in one.reason for one in confirmed.findings) == (version == "10.3")


@pytest.mark.parametrize(
    ("manner", "why"),
    [
        ("has no GPU", "pybind11::init(): factory function returned nullptr"),
        ("crashes", "it crashed (SIGSEGV)."),
        ("hangs", "it did not finish within 1 s."),
    ],
)
def test_parser_that_cannot_be_asked_is_told_and_the_tables_stand(
    installed: Installed, manner: Manner, why: str
) -> None:
    installed(manner=manner)
    said = finding("y", "Mish")

    confirmed = ask("y = Mish (x)", said, timeout_s=1 if manner == "hangs" else 60)

    error, warning = confirmed.findings
    assert (error, warning.severity, confirmed.by) == (said, "warning", "")
    assert warning.reason == f"TensorRT 10.3.0 is installed here, but its parser could not be asked: {why}"


def test_without_tensorrt_the_tables_stand() -> None:
    said = finding("y", "Mish")

    assert find_installed() == ""
    assert ask("y = Mish (x)", said) == Confirmed(findings=(said,))


def test_several_targets_cost_one_question_and_the_answer_names_who_was_asked(
    installed: Installed, tmp_path: Path
) -> None:
    folder = installed()
    text = '<ir_version: 8, opset_import: ["": 17]> g (float[4] x) => (float[4] y) { y = Relu (x) }'
    (tmp_path / "model.onnx").write_bytes(parser.parse_model(text).SerializeToString())
    names = {"a": ("10.3", "8.7"), "b": ("10.3.0.30", "8.6"), "c": ("8.5.2", "8.7")}
    profiles = [
        TargetProfile(name=name, device="t", runtime="tensorrt", runtime_version=version, sm=sm, local=False)
        for name, (version, sm) in names.items()
    ]

    answers = check_for_all(tmp_path / "model.onnx", profiles)

    assert [one.confirmed_by for one in answers] == ["10.3.0", "10.3.0", ""]
    assert (folder / "asked").read_text() == "x"


def test_stage_hears_the_parser_too(installed: Installed, tmp_path: Path) -> None:
    installed(refuses=("Relu",))
    text = '<ir_version: 8, opset_import: ["": 17]> g (float[4] x) => (float[4] y) { y = Relu (x) }'
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.onnx").write_bytes(parser.parse_model(text).SerializeToString())
    profile = TargetProfile(name="t", device="t", runtime="tensorrt", runtime_version="10.3", local=False)

    inputs = CheckInputs(model=Artifact.of(tmp_path / "model"), profile=profile)
    (found,) = Check().run(inputs, tmp_path, no_progress).findings

    assert (found.node, found.severity) == ("y", "error")
    assert OURS in found.reason


def test_version_that_is_asked_is_part_of_the_key_of_the_stage(installed: Installed) -> None:
    installed("10.16.1.11")
    code = (
        "import json; from pipeline.closure import code_of; print(json.dumps(code_of('stages.check').tools))"
    )

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert json.loads(done.stdout)["tensorrt"] == find_installed() == "10.16.1.11"
