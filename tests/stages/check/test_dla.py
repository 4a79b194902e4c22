"""DLA: what stays, what falls back, and how often data change sides."""

from dataclasses import replace
from pathlib import Path

import pytest
from onnx import parser

from stages.check import Placement, check_for_all
from targets.profile import TargetProfile

ORIN = TargetProfile(
    name="orin", device="Jetson", runtime="tensorrt", runtime_version="10.3", sm="8.7", jetpack="6.2", dla=2
)


def place(
    folder: Path, body: str, profile: TargetProfile = ORIN, shape: str = "1, 64, 8, 8"
) -> Placement | None:
    text = f'<ir_version: 8, opset_import: ["": 17]> g (float[{shape}] x) => (float[] y) {{ {body} }}'
    (folder / "model.onnx").write_bytes(parser.parse_model(text).SerializeToString())
    (answer,) = check_for_all(folder / "model.onnx", [profile])
    return answer.dla


def test_what_falls_back_between_two_parts_costs_two_handovers(tmp_path: Path) -> None:
    found = place(tmp_path, "a = Relu (x) b = Softplus (a) y = Sigmoid (b)")

    assert found == Placement(
        on_dla=2,
        on_gpu=1,
        handovers=2,
        parts=2,
        fallen={"Softplus: not on DLA through TensorRT": 1},
        reason="",
    )
    assert "DLA runs 2 of 3 nodes in at least 2 parts; 2 values change sides." in found.told()


def test_what_the_builder_folds_is_on_neither_side(tmp_path: Path) -> None:
    found = place(tmp_path, "s = Shape (x) c = Cast <to = 1> (s) y = Relu (x)")

    assert found is not None
    assert (found.on_dla, found.on_gpu, found.handovers) == (1, 0, 0)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("y = MaxPool <kernel_shape = [8, 8]> (x)", ""),
        ("y = MaxPool <kernel_shape = [9, 9], pads = [4, 4, 4, 4]> (x)", "MaxPool: window beyond 8"),
        ("y = Concat <axis = 1> (x, x)", ""),
        ("y = Concat <axis = 2> (x, x)", "Concat: not along channels"),
        ("y = Transpose <perm = [0, 2, 3, 1]> (x)", ""),
        ("y = Transpose <perm = [1, 0, 2, 3]> (x)", "Transpose: moves the batch"),
        ("y = MatMul (x, x)", "MatMul: the second input is no constant"),
        ("y = Softmax (x)", ""),
    ],
)
def test_limits_of_the_layers_are_kept(tmp_path: Path, body: str, why: str) -> None:
    found = place(tmp_path, body)

    assert found is not None
    assert list(found.fallen) == ([why] if why else [])


def test_open_shapes_keep_everything_off(tmp_path: Path) -> None:
    found = place(tmp_path, "y = Relu (x)", shape="n, 3, h, w")

    assert found is not None
    assert found.fallen == {"Relu: the model's shapes are not fixed": 1}


def test_jetpack_7_2_has_none(tmp_path: Path) -> None:
    found = place(tmp_path, "y = Relu (x)", replace(ORIN, runtime_version="10.16.2.10", jetpack="7.2"))

    assert found is not None
    assert found.told()[0].startswith("TensorRT 10.16.2.10 has no DLA")


def test_device_without_cores_has_no_placement(tmp_path: Path) -> None:
    assert place(tmp_path, "y = Relu (x)", replace(ORIN, dla=0)) is None
