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


@pytest.mark.slow
@pytest.mark.timeout(60)  # each node once, not all that hang together with it: that took 3 minutes
def test_chain_of_30_000_nodes_is_one_part(tmp_path: Path) -> None:
    chain = " ".join(f"v{index} = Relu (v{index - 1})" for index in range(1, 30_000))

    found = place(tmp_path, f"v0 = Relu (x) {chain} y = Relu (v29999)")

    assert found is not None
    assert (found.on_dla, found.parts, found.handovers) == (30_001, 1, 0)


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


@pytest.mark.parametrize(
    ("module", "back"),
    [
        ("agx-orin", "JetPack 5.1 to 6.2.2, 7.2.2 with TensorRT 11.4.1 has it."),
        ("orin-nx", "JetPack 5.1 to 6.2.2 has it."),
    ],
)
def test_module_whose_cores_the_release_cannot_use_is_told_which_can(
    tmp_path: Path, module: str, back: str
) -> None:
    profile = replace(ORIN, runtime_version="10.16.2.10", jetpack="7.2", module=module, dla=0)

    found = place(tmp_path, "y = Relu (x)", profile)

    assert found is not None
    assert found.told()[0].endswith(back)


def test_agx_orin_has_them_again_with_11_4_1(tmp_path: Path) -> None:
    profile = replace(ORIN, runtime_version="11.4.1", jetpack="7.2.2", module="agx-orin")

    found = place(tmp_path, "y = Relu (x)", profile)

    assert found is not None
    assert (found.on_dla, found.reason) == (1, "")


def test_module_without_cores_has_no_placement_on_any_release(tmp_path: Path) -> None:
    profile = replace(ORIN, runtime_version="10.16.2.10", jetpack="7.2", module="orin-nano", dla=0)

    assert place(tmp_path, "y = Relu (x)", profile) is None


def test_device_without_cores_has_no_placement(tmp_path: Path) -> None:
    assert place(tmp_path, "y = Relu (x)", replace(ORIN, dla=0)) is None
