"""The table of TensorRT's API is what NVIDIA's own bindings have."""

import json
import shutil

import pytest

from tests.trt_double import bindings

TABLE = json.loads(bindings.TABLE.read_text())["versions"]


def read(requirement, folder):
    """Read the real module; without the package index or a compiler there is nothing to test."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler: apt-get install gcc libc6-dev")
    try:
        return bindings.look(bindings.fetch(requirement, folder))
    except ConnectionError as error:
        pytest.skip(f"the package index cannot be reached: {error}")


@pytest.mark.slow
@pytest.mark.parametrize(("line", "requirement"), bindings.REQUIREMENTS.items(), ids=bindings.REQUIREMENTS)
def test_the_table_is_what_the_real_module_has(line, requirement, tmp_path):
    assert TABLE[line] == read(requirement, tmp_path)


@pytest.mark.slow
def test_the_newest_real_module_lacks_nothing_of_the_newest_in_the_table(tmp_path):
    newest = read(bindings.NEWEST, tmp_path)

    assert sorted(names(TABLE["11.4"]) - names(newest)) == []


def names(version):
    """Give all names of a version: classes and enums with their members, and with the enums' values."""
    kinds = {f"{kind}.{member}" for kind, members in version["classes"].items() for member in members}
    values = {
        f"{kind}.{name}={value}" for kind, all_ in version["enums"].items() for name, value in all_.items()
    }
    return kinds | values | set(version["values"])


@pytest.mark.parametrize(
    ("line", "name", "is_there"),
    [
        ("8.5", "IBuilderConfig.builder_optimization_level", False),
        ("8.6", "IBuilderConfig.builder_optimization_level", True),
        ("8.6", "IExecutionContext.execute_async_v2", True),
        ("10.3", "IExecutionContext.execute_async_v2", False),
        ("10.16", "BuilderFlag.FP16=0", True),
        ("11.4", "BuilderFlag.FP16=0", False),
        ("10.16", "NetworkDefinitionCreationFlag.STRONGLY_TYPED=1", True),
        ("11.4", "NetworkDefinitionCreationFlag.STRONGLY_TYPED=0", True),
        ("11.4", "NetworkDefinitionCreationFlag.EXPLICIT_BATCH=0", False),
        ("10.16", "IInt8EntropyCalibrator2.get_batch", True),
        ("11.4", "IInt8EntropyCalibrator2.get_batch", False),
    ],
)
def test_the_table_knows_what_came_and_went(line, name, is_there):
    assert (name in names(TABLE[line])) is is_there


def test_arguments_are_read_from_signatures_as_pybind11_writes_them():
    text = """set_shape(*args, **kwargs)
Overloaded function.

1. set_shape(self: a.B, input: str, sizes: Dict[str, Tuple[int, int]], flag: bool = False) -> None

2. set_shape(self: a.B) -> a.C
"""

    assert bindings._overloads("set_shape", text) == [["self", "input", "sizes", "flag="], ["self"]]
