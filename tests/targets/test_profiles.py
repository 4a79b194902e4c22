"""The profiles that come with the program."""

from dataclasses import fields

import pytest

from pipeline.profiles import find_profile, profile_names
from targets.profile import TargetProfile


@pytest.mark.parametrize("name", profile_names())
def test_profile_is_named_as_its_file_and_says_where_its_facts_come_from(name: str) -> None:
    profile = find_profile(name)

    assert profile.name == name
    assert profile.sources
    assert set(profile.sources) <= {field.name for field in fields(TargetProfile)}


def test_there_is_one_for_each_cpu_runtime_and_one_for_orin() -> None:
    runtimes = {name: find_profile(name).runtime for name in profile_names()}

    assert {"cpu": "openvino", "cpu-ort": "onnxruntime", "orin": "tensorrt"}.items() <= runtimes.items()


@pytest.mark.parametrize("name", [name for name in profile_names() if not find_profile(name).local])
def test_target_that_is_elsewhere_names_the_version_to_build_for(name: str) -> None:
    assert find_profile(name).runtime_version
