"""`pipeline check`: one table for several targets, SARIF as the standard has it, and `--fix`."""

import json
from pathlib import Path
from urllib.parse import unquote

import onnx
import pytest
from commands import invoke
from onnx import parser

JETPACK_5 = """
name: jp5
device: A board with JetPack 5
runtime: tensorrt
runtime_version: "8.5.2"
local: false
"""


@pytest.fixture
def jetpack_5(tmp_path: Path) -> Path:
    (tmp_path / "jp5.yaml").write_text(JETPACK_5)
    return tmp_path / "jp5.yaml"


def save(folder: Path, body: str, opset: int = 17) -> Path:
    graph = f"g (float[1, 3, 8, 8] x) => (float[n] y) {{ {body} }}"
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]> {graph}')
    model.graph.node[0].name = "/model.22/cv2.0/cv2.0.0/act/Softplus"
    (folder / "a model.onnx").write_bytes(model.SerializeToString())
    return folder / "a model.onnx"


def test_targets_share_one_table_and_the_worst_counts(tmp_path: Path, jetpack_5: Path) -> None:
    model = save(tmp_path, "y = Mish (x)", opset=18)

    outcome = invoke("check", model, "--target", "orin", "--target", jetpack_5, "--json")

    verdicts = {name: one["verdict"] for name, one in outcome.document["targets"].items()}
    assert outcome.code == 5
    assert verdicts == {"orin": "pass", "jp5": "unsupported"}
    assert outcome.said.count("why, and what to do") == 1
    assert "model.22.cv2.0.0.act" in outcome.said
    assert "10.0 to 11.2 has it" in outcome.document["targets"]["jp5"]["findings"][1]["remedy"]


def test_targets_that_take_it_end_with_0_and_say_what_dla_runs(tmp_path: Path) -> None:
    outcome = invoke("check", save(tmp_path, "y = Softplus (x)"), "--target", "orin", "--json")

    assert outcome.code == 0
    assert outcome.document["targets"]["orin"]["dla"]["on_gpu"] == 1
    assert "DLA runs 0 of 1 nodes" in outcome.said


def test_sarif_has_what_the_standard_requires(tmp_path: Path, jetpack_5: Path) -> None:
    model = save(tmp_path, "y = Mish (x)", opset=18)
    invoke("check", model, "--target", "orin", "--target", jetpack_5, "--sarif", tmp_path / "o.sarif")

    document = json.loads((tmp_path / "o.sarif").read_text())

    # SARIF 2.1.0 (OASIS), §3.13, §3.14, §3.19, §3.27, §3.28: what is required, and of which kind.
    (run,) = document["runs"]
    rules = {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    assert (document["version"], run["tool"]["driver"]["name"]) == ("2.1.0", "edgebound")
    assert document["$schema"].endswith("sarif-2.1.0.json")
    assert run["results"]
    for result in run["results"]:
        assert result["message"]["text"]
        assert result["ruleId"] in rules
        assert result["level"] in {"none", "note", "warning", "error"}
        for location in result["locations"]:
            uri = location["physicalLocation"]["artifactLocation"]["uri"]
            assert " " not in uri
            assert unquote(uri) == model.as_posix()
            for logical in location.get("logicalLocations", []):
                assert logical["fullyQualifiedName"]
                assert logical["kind"] in {"resource", "module"}


def test_fix_writes_a_model_that_the_target_takes_and_says_what_it_did(
    tmp_path: Path, jetpack_5: Path
) -> None:
    model = save(tmp_path, "y = Relu (x)", opset=19)

    outcome = invoke("check", model, "--target", jetpack_5, "--fix", tmp_path / "fixed.onnx", "--json")

    (step,) = outcome.document["fixed"]
    assert outcome.code == 0
    assert (step["what"], step["done"], step["difference"]) == ("convert to opset 17", True, 0.0)
    assert "did convert to opset 17 (largest difference 0)" in outcome.said
    assert onnx.load(tmp_path / "fixed.onnx").opset_import[0].version == 17


def test_fix_of_what_needs_none_says_so(tmp_path: Path) -> None:
    model = save(tmp_path, "y = Relu (x)")

    outcome = invoke("check", model, "--target", "orin", "--fix", tmp_path / "fixed.onnx")

    assert outcome.code == 0
    assert "Nothing was rewritten" in outcome.said
    assert not (tmp_path / "fixed.onnx").exists()
