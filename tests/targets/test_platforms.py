"""JetPack releases and the dialects of TensorRT versions."""

import pytest

from targets.platforms import find_dialect, load_jetpacks, number
from targets.profile import Dialect


def test_releases_are_in_order_and_each_has_a_source() -> None:
    releases = load_jetpacks()

    assert [*releases] == sorted(releases, key=number)
    assert all(one.source and one.tensorrt and one.python and one.modules for one in releases.values())


def test_no_release_of_jetson_linux_is_in_two() -> None:
    l4t = [one for release in load_jetpacks().values() for one in release.l4t]

    assert len(l4t) == len(set(l4t))


@pytest.mark.parametrize(
    ("module", "first", "last"),
    [
        ("xavier-nx", "5.1", "5.1.6"),
        ("thor", "7.0", "7.2.2"),
        ("agx-orin", "5.1", "7.2.2"),
        ("orin-nx", "5.1", "7.2.1"),
    ],
)
def test_a_module_takes_only_its_own_releases(module: str, first: str, last: str) -> None:
    takes = [*load_jetpacks(module)]

    assert (takes[0], takes[-1]) == (first, last)


@pytest.mark.parametrize(("version", "python"), [("5.1", "3.8"), ("6.0", "3.10"), ("7.2", "3.12")])
def test_the_python_of_a_release_is_known(version: str, python: str) -> None:
    assert load_jetpacks()[version].python == python


@pytest.mark.parametrize("version", ["8.5", "8.6.2.3"])
def test_tensorrt_8_wants_opset_17_and_fp32_scales(version: str) -> None:
    found = find_dialect(version)

    assert found
    assert found[0] == Dialect(opset=17, scale_dtype="float32", tensor_cores=True)


@pytest.mark.parametrize("version", ["10.0", "10.16.2.10", "11", "11.4.1"])
def test_tensorrt_10_and_later_want_opset_19_and_fp16_scales(version: str) -> None:
    found = find_dialect(version)

    assert found
    assert found[0] == Dialect(opset=19, scale_dtype="float16", tensor_cores=True)


@pytest.mark.parametrize("version", ["", "8.4", "newest"])
def test_what_is_older_or_no_version_has_no_dialect(version: str) -> None:
    assert find_dialect(version) is None
