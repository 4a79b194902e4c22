"""The profiles that come with the program."""

from dataclasses import asdict, fields
from pathlib import Path

import pytest

import targets
from pipeline.profiles import find_profile, profile_names
from targets.operators.releases import jetpacks_with_dla
from targets.platforms import load_jetpacks
from targets.profile import Dialect, Rates, TargetProfile

NAMES = [
    "orin",
    "orin-32gb",
    "orin-nx-16gb",
    "orin-nx-8gb",
    "orin-nano-8gb",
    "orin-nano-4gb",
    "xavier-nx",
    "thor",
    "t4",
    "l4",
    "a10",
    "a100",
    "rtx3060",
    "rtx4090",
    "a6000",
    "h100",
    "h200",
    "cpu",
    "cpu-ort",
    "arm64-ort",
]
# What we call it, choose ourselves, or say about the others; the rest are facts.
NO_FACTS = {"name", "device", "module", "local", "threads", "confidence", "sources"}
JETSONS = [name for name in profile_names() if find_profile(name).module]
ALL = [*profile_names(), *(f"{name}@{one}" for name in JETSONS for one in find_profile(name).jetpacks)]


def test_all_devices_have_one() -> None:
    assert profile_names() == sorted(NAMES)


@pytest.mark.parametrize("target", ALL)
def test_every_fact_that_is_not_empty_has_a_source_and_no_source_is_left_over(target: str) -> None:
    profile = find_profile(target)
    empty = TargetProfile(name="", device="", runtime="null", precisions=())
    facts = {one.name for one in fields(TargetProfile)} - NO_FACTS
    filled = {name for name in facts if getattr(profile, name) != getattr(empty, name)}

    assert filled <= set(profile.sources)
    assert set(profile.sources) <= facts
    assert all(len(source) > 10 for source in profile.sources.values())


@pytest.mark.parametrize("name", profile_names())
def test_figures_say_how_sure_they_are(name: str) -> None:
    profile = find_profile(name)

    assert profile.name == name
    assert bool(profile.confidence) == (profile.rates != Rates())


def test_nothing_refers_to_a_folder_that_users_do_not_have() -> None:
    folder = Path(targets.__file__).parent
    files = [folder / "platforms.json", *(folder / "profiles").glob("*.yaml")]

    assert [file.name for file in files if "reference/" in file.read_text()] == []


@pytest.mark.parametrize(
    "name", [name for name in profile_names() if find_profile(name).runtime == "tensorrt"]
)
def test_target_with_tensorrt_names_the_version_to_build_for(name: str) -> None:
    assert find_profile(name).runtime_version
    assert not find_profile(name).local


@pytest.mark.parametrize(
    ("target", "tensorrt", "opset", "scales", "dla"),
    [
        ("orin@5.1", "8.5.2", 17, "float32", 2),
        ("orin@5.1.6", "8.5.2", 17, "float32", 2),
        ("orin@6.0", "8.6.2.3", 17, "float32", 2),
        ("orin@6.1", "10.3.0.30", 19, "float16", 2),
        ("orin@6.2", "10.3.0.30", 19, "float16", 2),
        ("orin@7.2", "10.16.2.10", 19, "float16", 0),
        ("orin@7.2.1", "10.16.2.10", 19, "float16", 0),
        ("orin@7.2.2", "11.4.1", 19, "float16", 2),
        ("orin-nx-8gb@7.2", "10.16.2.10", 19, "float16", 0),
        ("xavier-nx", "8.5.2", 17, "float32", 2),
        ("thor@7.0", "10.13.3.9", 19, "float16", 0),
        ("thor", "10.16.2.10", 19, "float16", 0),
        ("l4", "10.16", 19, "float16", 0),
    ],
)
def test_a_release_decides_tensorrt_dialect_and_dla(
    target: str, tensorrt: str, opset: int, scales: str, dla: int
) -> None:
    profile = find_profile(target)

    assert (profile.runtime_version, profile.dla) == (tensorrt, dla)
    assert asdict(profile.dialect) == {
        **asdict(Dialect(opset=opset, tensor_cores=True)),
        "scale_dtype": scales,
    }


def test_modules_with_dla_are_those_whose_profiles_have_cores() -> None:
    profiles = [find_profile(name) for name in ALL]

    with_cores = {one.module for one in profiles if one.dla}
    assert {one.module for one in profiles if jetpacks_with_dla(one.module)} == with_cores


def test_super_modes_begin_with_jetpack_6_2() -> None:
    before, since, later = (find_profile(f"orin-nano-8gb@{one}") for one in ("6.1", "6.2", "7.2"))

    assert before.rates == Rates(fp16_tflops=10.2, int8_tops=20.5, bandwidth_gb_s=68)
    assert before.power_modes == ("7W", "15W")
    assert since.rates == later.rates == Rates(fp16_tflops=16.7, int8_tops=33.4, bandwidth_gb_s=102.4)
    assert since.power_modes == ("15W", "25W", "MAXN_SUPER")


def test_what_is_not_known_is_empty() -> None:
    assert find_profile("thor").rates.int8_tops is None
    assert find_profile("xavier-nx").memory_gb is None
    assert load_jetpacks()["7.2.2"].cuda == ""


def test_the_example_budget_of_orin_is_8_ms() -> None:
    assert find_profile("orin").budgets.p99_ms == 8.0
