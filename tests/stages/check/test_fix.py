"""Fix: safe rewrites, each proven, none where the proof fails."""

from pathlib import Path

import onnx
import pytest
from onnx import parser

from stages.check import check_file
from stages.check.fix import fix_file
from targets.errors import ModelError
from targets.profile import TargetProfile

JETPACK_5 = TargetProfile(name="jp5", device="Jetson", runtime="tensorrt", runtime_version="8.5.2")
ORIN = TargetProfile(name="orin", device="Jetson", runtime="tensorrt", runtime_version="10.3")


def _save(folder: Path, body: str, *, outputs: str = "float[n] y", opset: int = 17) -> Path:
    text = f'<ir_version: 9, opset_import: ["": {opset}]> g (float[1, 3, 8, 8] x) => ({outputs}) {{ {body} }}'
    (folder / "model.onnx").write_bytes(parser.parse_model(text).SerializeToString())
    return folder / "model.onnx"


def test_newer_opset_is_lowered_to_what_the_target_reads(tmp_path: Path) -> None:
    path = _save(tmp_path, "y = Relu (x)", opset=19)

    (step,) = fix_file(path, [JETPACK_5, ORIN], tmp_path / "out.onnx")

    assert (step.what, step.done, step.difference) == ("convert to opset 17", True, 0.0)
    assert check_file(tmp_path / "out.onnx", JETPACK_5) == ()


def test_older_opset_is_raised(tmp_path: Path) -> None:
    path = _save(tmp_path, "y = Relu (x)", opset=8)

    assert [step.what for step in fix_file(path, [ORIN], tmp_path / "out.onnx") if step.done] == [
        "convert to opset 17"
    ]


def test_count_that_only_needs_folding_becomes_an_initializer(tmp_path: Path) -> None:
    counted = "s = Shape (x) one = Constant <value = int64[1] {1}> () k = Gather (s, one)"
    body = f"{counted} y, i = TopK <axis = 1> (x, k)"
    path = _save(tmp_path, body, outputs="float[1, 3, 8, 8] y")
    before = check_file(path, JETPACK_5)

    steps = fix_file(path, [JETPACK_5], tmp_path / "out.onnx")

    assert "`K` input must be an initializer" in before[0].reason
    assert [step.what for step in steps if step.done] == ["fold constants"]
    assert check_file(tmp_path / "out.onnx", JETPACK_5) == ()


def test_indices_become_int32_and_mod_of_them_arithmetic(tmp_path: Path) -> None:
    constants = "k = Constant <value = int64[1] {3}> () t = Constant <value = int64 {2}> ()"
    body = f"{constants} y, i = TopK (x, k) m = Mod (i, t)"
    path = _save(tmp_path, body, outputs="float[1, 3, 8, 3] y, int64[1, 3, 8, 3] i, int64[1, 3, 8, 3] m")

    steps = fix_file(path, [JETPACK_5], tmp_path / "out.onnx")

    fixed = onnx.load(tmp_path / "out.onnx")
    assert {"write Mod as arithmetic", "give indices as INT32 outputs"} <= {
        one.what for one in steps if one.done
    }
    assert "Mod" not in {node.op_type for node in fixed.graph.node}
    assert [value.type.tensor_type.elem_type for value in fixed.graph.output] == [1, 6, 7]


def test_ends_of_slices_come_into_the_range_of_int32(tmp_path: Path) -> None:
    body = "y = Slice (x, b, e, a)"
    tail = "<int64[1] b = {1}, int64[1] e = {9223372036854775807}, int64[1] a = {3}>"
    graph = f"g (float[1, 3, 8, 8] x) => (float[1, 3, 8, 7] y) {tail} {{ {body} }}"
    text = f'<ir_version: 9, opset_import: ["": 17]> {graph}'
    (tmp_path / "model.onnx").write_bytes(parser.parse_model(text).SerializeToString())

    steps = fix_file(tmp_path / "model.onnx", [JETPACK_5], tmp_path / "out.onnx")

    assert [(one.what, one.done) for one in steps] == [
        ("bring the ends of slices into the range of INT32", True)
    ]


def test_model_that_needs_nothing_is_not_written(tmp_path: Path) -> None:
    path = _save(tmp_path, "y = Relu (x)")

    assert fix_file(path, [JETPACK_5, ORIN], tmp_path / "out.onnx") == ()
    assert not (tmp_path / "out.onnx").exists()


def test_model_that_cannot_be_run_is_not_rewritten(tmp_path: Path) -> None:
    path = _save(tmp_path, "a = YoloLayer (x) y = Relu (a)", opset=19)

    steps = fix_file(path, [JETPACK_5], tmp_path / "out.onnx")

    assert not any(one.done for one in steps)
    assert not (tmp_path / "out.onnx").exists()


def test_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    path = _save(tmp_path, "y = Relu (x)", opset=19)

    with pytest.raises(ModelError, match="cannot be written"):
        fix_file(path, [JETPACK_5], tmp_path / "none" / "out.onnx")
