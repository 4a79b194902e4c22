"""Operator tables of TensorRT versions."""

import pytest

from targets.errors import UnsupportedError
from targets.operators import load_tensorrt_operators, tensorrt_versions, versions_with
from targets.operators.dla import find_dla_support
from targets.operators.releases import (
    faults_of,
    find_plugin,
    jetpacks_with,
    jetpacks_with_dla,
    plugin_versions,
    spell,
    why_no_dla,
)


@pytest.mark.parametrize(
    ("version", "table", "opset_max", "local_functions"),
    [
        ("8.5.2", "8.5", 17, False),
        ("8.6.2.3", "8.6", 17, False),
        ("10.3.0.30", "10.3", 20, True),
        ("10.7", "10.3", 20, True),
        ("10.16.2", "10.16", 24, True),
        ("11.4.1", "11.2", 24, True),
        ("10.13.3.9", "10.13", 24, True),
    ],
)
def test_version_gets_the_newest_table_that_is_not_newer(
    version: str, table: str, opset_max: int, local_functions: bool
) -> None:
    found = load_tensorrt_operators(version)

    assert (found.version, found.opset_max, found.local_functions) == (table, opset_max, local_functions)
    assert found.source


@pytest.mark.parametrize("version", ["", "7.1", "newest"])
def test_version_without_a_table_is_refused_with_those_that_have_one(version: str) -> None:
    with pytest.raises(UnsupportedError, match="no operator table") as caught:
        load_tensorrt_operators(version)

    assert "8.5, 8.6, 10.0" in caught.value.hint


@pytest.mark.parametrize(
    ("op", "version", "level"),
    [
        pytest.param("Conv", "8.5", "full", id="everywhere"),
        pytest.param("Mod", "8.5", "full", id="denied by the document, but the parser has it"),
        pytest.param("Mod", "10.3", "full", id="later in both"),
        pytest.param("LayerNormalization", "8.5", "none", id="not yet"),
        pytest.param("LayerNormalization", "10.3", "restricted", id="since"),
        pytest.param("DeformConv", "10.3", "restricted", id="with a restriction"),
        pytest.param("MaxUnpool", "10.3", "none", id="never"),
        pytest.param("Attention", "10.13", "none", id="the version before it came"),
        pytest.param("Swish", "10.16", None, id="only in 11"),
        pytest.param("Swish", "11.0", "full", id="from its first version on"),
        pytest.param("Gelu", "8.6", None, id="with opset 20"),
        pytest.param("HardSwish", "8.5", "full", id="denied by the document too"),
        pytest.param("RMSNormalization", "10.14", None, id="before the change log has it"),
        pytest.param("RMSNormalization", "10.15", "full", id="since the change log has it"),
    ],
)
def test_support_is_that_of_the_version(op: str, version: str, level: str) -> None:
    support = load_tensorrt_operators(version).operators.get(op)

    assert (support and support.level) == level


@pytest.mark.parametrize("version", tensorrt_versions())
def test_every_restriction_says_what_it_is(version: str) -> None:
    operators = load_tensorrt_operators(version).operators

    assert len(operators) >= 180
    assert all(bool(one.restriction) == (one.level == "restricted") for one in operators.values())


def test_version_between_two_tables_knows_the_newer_one_too() -> None:
    between = load_tensorrt_operators("10.7")

    assert between.newer is not None
    assert (between.version, between.newer.version, between.newer.opset_max) == ("10.3", "10.9", 22)
    assert load_tensorrt_operators("10.3.0.30").newer is None


def test_tables_put_together_from_others_are_marked() -> None:
    derived = [one for one in tensorrt_versions() if load_tensorrt_operators(one).derived]

    assert derived == ["10.3", "10.9", "10.13", "10.15", "11.0", "11.2"]


def test_support_has_data_types_and_says_when_only_the_parser_has_it() -> None:
    operators = load_tensorrt_operators("8.5").operators

    assert operators["TopK"].dtypes == ("FP32", "FP16")
    assert [name for name, one in operators.items() if not one.documented] == ["HardSwish", "Mod", "OneHot"]
    assert versions_with("LayerNormalization")[0] == "8.6"
    assert versions_with("MaxUnpool") == ()


@pytest.mark.parametrize(
    ("op", "version", "remark"),
    [
        ("EfficientNMS_TRT", "8.5", ""),
        ("EfficientNMS_TRT", "10.12", "deprecated since TensorRT 10.12"),
        ("EfficientNMS_TRT", "11.4", "deprecated since TensorRT 10.12"),
        ("EfficientNMS_ONNX_TRT", "10.15", ""),
        ("EfficientNMS_ONNX_TRT", "10.16", None),
        ("NMS_TRT", "11.0", None),
        ("YoloLayer_TRT", "8.5", None),
    ],
)
def test_plugins_come_and_go_with_the_version(op: str, version: str, remark: "str | None") -> None:
    assert find_plugin(op, version) == remark
    assert bool(plugin_versions(op)) == (op != "YoloLayer_TRT")


def test_faults_belong_to_releases() -> None:
    assert [one.op for one in faults_of("10.2.0")] == [""]
    assert [one.op for one in faults_of("10.3.0.30", "6.2")] == ["TopK"]
    assert [one.op for one in faults_of("10.13.3.9", "7.1")] == ["GridSample"]
    assert faults_of("10.13.3.9") == faults_of("10.16.2.10", "7.2", "11.0") == ()


@pytest.mark.parametrize(
    ("version", "jetpack", "sm", "faulty"),
    [
        ("10.16.2.10", "7.2", "8.7", True),
        ("10.16.2.10", "7.2.1", "8.7", True),
        ("10.16.2.10", "7.2", "11.0", False),
        ("10.16", "", "8.7", False),
        ("11.4.1", "7.2.2", "8.7", False),
        ("10.3.0.30", "6.2", "8.7", False),
    ],
)
def test_jetpack_7_2_has_no_builder_resources_for_orin(
    version: str, jetpack: str, sm: str, faulty: bool
) -> None:
    found = [one for one in faults_of(version, jetpack, sm) if "builder resources" in one.fault]

    assert [one.source.partition(":")[0] for one in found] == (["OE4T/meta-tegra#2240"] if faulty else [])


@pytest.mark.parametrize(
    ("op", "module", "releases"),
    [
        pytest.param(
            "LayerNormalization", "agx-orin", "6.0 to 7.2.1, 7.2.2 with TensorRT 11.4.1", id="to the end"
        ),
        pytest.param("LayerNormalization", "orin-nx", "6.0 to 7.2.1", id="7.2.2 is not for this module"),
        pytest.param("Swish", "agx-orin", "7.2.2 with TensorRT 11.4.1", id="newer than the newest table"),
        pytest.param("HannWindow", "thor", "7.0 to 7.2.1, 7.2.2 with TensorRT 11.4.1", id="all of a module"),
        pytest.param("STFT", "orin-nano", "7.2 to 7.2.1", id="two"),
        pytest.param("Gelu", "xavier-nx", "", id="none"),
        pytest.param("MaxUnpool", "agx-orin", "", id="nowhere"),
    ],
)
def test_jetpacks_that_have_an_operator_are_found_for_the_module(op: str, module: str, releases: str) -> None:
    assert spell(jetpacks_with(op, module), module) == releases


@pytest.mark.parametrize(
    ("module", "releases"),
    [
        ("agx-orin", "5.1 to 6.2.2, 7.2.2 with TensorRT 11.4.1"),
        ("orin-nx", "5.1 to 6.2.2"),
        ("xavier-nx", "5.1 to 5.1.6"),
        ("orin-nano", ""),
        ("thor", ""),
        ("", ""),
    ],
)
def test_jetpacks_with_dla_are_those_of_modules_that_have_cores(module: str, releases: str) -> None:
    assert spell(jetpacks_with_dla(module), module) == releases


@pytest.mark.parametrize(
    ("version", "sm", "there"),
    [
        ("8.5", "7.2", True),
        ("10.7", "8.7", True),
        ("10.16.2.10", "8.7", False),
        ("11.4.1", "8.7", True),
        ("11.4.1", "11.0", False),
    ],
)
def test_dla_is_lost_after_10_7_and_back_on_agx_orin_in_11_4(version: str, sm: str, there: bool) -> None:
    assert (why_no_dla(version, sm) == "") == there


def test_dla_is_back_on_no_other_module_with_the_same_gpu() -> None:
    assert why_no_dla("11.4.1", "8.7", "agx-orin") == ""
    assert why_no_dla("11.4.1", "8.7", "orin-nx") != ""


def test_dla_takes_some_operators_only_since_a_version() -> None:
    assert find_dla_support("Div", "8.5.2").place == "gpu"
    assert find_dla_support("Div", "10.3").place == "native"
    assert find_dla_support("Shape", "10.3").place == "build-time"
    assert find_dla_support("TopK", "10.3").reason == "DLA does not know it"
