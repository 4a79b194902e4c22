"""Narrowing: which node loses what, in words."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from stages.check import Finding, check_file
from targets.profile import TargetProfile


def check(
    folder: Path, version: str, nodes: list[object], constants: dict[str, np.ndarray], kind: int
) -> list[Finding]:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, [4])],
        [helper.make_tensor_value_info("y", kind, [4])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    profile = TargetProfile(name="t", device="t", runtime="tensorrt", runtime_version=version)
    return [one for one in check_file(folder / "model.onnx", profile) if one.op]


def test_constant_that_is_clamped_is_told_at_each_node_that_reads_it(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Max", ["x", "bound"], ["a"], name="first"),
        helper.make_node("Min", ["a", "bound"], ["y"], name="second"),
    ]

    found = check(tmp_path, "8.5.2", nodes, {"bound": np.array([2**40, 1])}, TensorProto.INT64)

    assert [(one.node, one.op, one.severity) for one in found] == [
        ("first", "Max", "warning"),
        ("second", "Min", "warning"),
    ]
    assert found[0].reason == (
        "Max reads constant 'bound', which is INT64; TensorRT 8.5 makes it INT32, and clamps "
        "1099511627776 to 2147483647."
    )


def test_large_constant_is_looked_through_too(tmp_path: Path) -> None:
    values = np.zeros((5000, 4), np.int64)
    values[4999, 3] = -(2**35)
    node = helper.make_node("Add", ["x", "table"], ["y"], name="sum")

    (found,) = check(tmp_path, "8.6", [node], {"table": values}, TensorProto.INT64)

    assert "clamps -34359738368 to -2147483648" in found.reason


def test_shape_filled_with_what_is_clamped_is_told(tmp_path: Path) -> None:
    value = helper.make_tensor("value", TensorProto.INT64, [1], [2**40])
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["filled"], name="fill", value=value),
        helper.make_node("Add", ["x", "filled"], ["y"]),
    ]

    (found,) = check(tmp_path, "8.5", nodes, {"shape": np.array([4])}, TensorProto.INT64)

    assert (found.node, found.op) == ("fill", "ConstantOfShape")


def test_fp64_beyond_fp32_is_clamped_but_infinity_stays(tmp_path: Path) -> None:
    node = helper.make_node("Clip", ["x", "low", "high"], ["y"], name="clip")
    constants = {"low": np.array(-1e300), "high": np.array(np.inf)}

    clamped, computed = check(tmp_path, "10.3", [node], constants, TensorProto.DOUBLE)

    assert clamped.reason.startswith("Clip reads constant 'low', which is FP64; TensorRT 10.3 makes it FP32")
    assert "-1e+300 to -3.40" in clamped.reason
    assert computed.reason == "TensorRT 10.3 computes Clip in FP32; here it is in FP64, in one node."


@pytest.mark.parametrize("version", ["8.5", "10.16", "11.4.1"])
def test_fp64_is_told_once_an_operator_with_its_first_node(tmp_path: Path, version: str) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["wide"], name="widen", to=TensorProto.DOUBLE),
        helper.make_node("Add", ["wide", "wide"], ["twice"], name="add"),
        helper.make_node("Add", ["twice", "wide"], ["sum"], name="add again"),
        helper.make_node("Cast", ["sum"], ["y"], name="narrow", to=TensorProto.FLOAT),
    ]

    found = check(tmp_path, version, nodes, {}, TensorProto.FLOAT)

    told = {one.op: (one.node, one.reason.partition("; ")[2]) for one in found}
    assert told == {
        "Cast": ("widen", "here it is in FP64, in 2 nodes."),
        "Add": ("add", "here it is in FP64, in 2 nodes."),
    }


def test_fp64_that_is_folded_while_the_engine_is_built_is_not_told(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["half"], ["narrow"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "narrow"], ["y"]),
    ]

    assert check(tmp_path, "10.3", nodes, {"half": np.array(0.5)}, TensorProto.FLOAT) == []
