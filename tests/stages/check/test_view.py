"""What nodes see of constants, types and shapes: a body sees what is around it, and has names of its own."""

from pathlib import Path

from onnx import ModelProto, parser

from stages.check import check_file
from stages.check.inference import infer
from stages.check.view import View, views_of
from targets.profile import TargetProfile

ORIN = TargetProfile(name="orin", device="Jetson", runtime="tensorrt", runtime_version="10.3")
BRANCH = "{name}_branch = {name} () => (float[n, m] {name}_out) {{ {body} }}"


def _model(then: str, other: str, *, before: str = "", functions: str = "") -> ModelProto:
    branches = ", ".join(
        BRANCH.format(name=name, body=body) for name, body in (("then", then), ("else", other))
    )
    return parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17, "local": 1]> '
        f"g (float[2, 8000] x, bool c) => (float[n, m] y) {{ {before} y = If (c) <{branches}> }} {functions}"
    )


def _views(model: ModelProto) -> list[View]:
    (inferred,) = infer([model])
    return [view for view, _ in views_of(model, inferred)]


def test_constants_of_one_name_in_two_bodies_are_two(tmp_path: Path) -> None:
    top = "k = Constant <value = int64[1] {{{k}}}> () t, i = TopK (x, k) {out} = Relu (t)"
    model = _model(top.format(k=5, out="then_out"), top.format(k=5000, out="else_out"))
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())

    findings = check_file(tmp_path / "model.onnx", ORIN)

    (error,) = [one for one in findings if one.severity == "error"]
    assert "else_branch" in error.node
    assert "must be less than 3840" in error.reason


def test_values_of_one_name_in_two_bodies_have_shapes_and_types_of_their_own() -> None:
    model = _model(
        "t = Shape (x) f = Cast <to = 1> (t) then_out = Unsqueeze (f, t)",
        "t = Flatten (x) else_out = Relu (t)",
    )

    main, then, other = _views(model)

    assert (then.shapes["t"], then.types["t"]) == ((2,), 7)
    assert (other.shapes["t"], other.types["t"]) == ((2, 8000), 1)
    assert "t" not in main.shapes
    assert "t" not in main.types


def test_a_body_sees_what_is_around_it() -> None:
    model = _model(
        "then_out = Add (x, one)", "else_out = Mul (x, one)", before="one = Constant <value = float {1.0}> ()"
    )

    main, then, other = _views(model)

    assert all(view.constants.keys() == {"one"} for view in (main, then, other))
    assert all(view.shapes["x"] == (2, 8000) and "one" in view.foldable for view in (main, then, other))


def test_a_name_that_is_a_constant_around_a_body_can_be_computed_within() -> None:
    model = _model(
        "one = Relu (x) then_out = Add (x, one)",
        "else_out = Mul (x, one)",
        before="one = Constant <value = float {1.0}> ()",
    )

    _, then, other = _views(model)

    assert "one" not in then.constants
    assert "one" not in then.foldable
    assert "one" in other.constants


def test_the_node_around_bodies_sees_the_shapes_of_their_outputs() -> None:
    main, *_ = _views(_model("then_out = Relu (x)", "else_out = Sigmoid (x)"))

    assert main.shapes["then_out"] == main.shapes["else_out"] == (2, 8000)


def test_a_local_function_and_the_bodies_in_it_are_known_to_be_called() -> None:
    function = (
        '<opset_import: ["": 17], domain: "local"> Act (a, d) => (b) { b = If (d) <then_branch = t () => '
        "(float[n] p) { p = Relu (a) }, else_branch = e () => (float[n] q) { q = Abs (a) }> }"
    )
    model = _model("then_out = local.Act (x, c)", "else_out = Relu (x)", functions=function)

    called = [view.called for view in _views(model)]

    assert called == [False, False, False, True, True, True]
