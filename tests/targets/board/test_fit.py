from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.profiles import find_profile
from targets.board.fit import fits
from targets.board.identity import Identity, identify
from tests.targets.board.trees import (
    AGX_ORIN_JETPACK5,
    AGX_ORIN_JETPACK7,
    ORIN_NANO_JETPACK6,
    THOR_JETPACK7,
    X86_CPU,
    Tree,
    memory,
    write_tree,
)

NX = Identity("", "orin-nx", "p3767-0000", 16.4, "36.4.3", "6.2", "Linux", "3.10.12", "0")


@pytest.mark.parametrize(
    ("tree", "target", "facts", "version"),
    [
        (AGX_ORIN_JETPACK5, "orin@5.1.2", {"sm": "8.7"}, "8.5.2.2"),
        (ORIN_NANO_JETPACK6, "orin-nano-8gb", {"sm": "8.7", "gpu": "Orin"}, "10.3.0.30"),
        (THOR_JETPACK7, "thor@7.0", {"sm": "11.0"}, "10.13.3.9"),
        (AGX_ORIN_JETPACK7, "orin@7.2", {}, ""),
        (X86_CPU, "cpu-ort", {}, "1.23.0"),
        (X86_CPU, "l4", {"sm": "8.9"}, "11.4.0.106"),
    ],
)
def test_a_board_fits_the_target_that_it_is(
    tree: Tree, target: str, facts: dict[str, str], version: str, tmp_path: Path
) -> None:
    identity = identify(write_tree(tmp_path, tree))

    assert fits(identity, find_profile(target), facts=facts, runtime_version=version) == ()


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("orin@6.2", "its module is orin-nx, not agx-orin"),
        ("orin-nano-8gb", "its module is orin-nx, not orin-nano"),
        ("orin-nx-8gb", "it has 16.4 GB of memory, not 8 GB"),
        ("orin-nx-16gb@6.1", "it has JetPack 6.2 (L4T 36.4.3), not 6.1"),
    ],
)
def test_another_module_memory_or_release_is_a_reason(target: str, reason: str) -> None:
    assert fits(NX, find_profile(target), facts={}, runtime_version="10.3.0.30") == (reason,)


def test_a_module_with_less_memory_than_its_label_still_fits(tmp_path: Path) -> None:
    small = {**ORIN_NANO_JETPACK6, **memory(6643000, 5000000)}

    identity = identify(write_tree(tmp_path, small))

    assert fits(identity, find_profile("orin-nano-8gb"), facts={}, runtime_version="") == ()
    assert fits(identity, find_profile("orin-nano-4gb"), facts={}, runtime_version="")


def test_all_reasons_come_at_once() -> None:
    server = replace(NX, module="", l4t="", jetpack="", model="PowerEdge")

    reasons = fits(server, find_profile("orin"), facts={"sm": "8.9"}, runtime_version="11.4.0.106")

    assert reasons == (
        "its module is PowerEdge, not agx-orin",
        "it has no Jetson Linux, so not JetPack 6.2",
        "its GPU has compute capability 8.9, not 8.7",
        "its TensorRT is 11.4.0.106, not 10.3.0.30",
    )


def test_a_release_that_nobody_knows_is_a_reason() -> None:
    strange = replace(NX, l4t="36.9.9", jetpack="")

    (reason,) = fits(strange, find_profile("orin-nx-16gb"), facts={}, runtime_version="10.3.0.30")

    assert "L4T 36.9.9" in reason


@pytest.mark.parametrize(
    ("version", "accepted"), [("10.3.0.26", True), ("10.3.1.1", False), ("10.7.0.23", False)]
)
def test_tensorrt_is_compared_up_to_the_patch(version: str, accepted: bool) -> None:
    reasons = fits(NX, find_profile("orin-nx-16gb"), facts={}, runtime_version=version)

    assert (reasons == ()) is accepted


def test_a_cpu_of_another_kind_is_a_reason(tmp_path: Path) -> None:
    arm = find_profile("arm64-ort")
    found = identify(write_tree(tmp_path, X86_CPU))

    assert fits(replace(found, os="Linux 6.1.0 x86_64"), arm, facts={}, runtime_version="") == (
        "its CPU is x86_64, not aarch64",
    )
    assert fits(replace(found, os="Linux 6.1.0 aarch64"), arm, facts={}, runtime_version="") == ()
