"""Check: findings for any ONNX file, whatever the runtime does with it."""

import csv
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper, parser

from stages.artifact import Artifact
from stages.check import Check, Checked, CheckInputs, Finding, check_file
from stages.check.examine import check_files
from stages.stage import no_progress
from targets.errors import ModelError
from targets.profile import RuntimeName, TargetProfile

CPU = TargetProfile(name="cpu", device="this machine", runtime="openvino")
CPU_ORT = TargetProfile(name="cpu-ort", device="this machine", runtime="onnxruntime")
ORIN = TargetProfile(name="orin", device="Jetson", runtime="tensorrt", runtime_version="10.3")
JETPACK_5 = TargetProfile(name="xavier", device="Jetson", runtime="tensorrt", runtime_version="8.5.2")
PROFILES = [CPU, CPU_ORT, ORIN]
THOR = TargetProfile(
    name="thor",
    device="Jetson",
    runtime="tensorrt",
    runtime_version="10.16.2.10",
    sm="11.0",
    jetpack="7.2",
    dla=0,
)
NEWEST = TargetProfile(name="h100", device="H100", runtime="tensorrt", runtime_version="11.4.1", sm="9.0")


def _save(
    folder: Path,
    body: str,
    *,
    shape: str = "1, 3, 8, 8",
    opset: int = 17,
    functions: str = "",
    inputs: str = "",
) -> Path:
    text = (
        f'<ir_version: 8, opset_import: ["": {opset}, "local": 1, "com.vendor": 1]> '
        f"g (float[{shape}] x{inputs}) => (float[n] y) {{ {body} }} {functions}"
    )
    (folder / "model.onnx").write_bytes(parser.parse_model(text).SerializeToString())
    return folder / "model.onnx"


def _errors(findings: tuple[Finding, ...]) -> list[tuple[str, str]]:
    return [(one.node, one.op) for one in findings if one.severity == "error"]


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_ordinary_model_has_no_finding(tmp_path: Path, profile: TargetProfile) -> None:
    path = _save(tmp_path, "s = Sigmoid (x) y = Mul (x, s)")

    assert check_file(path, profile) == ()


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_every_unknown_operator_is_found_at_its_node(tmp_path: Path, profile: TargetProfile) -> None:
    path = _save(tmp_path, "a = YoloLayer (x) b = Relu (a) y = Attention9 (b)")

    findings = check_file(path, profile)

    assert sorted(_errors(findings)) == [("a", "YoloLayer"), ("y", "Attention9")]
    assert all(one.reason and one.remedy for one in findings)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_operator_of_a_vendor_is_named_with_its_domain(tmp_path: Path, profile: TargetProfile) -> None:
    path = _save(tmp_path, "y = com.vendor.Relu (x)")

    findings = check_file(path, profile)

    assert [one.severity for one in findings] == ["error"]
    assert "com.vendor" in findings[0].op + findings[0].reason


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_open_shapes_are_a_warning(tmp_path: Path, profile: TargetProfile) -> None:
    path = _save(tmp_path, "y = Relu (x)", shape="n, 3, h, 8")

    (finding,) = check_file(path, profile)

    assert (finding.severity, finding.node) == ("warning", "x")
    assert "?x3x?x8" in finding.reason


@pytest.mark.parametrize("profile", [CPU, CPU_ORT], ids=lambda profile: profile.name)
def test_shapes_that_contradict_each_other_are_found_at_the_node(
    tmp_path: Path, profile: TargetProfile
) -> None:
    path = _save(tmp_path, "t = Flatten (x) y = MatMul (t, t)", shape="1, 3, 8, 8")

    assert _errors(check_file(path, profile)) == [("y", "MatMul")]


def test_tensorrt_reads_opsets_up_to_that_of_its_version(tmp_path: Path) -> None:
    path = _save(tmp_path, "y = Relu (x)", opset=19)

    (finding,) = check_file(path, JETPACK_5)

    assert (finding.severity, finding.op) == ("error", "")
    assert "opset 19" in finding.reason
    assert check_file(path, ORIN) == ()


def test_tensorrt_restriction_is_told_once_for_all_nodes(tmp_path: Path) -> None:
    body = "a, i = TopK (x, k) b, j = TopK (a, k) y = Identity (b)"
    path = _save(tmp_path, body, inputs=", int64[1] k")

    (finding,) = [one for one in check_file(path, replace(ORIN, precisions=("fp16",))) if one.op]

    assert (finding.severity, finding.node, finding.op) == ("warning", "a", "TopK")
    assert "`K` input must be less than 3840" in finding.reason
    assert "2 times" in finding.reason


def test_tensorrt_10_looks_into_local_functions_and_8_does_not_take_them(tmp_path: Path) -> None:
    function = (
        '<opset_import: ["": 17], domain: "local"> Act (a) => (b) { t = Sigmoid (a) b = MaxUnpool (t) }'
    )
    path = _save(tmp_path, "y = local.Act (x)", functions=function)

    assert _errors(check_file(path, ORIN)) == [("local::Act > b", "MaxUnpool")]
    assert _errors(check_file(path, JETPACK_5)) == [
        ("y", "local::Act"),
        ("local::Act > b", "MaxUnpool"),
    ]


def test_null_runtime_takes_everything(tmp_path: Path) -> None:
    path = _save(tmp_path, "y = YoloLayer (x)")

    assert check_file(path, TargetProfile(name="null", device="none", runtime="null")) == ()


def test_file_that_is_no_model_is_a_model_error(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no model")

    with pytest.raises(ModelError, match="no ONNX file"):
        check_file(tmp_path / "model.onnx", CPU)


def test_stage_checks_the_model_of_its_artifact(tmp_path: Path) -> None:
    _save(tmp_path, "y = YoloLayer (x)")

    result = Check().run(
        CheckInputs(model=Artifact.of(tmp_path), profile=ORIN), tmp_path / "out", no_progress
    )

    assert isinstance(result, Checked)
    assert _errors(result.findings) == [("y", "YoloLayer")]


def _save_endless(folder: Path) -> Path:
    """Save a loop over constants, of 2**62 turns, which OpenVINO wants to compute at once."""
    tensor = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["go_on"], ["goes_on"]), helper.make_node("Add", ["a", "one"], ["b"])],
        "body",
        [tensor("turn", 7, []), tensor("go_on", 9, []), tensor("a", 1, [1])],
        [tensor("goes_on", 9, []), tensor("b", 1, [1])],
    )
    constants = {"turns": np.int64(2**62), "true": np.bool_(1), "zero": np.zeros(1, np.float32)}
    graph = helper.make_graph(
        [
            helper.make_node("Loop", ["turns", "true", "zero"], ["end"], body=body),
            helper.make_node("Add", ["x", "end"], ["y"]),
        ],
        "endless",
        [tensor("x", 1, [1])],
        [tensor("y", 1, [1])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
        + [numpy_helper.from_array(np.ones(1, np.float32), "one")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "endless.onnx").write_bytes(model.SerializeToString())
    return folder / "endless.onnx"


@pytest.mark.slow
def test_runtime_that_does_not_finish_is_a_finding_and_the_next_model_is_looked_at(tmp_path: Path) -> None:
    sound = _save(tmp_path, "y = Relu (x)")
    endless = _save_endless(tmp_path)

    before, hang, after = check_files([sound, endless, sound], CPU, timeout_s=10)

    assert (before, after) == ((), ())
    assert isinstance(hang, tuple)
    assert [one.severity for one in hang] == ["error"]
    assert "did not finish within 10 s" in hang[0].reason


def _children() -> set[int]:
    tasks = Path(f"/proc/{os.getpid()}/task").iterdir()
    return {int(pid) for task in tasks for pid in (task / "children").read_text().split()}


def test_runtime_that_crashes_is_a_finding(tmp_path: Path) -> None:
    endless = _save_endless(tmp_path)
    before = _children()

    def crash() -> None:
        while not (new := _children() - before):
            time.sleep(0.05)
        for pid in new:
            os.kill(pid, signal.SIGSEGV)

    killer = threading.Thread(target=crash)
    killer.start()
    (finding,) = check_file(endless, CPU, timeout_s=30)
    killer.join()

    assert finding.severity == "error"
    assert "crashed (SIGSEGV)" in finding.reason


def test_model_that_wants_all_memory_is_a_finding(tmp_path: Path) -> None:
    body = "size = Constant <value_ints = [3000000, 3000000]> () c = ConstantOfShape (size)"
    path = _save(tmp_path, f"{body} s = ReduceSum <keepdims = 0> (c) y = Add (x, s)")

    findings = check_file(path, CPU)

    assert [one.severity for one in findings] == ["error"]


def test_child_imports_nothing_but_the_runtime() -> None:
    code = "import sys, stages.check.probe; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()

    assert not {"onnx", "numpy", "cv2", "torch", "pydantic", "openvino", "onnxruntime"} & set(loaded)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_bytes_changed_at_random_give_findings_or_a_model_error(tmp_path: Path, data: st.DataObject) -> None:
    path = _save(tmp_path, "a = YoloLayer (x) b = MaxPool <kernel_shape = [2, 2]> (a) y = local.Act (b)")
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8)):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content)

    try:
        findings = check_file(path, ORIN)
    except ModelError:
        return
    assert all(isinstance(one, Finding) and isinstance(one.op, str) for one in findings)


# ------------------------------------------------------------------ every model that we have
@pytest.fixture(scope="module")
def models(test_data: Path) -> list[Path]:
    folder = test_data / "onnx"
    with (folder / "manifest.csv").open(newline="") as file:
        return [folder / row["file"] for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def opens_in_ort(test_data: Path) -> dict[str, bool]:
    """Give what was seen when the collection was made, by file."""
    with (test_data / "onnx" / "manifest.csv").open(newline="") as file:
        return {
            row["file"]: row["runs_in_ort"] == "yes" or row["note"].startswith("session opens")
            for row in csv.DictReader(file)
        }


NOT_TO_BE_CHECKED = {
    "ext_weights.onnx",  # its external data are not there
    "broken_external_data_path_escape.onnx",
    "broken_truncated_yolox_nano.onnx",
}


@pytest.mark.slow
@pytest.mark.parametrize("profile", [*PROFILES, JETPACK_5, THOR, NEWEST], ids=lambda profile: profile.name)
def test_all_117_models_end_in_findings_or_a_model_error(models: list[Path], profile: TargetProfile) -> None:
    answers = check_files(models, profile, timeout_s=120)

    refused = {
        path.name for path, answer in zip(models, answers, strict=True) if isinstance(answer, ModelError)
    }
    reasons = [one.reason for answer in answers if isinstance(answer, tuple) for one in answer]
    assert len(models) == 117
    assert refused == NOT_TO_BE_CHECKED
    assert not [reason for reason in reasons if "crashed" in reason or "did not finish" in reason]


@pytest.mark.slow
def test_onnxruntime_findings_agree_with_what_was_seen_to_open(
    test_data: Path, opens_in_ort: dict[str, bool]
) -> None:
    names = [name for name in opens_in_ort if Path(name).name not in NOT_TO_BE_CHECKED]

    answers = check_files([test_data / "onnx" / name for name in names], CPU_ORT, timeout_s=120)

    accepted = {
        name: not _errors(answer)
        for name, answer in zip(names, answers, strict=True)
        if isinstance(answer, tuple)
    }
    assert accepted == {name: opens_in_ort[name] for name in names}


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime", "tensorrt"])
def test_real_detectors_can_be_run_everywhere(test_data: Path, runtime: RuntimeName) -> None:
    profile = TargetProfile(name="t", device="t", runtime=runtime, runtime_version="10.3")
    names = ["yolov8n_qdq_minmax_nohead.onnx", "yolox_nano.onnx"]

    answers = check_files([test_data / "weights" / name for name in names], profile)

    asymmetric, plain = (answer for answer in answers if isinstance(answer, tuple))
    assert _errors(plain) == []
    # Its UINT8 activations have zero points, which TensorRT does not take.
    assert {op for _, op in _errors(asymmetric)} == (
        {"QuantizeLinear", "DequantizeLinear"} if runtime == "tensorrt" else set()
    )
