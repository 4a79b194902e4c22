"""Choose: which engine of a release runs here."""

from pathlib import Path

import pytest

from targets.board.identity import Identity
from targets.errors import UnsupportedError
from targets.registry.content import Descriptor, Manifest
from targets.release.choose import Candidate, Device, candidates, choose, look, objections
from targets.release.facts import RELEASE_TYPE, annotations
from tests.targets.board.trees import ORIN_NANO_JETPACK6, write_tree
from tests.targets.release.releases import some_facts
from tests.trt_double.fixtures import board_here

ORIN = Device(
    Identity(
        model="NVIDIA Jetson AGX Orin Developer Kit", module="agx-orin", module_id="p3701-0005",
        memory_gb=62.0, l4t="36.4.3", jetpack="6.2", os="Linux 5.15.148-tegra aarch64",
        python="3.10.12", host="0123456789ab",
    ),
    runtimes={"tensorrt": "10.3.0"},
    sm="8.7",
)  # fmt: skip
PC = Device(
    Identity(
        model="", module="", module_id="", memory_gb=16.0, l4t="", jetpack="", os="Linux 6.1 x86_64",
        python="3.11.2", host="ba9876543210",
    ),
    runtimes={"openvino": "2025.3.0-19807-44526285f24-releases/2025/3", "onnxruntime": "1.22.1"},
    sm="",
)  # fmt: skip
PLAN = {
    "target": "orin@6.2", "runtime": "tensorrt", "runtime_version": "10.3.0", "sm": "8.7",
    "module": "agx-orin", "machine": "", "jetpack": "6.2", "l4t": ("36.4.0", "36.4.3"), "precision": "int8",
}  # fmt: skip
IR = {"target": "cpu", "runtime": "openvino", "runtime_version": "2025.3.0-1-abc", "machine": "x86_64"}


def candidate(**changes: object) -> Candidate:
    facts = some_facts(**changes)
    return Candidate(Descriptor("m", "sha256:" + "0" * 64, 1, annotations(facts)), facts)


@pytest.mark.parametrize(
    ("device", "facts", "reason"),
    [
        (ORIN, PLAN, ""),
        (ORIN, {**PLAN, "runtime_version": "10.7.0"}, "its TensorRT is 10.3.0, not 10.7.0"),
        (ORIN, {**PLAN, "runtime_version": "10.3.0.30"}, "its TensorRT is 10.3.0, not 10.3.0.30"),
        (ORIN, {**PLAN, "sm": "7.2"}, "its GPU has compute capability 8.7, not 7.2"),
        (ORIN, {**PLAN, "module": "orin-nx"}, "its module is agx-orin, not orin-nx"),
        (ORIN, {**PLAN, "jetpack": "6.0"}, "it has JetPack 6.2 (L4T 36.4.3), not 6.0"),
        (ORIN, IR, "OpenVINO 2025.3.0 is not installed"),
        (PC, IR, ""),
        (PC, {**IR, "runtime_version": "2024.6.0"}, ""),
        (PC, {**IR, "runtime_version": "2025.4.1"}, "its OpenVINO is 2025.3.0, older than 2025.4.1"),
        (PC, {**IR, "machine": "aarch64"}, "its CPU is x86_64, not aarch64"),
        (PC, {"runtime": "onnxruntime", "runtime_version": "1.22.1", "machine": "x86_64"}, ""),
        (PC, {"runtime": "onnxruntime", "runtime_version": "1.9.0", "machine": "x86_64"}, ""),
        (PC, {"runtime": "abacus", "runtime_version": "1"}, "abacus 1 is not installed"),
    ],
)
def test_an_engine_fits_or_it_is_said_why_not(device: Device, facts: dict[str, object], reason: str) -> None:
    found = objections(some_facts(**{"machine": "", **facts}), device)

    assert (reason in found) if reason else found == ()


def test_a_plan_wants_a_gpu_that_answers() -> None:
    blind = Device(ORIN.identity, ORIN.runtimes, sm="")

    assert objections(some_facts(**PLAN), blind) == ("no GPU was found",)


def test_of_several_the_very_version_comes_first_and_then_the_fastest() -> None:
    slow = candidate(**IR, p50_ms=9.0)
    exact = candidate(**{**IR, "runtime_version": "2025.3.0-19807-44526285f24-releases/2025/3"}, p50_ms=8.0)
    fast = candidate(**{**IR, "runtime_version": "2024.6.0"}, p50_ms=1.0)
    unknown = candidate(**{**IR, "runtime_version": "2024.6.0"}, p50_ms=None)

    assert choose([slow, fast, exact, unknown], [], PC, "auto") == exact
    assert choose([unknown, fast], [], PC, "auto") == fast


def test_a_device_gets_its_own_engine_out_of_many() -> None:
    found = [
        candidate(**IR),
        candidate(**PLAN),
        candidate(**{**PLAN, "target": "orin@6.0", "jetpack": "6.0"}),
    ]

    assert choose(found, [], ORIN, "auto").facts.target == "orin@6.2"
    assert choose(found, [], PC, "auto").facts.target == "cpu"
    assert choose(found, [], PC, "orin@6.0").facts.target == "orin@6.0"


def test_what_nobody_can_use_is_listed_with_its_reasons() -> None:
    named = {"org.edgebound.target": "thor", "org.edgebound.colour": "red"}
    newer = Descriptor("m", "sha256:" + "1" * 64, 1, named)
    papers = Descriptor("m", "sha256:" + "2" * 64, 1, annotations(some_facts(target="")))
    plan = candidate(**PLAN)
    engine = Descriptor("m", "sha256:" + "3" * 64, 1, annotations(plan.facts))
    index = Manifest("i", artifact_type=RELEASE_TYPE, manifests=(newer, papers, engine))

    found, strange = candidates(index)
    with pytest.raises(UnsupportedError) as caught:
        choose(found, strange, PC, "auto")

    assert [one.facts for one in found] == [plan.facts]
    lines = caught.value.what.splitlines()
    assert lines[1].startswith("  orin@6.2 (int8, TensorRT): TensorRT 10.3.0 is not installed; ")
    assert lines[2].startswith("  sha256:111111111111…: The annotations of a release cannot be read")
    assert (
        lines[3] == "  here: x86_64, OpenVINO 2025.3.0-19807-44526285f24-releases/2025/3, ONNX Runtime 1.22.1"
    )


def test_a_board_is_looked_at_as_it_is(tmp_path: Path) -> None:
    """With the double of TensorRT, and the files of a Jetson."""
    root = write_tree(tmp_path / "sysroot", ORIN_NANO_JETPACK6)
    with board_here("10.3"):
        device = look(root)
        plan = some_facts(**{**PLAN, "module": "orin-nano", "runtime_version": device.runtimes["tensorrt"]})

        assert (device.identity.module, device.identity.jetpack, device.sm) == ("orin-nano", "6.2", "8.7")
        assert objections(plan, device) == ()
        assert objections(some_facts(**PLAN), device) == ("its module is orin-nano, not agx-orin",)
