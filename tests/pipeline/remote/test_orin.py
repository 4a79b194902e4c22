"""An Orin Nano over ssh: files of one, the double of TensorRT, a real sshd, the real agent."""

import pytest

from pipeline.profiles import find_profile
from tests.targets.board.trees import AGX_ORIN_JETPACK5, ORIN_NANO_JETPACK6, Tree, write_tree
from tests.trt_double.fixtures import board_env

from .conftest import Yard

TARGET = "orin-nano-8gb@6.2"


@pytest.fixture
def lab(yard: Yard):
    """Give a yard with one board, described by its files and its variables."""

    def give(tree: Tree = ORIN_NANO_JETPACK6, **more: str) -> Yard:
        root = write_tree(yard.folder / "sysroot", tree)
        yard.environment = {**board_env("10.3", **more), "EDGEBOUND_SYSROOT": str(root)}
        yard.device("nano", targets=[TARGET])
        return yard

    return give


def kit_for_nano(yard: Yard):
    return yard.kit(target=TARGET, profile=find_profile(TARGET))


@pytest.mark.slow
def test_engines_are_built_and_measured_on_the_board_and_the_receipt_says_simulated(lab) -> None:
    yard = lab()
    kit = kit_for_nano(yard)

    brought = yard.carry(kit)

    receipt = yard.receipt(kit, brought)
    assert receipt.simulated
    assert receipt.identity.module == "orin-nano"
    assert receipt.identity.jetpack == "6.2"
    assert receipt.runtime_version.startswith("10.3")
    assert receipt.facts["sm"] == "8.7"
    assert [one.failed for one in receipt.engines] == [""]
    assert "engines/fp32/engine.plan" in receipt.files


@pytest.mark.slow
def test_a_build_goes_on_while_the_connection_is_gone(lab) -> None:
    yard = lab(TRT_DOUBLE_FAIL="slow:2")
    kit = kit_for_nano(yard)
    yard.heard.at("started build", yard.sshd.kill_sessions)

    brought = yard.carry(kit)

    yard.receipt(kit, brought)
    assert any("no connection, trying again" in line for line in yard.heard.lines)
    assert (yard.jobs()[0] / "events.jsonl").read_text().count('"started"') == 1


@pytest.mark.slow
def test_an_agent_that_is_killed_while_it_builds_is_started_again(lab) -> None:
    yard = lab(TRT_DOUBLE_FAIL="slow:2")
    kit = kit_for_nano(yard)
    yard.heard.at("started build", yard.kill_agent)

    brought = yard.carry(kit)

    yard.receipt(kit, brought)
    events = (yard.jobs()[0] / "events.jsonl").read_text()
    assert (events.count('"started"'), events.count('"built"')) == (2, 1)


@pytest.mark.parametrize(
    ("tree", "sm", "reasons"),
    [
        pytest.param(AGX_ORIN_JETPACK5, "8.7", ("AGX", "5.1"), id="another module and JetPack"),
        pytest.param(ORIN_NANO_JETPACK6, "7.2", ("compute capability 7.2",), id="another GPU"),
    ],
)
def test_another_board_than_the_label_says_is_found_out(lab, tree: Tree, sm: str, reasons) -> None:
    yard = lab(tree, sm=sm)

    brought = yard.carry(kit_for_nano(yard))

    (why,) = brought.why
    assert why.startswith(f"nano: it is not {TARGET}: ")
    for reason in reasons:
        assert reason.lower() in why.lower()
    assert yard.jobs() == []


def test_a_board_without_its_cuda_library_is_told_what_to_install(lab) -> None:
    yard = lab()
    yard.environment["LD_LIBRARY_PATH"] = "/nonexistent"
    yard.python()

    brought = yard.carry(kit_for_nano(yard))

    (why,) = brought.why
    assert "it lacks" in why
    assert "sudo apt-get install cuda-cudart-12-6" in why
