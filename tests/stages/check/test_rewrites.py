"""Rewrites leave alone what they do not understand, however odd it is."""

import pytest
from onnx import ModelProto, TensorProto, helper, parser

from stages.check.rewrites import clamp_constants, narrow_outputs, spell_out_mod

HEAD = '<ir_version: 8, opset_import: ["": 17]> g (float[4] x, int64[4] n) => (int64[m] y)'


def _model(body: str) -> ModelProto:
    return parser.parse_model(f"{HEAD} {{ {body} }}")


@pytest.mark.parametrize(
    "body",
    [
        "i = ArgMax (x) y = Mod (i)",
        "i = ArgMax (x) y = Mod (i, n, n)",
        "i = ArgMax (x) y, z = Mod (i, n)",
        "y = Mod ()",
        "y = Mod (n, n)",
        "i = Reshape () y = Mod (i, n)",
    ],
)
def test_mod_that_is_none_of_an_index_stays(body: str) -> None:
    assert spell_out_mod(_model(body)) is None


def test_output_far_behind_its_index_is_narrowed() -> None:
    model = _model("i0 = ArgMax (x)")
    steps = [helper.make_node("Identity", [f"i{step}"], [f"i{step + 1}"]) for step in range(2000)]
    model.graph.node.extend([*steps, helper.make_node("Flatten", ["i2000"], ["y"])])

    changed = narrow_outputs(model)

    assert changed is not None
    assert changed.graph.output[0].type.tensor_type.elem_type == TensorProto.INT32


def test_output_behind_a_node_without_inputs_stays() -> None:
    assert narrow_outputs(_model("y = Reshape ()")) is None


def test_ends_whose_data_do_not_fit_their_shape_stay() -> None:
    model = _model("y = Slice (n, s, e)")
    model.graph.initializer.add(name="e", data_type=TensorProto.INT64, dims=[3], raw_data=bytes(8))

    assert clamp_constants(model) is None
