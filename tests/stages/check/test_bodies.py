"""Graphs within graphs, local functions and domains of others: all is looked at, and named with its place."""

from pathlib import Path

import pytest
from onnx import ModelProto, parser

from stages.check import Finding, check_file
from stages.check.bodies import name_by_place
from stages.check.origin import module_of
from targets.profile import TargetProfile

ORIN = TargetProfile(name="orin", device="Jetson", runtime="tensorrt", runtime_version="10.3")
CPU = TargetProfile(name="cpu", device="this machine", runtime="openvino")
CPU_ORT = TargetProfile(name="cpu-ort", device="this machine", runtime="onnxruntime")

IF = """
[choice] y = If (c) <
  then_branch = t () => (float[4] a) { [inner] a = MaxUnpool (x) },
  else_branch = e () => (float[4] b) { [inner] b = Relu (x) }
>
"""
NESTED = """
[outer] y = If (c) <
  then_branch = t () => (float[4] a) {
    [inner] a = If (c) <
      then_branch = tt () => (float[4] aa) { [deep] aa = Bernoulli (x) },
      else_branch = te () => (float[4] ab) { ab = Relu (x) }
    >
  },
  else_branch = e () => (float[4] b) { b = Relu (x) }
>
"""
LOOP = """
n = Constant <value = int64 {3}> ()
[turns] y = Loop (n, c, x) <
  body = l (int64 turn, bool go, float[4] v) => (bool goes, float[4] w) {
    goes = Identity (go)
    [inner] w = MaxUnpool (v)
  }
>
"""
SCAN = """
[rows] y = Scan <num_scan_inputs = 1, body = s (float[1] v) => (float[1] w) { [inner] w = Bernoulli (v) }> (x)
"""
FUNCTION = """
<opset_import: ["": 17], domain: "local"> Act (a) => (b) { [inner] b = MaxUnpool (a) }
"""
BRANCHES_IN_FUNCTION = """
<opset_import: ["": 17], domain: "local"> Choose (k, a) => (b) {
  [choice] b = If (k) <
    then_branch = t () => (u) { [inner] u = MaxUnpool (a) },
    else_branch = e () => (v) { v = Relu (a) }
  >
}
"""


def model(body: str, functions: str = "", inputs: str = "float[4] x, bool c") -> ModelProto:
    header = '<ir_version: 8, opset_import: ["": 17, "local": 1, "com.vendor": 1]>'
    return parser.parse_model(f"{header} g ({inputs}) => (float[4] y) {{ {body} }} {functions}")


def check(
    folder: Path, body: str, functions: str = "", profile: TargetProfile = ORIN, inputs: str = ""
) -> tuple[Finding, ...]:
    made = model(body, functions, **({"inputs": inputs} if inputs else {}))
    (folder / "model.onnx").write_bytes(made.SerializeToString())
    return check_file(folder / "model.onnx", profile)


def errors(findings: tuple[Finding, ...]) -> list[tuple[str, str]]:
    return [(one.node, one.op) for one in findings if one.severity == "error"]


@pytest.mark.parametrize(
    ("body", "functions", "node", "op"),
    [
        pytest.param(IF, "", "choice > then_branch > inner", "MaxUnpool", id="If"),
        pytest.param(
            NESTED, "", "outer > then_branch > inner > then_branch > deep", "Bernoulli", id="If in If"
        ),
        pytest.param(LOOP, "", "turns > body > inner", "MaxUnpool", id="Loop"),
        pytest.param(SCAN, "", "rows > body > inner", "Bernoulli", id="Scan"),
        pytest.param("y = local.Act (x)", FUNCTION, "local::Act > inner", "MaxUnpool", id="local function"),
        pytest.param(
            "y = local.Choose (c, x)",
            BRANCHES_IN_FUNCTION,
            "local::Choose > choice > then_branch > inner",
            "MaxUnpool",
            id="If in a local function",
        ),
    ],
)
def test_operator_within_another_is_found_and_named_with_its_place(
    tmp_path: Path, body: str, functions: str, node: str, op: str
) -> None:
    assert errors(check(tmp_path, body, functions)) == [(node, op)]


@pytest.mark.parametrize(
    ("profile", "op"), [(CPU_ORT, "YoloLayer"), (CPU, "com.vendor::Act")], ids=["onnxruntime", "openvino"]
)
def test_runtime_that_complains_of_a_node_within_another_has_its_place_named_too(
    tmp_path: Path, profile: TargetProfile, op: str
) -> None:
    findings = check(tmp_path, IF.replace("MaxUnpool", op.replace("::", ".")), profile=profile)

    assert errors(findings) == [("choice > then_branch > inner", op)]


@pytest.mark.parametrize(
    ("body", "node"),
    [
        ("[act] y = com.vendor.Act (x)", "act"),
        ("[act] y = com.vendor.Relu (x)", "act"),
        (IF.replace("MaxUnpool", "com.vendor.Relu"), "choice > then_branch > inner"),
    ],
)
def test_operator_of_another_domain_is_unknown_whatever_its_name(
    tmp_path: Path, body: str, node: str
) -> None:
    (error,) = (one for one in check(tmp_path, body) if one.severity == "error")

    assert (error.node, error.op[:12]) == (node, "com.vendor::")
    assert error.reason.startswith("TensorRT 10.3 has no importer for com.vendor::")


def test_function_of_ones_own_may_have_the_domain_of_a_vendor_and_call_another(tmp_path: Path) -> None:
    functions = """
    <opset_import: ["": 17, "local": 1], domain: "com.vendor"> Act (a) => (b) { b = local.Soft (a) }
    <opset_import: ["": 17], domain: "local"> Soft (a) => (b) { b = Softplus (a) }
    """

    assert check(tmp_path, "y = com.vendor.Act (x)", functions) == ()


def test_what_callers_give_a_local_function_is_open_and_not_broken(tmp_path: Path) -> None:
    functions = """
    <opset_import: ["": 17], domain: "local"> Narrow (a, k) => (b) { b = Squeeze (a, k) }
    """
    body = "k = Constant <value = int64[1] {0}> () y = local.Narrow (x, k)"

    (finding,) = check(tmp_path, body, functions, inputs="float[1, 4] x")

    assert (finding.severity, finding.node) == ("warning", "local::Narrow > b")
    assert "`axes` must be an initializer" in finding.reason


def test_attribute_that_callers_give_a_local_function_is_open_and_not_broken(tmp_path: Path) -> None:
    functions = """
    <opset_import: ["": 17], domain: "local"> Grow <mode> (a, s) => (b) {
      b = Resize <mode: string = @mode> (a, , s)
    }
    """
    body = 's = Constant <value = float[4] {1.0, 1.0, 2.0, 2.0}> () y = local.Grow <mode = "linear"> (x, s)'

    found = check(tmp_path, body, functions, inputs="float[1, 3, 8, 8] x")

    assert [(one.severity, one.node) for one in found] == [("warning", "local::Grow > b")]
    assert "Supported resize modes" in found[0].reason


def test_constant_around_a_body_is_a_constant_within_it(tmp_path: Path) -> None:
    body = """
    k = Constant <value = int64[1] {0}> ()
    y = If (c) <
      then_branch = t () => (float[4] a) { a = Squeeze (x, k) },
      else_branch = e () => (float[4] b) { b = Squeeze (x, k) }
    >
    """

    assert errors(check(tmp_path, body, inputs="float[1, 4] x, bool c")) == []


def test_same_name_in_two_bodies_means_two_values(tmp_path: Path) -> None:
    body = """
    y = If (c) <
      then_branch = t () => (float[1, 4] a) {
        k = Constant <value = int64[1] {0}> ()
        a = Unsqueeze (x, k)
      },
      else_branch = e () => (float[1, 4] b) {
        k = Cast <to = 7> (d)
        b = Unsqueeze (x, k)
      }
    >
    """

    found = check(tmp_path, body, inputs="float[4] x, bool c, float[1] d")

    assert [one.node.rpartition(" > ")[2] for one in found if one.severity == "error"] == ["b"]


def test_nodes_without_names_are_called_by_their_outputs() -> None:
    made = model(NESTED.replace("[outer]", "").replace("[deep]", ""))

    name_by_place(made)

    inner = made.graph.node[0].attribute[0].g.node[0].attribute[0].g.node[0]
    assert inner.name == "y > then_branch > inner > then_branch > aa"


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("/model.22/If > then_branch > Relu_3", "model.22"),
        ("/model.22/If > then_branch > /model.22/act/Relu", "model.22.act"),
        ("local::Act > Relu_3", ""),
    ],
)
def test_module_of_a_node_within_another_is_its_own_or_that_ones(name: str, module: str) -> None:
    made = model("y = Relu (x)")
    made.graph.node[0].name = name

    assert module_of(made.graph.node[0]) == module
