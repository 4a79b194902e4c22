"""Operator tables of TensorRT versions."""

import pytest

from targets.errors import UnsupportedError
from targets.operators import load_tensorrt_operators


@pytest.mark.parametrize(
    ("version", "table", "opset_max", "local_functions"),
    [
        ("8.5.2", "8.5", 17, False),
        ("8.6.2.3", "8.6", 17, False),
        ("10.3.0.30", "10.3", 20, True),
        ("10.7", "10.3", 20, True),
        ("10.16.2", "10.16", 24, True),
        ("11.4.1", "11.1", 24, True),
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
    ],
)
def test_support_is_that_of_the_version(op: str, version: str, level: str) -> None:
    support = load_tensorrt_operators(version).operators.get(op)

    assert (support and support.level) == level


@pytest.mark.parametrize("version", ["8.5", "8.6", "10.0", "10.1", "10.3", "10.13", "10.14", "10.16", "11.1"])
def test_every_restriction_says_what_it_is(version: str) -> None:
    operators = load_tensorrt_operators(version).operators

    assert len(operators) >= 180
    assert all(bool(one.restriction) == (one.level == "restricted") for one in operators.values())
