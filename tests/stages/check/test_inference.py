"""Inference of types and shapes may fail, crash or never end: `check` goes on with what the file says."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from onnx import ModelProto, parser

from stages.check import Finding, check_file
from stages.check.inference import infer
from targets.profile import TargetProfile

ORIN = TargetProfile(name="orin", device="Jetson", runtime="tensorrt", runtime_version="10.3")
# onnx 1.23 looks for the end of this equation for ever.
ENDLESS = 'e = Einsum <equation = "...-"> (x) y = YoloLayer (e)'
FINE = "s = Shape (x) f = Flatten (x) y = Relu (f)"


def _model(body: str) -> ModelProto:
    return parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 17]> g (float[2, 3, 4] x) => (float[n, m] y) {{ {body} }}'
    )


def _check(folder: Path, model: ModelProto) -> tuple[Finding, ...]:
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return check_file(folder / "model.onnx", ORIN, timeout_s=1)


def _children() -> set[int]:
    tasks = Path(f"/proc/{os.getpid()}/task").iterdir()
    return {int(pid) for task in tasks for pid in (task / "children").read_text().split()}


def test_shapes_and_types_of_inner_values_are_inferred() -> None:
    (inferred,) = infer([_model(FINE)])

    assert inferred.trouble == ""
    assert inferred.scopes[0].shapes["f"] == (2, 12)
    assert (inferred.scopes[0].types["f"], inferred.scopes[0].types["s"]) == (1, 7)


def test_inference_that_does_not_end_is_a_warning_and_operators_are_checked(tmp_path: Path) -> None:
    findings = _check(tmp_path, _model(ENDLESS))

    assert [(one.severity, one.op) for one in findings] == [("error", "YoloLayer"), ("warning", "")]
    assert "could not be inferred: it did not finish within 1 s" in findings[1].reason


def test_inference_that_crashes_is_a_warning_and_operators_are_checked(tmp_path: Path) -> None:
    before = _children()

    def crash() -> None:
        while not (new := _children() - before):
            time.sleep(0.02)
        for pid in new:
            os.kill(pid, signal.SIGSEGV)

    killer = threading.Thread(target=crash)
    killer.start()
    findings = _check(tmp_path, _model(ENDLESS))
    killer.join()

    assert [(one.severity, one.op) for one in findings] == [("error", "YoloLayer"), ("warning", "")]
    assert "could not be inferred: it crashed (SIGSEGV)" in findings[1].reason


def test_types_that_contradict_each_other_are_told(tmp_path: Path) -> None:
    model = _model("y = Flatten (x)")
    model.graph.initializer.add(name="x", data_type=7, dims=[1], int64_data=[0])  # the input is of floats

    findings = _check(tmp_path, model)

    assert "Inferred elem type differs" in findings[0].reason
    assert findings[0].severity == "warning"


@pytest.mark.parametrize("domain", ["nowhere", "ai.onnx"])
def test_domain_without_a_version_leaves_no_shape_unknown(domain: str) -> None:
    (inferred,) = infer([_model(f"f = Flatten (x) y = {domain}.Relu (f)")])

    assert inferred.trouble == ""
    assert inferred.scopes[0].shapes["f"] == (2, 12)


def test_model_that_inference_chokes_on_costs_no_other_its_shapes() -> None:
    before, endless, after = infer([_model(FINE), _model(ENDLESS), _model(FINE)], timeout_s=0.5)

    assert before == after
    assert before.scopes[0].shapes["f"] == (2, 12)
    assert "did not finish" in endless.trouble
    assert endless.scopes[0].shapes["x"] == (2, 3, 4)  # as the file says


@pytest.mark.parametrize("count", [0, 3])
def test_each_model_gets_its_own_answer(count: int) -> None:
    models = [_model(f"s = Shape (x) f = Flatten <axis = {axis}> (x) y = Relu (f)") for axis in range(count)]

    shapes = [one.scopes[0].shapes["f"] for one in infer(models)]

    assert shapes == [(1, 24), (2, 12), (6, 4)][:count]
