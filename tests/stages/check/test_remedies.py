"""Remedies: which TensorRT, and which JetPack for the same module, takes what this one does not."""

import pytest
from onnx import helper

from stages.check.remedies import advise
from targets.profile import TargetProfile


def board(module: str, jetpack: str) -> TargetProfile:
    return TargetProfile(name="t", device="t", runtime="tensorrt", module=module, jetpack=jetpack)


@pytest.mark.parametrize(
    ("op", "module", "told"),
    [
        pytest.param(
            "LayerNormalization",
            "agx-orin",
            "TensorRT 8.6 to 11.2 has it (JetPack 6.0 to 7.2.1, 7.2.2 with TensorRT 11.4.1). "
            "Export at opset 16, where it is made of operators that are older.",
            id="every later release",
        ),
        pytest.param("Swish", "agx-orin", "(JetPack 7.2.2 with TensorRT 11.4.1)", id="7.2.2 alone"),
        pytest.param("Swish", "orin-nx", ", but no JetPack for this module brings it.", id="not for NX"),
        pytest.param("Gelu", "xavier-nx", ", but no JetPack for this module brings it.", id="Xavier"),
        pytest.param("HannWindow", "thor", "(JetPack 7.0 to 7.2.1, 7.2.2 with TensorRT 11.4.1)", id="Thor"),
    ],
)
def test_jetpack_releases_for_the_module_are_named(op: str, module: str, told: str) -> None:
    assert told in advise(helper.make_node(op, [], []), board(module, "5.1"))


def test_no_jetpack_is_named_where_the_module_is_not_known() -> None:
    told = advise(helper.make_node("Gelu", [], []), board("", ""))

    assert told.startswith("TensorRT 10.0 to 11.2 has it. Export at opset 19")


def test_operator_that_none_has_is_to_be_replaced() -> None:
    told = advise(helper.make_node("MaxUnpool", [], []), board("agx-orin", "6.2"))

    assert told == "Replace the layer before export, or move it to post-processing."
