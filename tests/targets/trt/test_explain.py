"""What TensorRT says, and what we make of it."""

import pytest

from targets.errors import EdgeboundError, EvidenceError, UnsupportedError
from targets.trt.explain import building_failed, loading_failed, parsing_failed
from targets.trt.log import Log, needing_gpu
from targets.trt.monitor import Steps


def said(*lines: str) -> Log:
    log = Log()
    for line in lines:
        log.hear(line[0], line[2:])
    return log


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        pytest.param(
            "E [optimizer.cpp::computeCosts] Error Code 10: Internal Error (Could not find any "
            "implementation for node /model.22/cv2.0/cv2.0.2/Conv.)",
            UnsupportedError,
            "at /model.22/cv2.0/cv2.0.2/Conv: ",
            id="node with dots",
        ),
        pytest.param(
            "E Error Code 10: Internal Error (Could not find any implementation for node "
            "{ForeignNode[/model.10/attn/Split.../model.10/attn/Reshape_1]}.)",
            UnsupportedError,
            "at {ForeignNode[/model.10/attn/Split.../model.10/attn/Reshape_1]}: ",
            id="foreign node",
        ),
        pytest.param(
            "E Error Code 1: Cuda Runtime (out of memory)", EdgeboundError, "out of memory", id="memory"
        ),
        pytest.param(
            "E [graphOptimizer.cpp::checkLinks::218] Error Code 2: Internal Error",
            UnsupportedError,
            "checkLinks",
            id="known fault",
        ),
    ],
)
def test_a_failed_build_names_node_reason_and_remedy(
    line: str, kind: type[EdgeboundError], words: str
) -> None:
    error = building_failed(said(line, "E Error Code 2: (Assertion engine != nullptr failed.)"))

    assert type(error) is kind
    assert words in error.what
    assert error.hint


def test_what_a_builder_tried_in_vain_is_not_why_it_failed() -> None:
    log = said(
        *(f"E Skipping tactic {place} due to insufficient memory on requested size" for place in range(5)),
        "E Error Code 4: Internal Error (a shape is wrong)",
    )

    error = building_failed(log)

    assert error.what == "TensorRT cannot build the engine: Error Code 4: Internal Error (a shape is wrong)"


def test_of_many_complaints_the_last_ones_are_told() -> None:
    error = building_failed(said(*(f"E complaint {place}" for place in range(9))))

    assert error.what == "TensorRT cannot build the engine: complaint 6; complaint 7; complaint 8"


def test_a_builder_that_says_nothing_is_told_of_too() -> None:
    assert building_failed(Log()).what == "TensorRT cannot build the engine: it does not say why"


def test_a_parser_names_the_first_node_and_counts_the_others() -> None:
    error = parsing_failed([("/a", "Gelu", "no importer"), ("/b", "Gelu", "no importer")], Log())

    assert error.what == "TensorRT's parser refuses the model: /a (Gelu): no importer (and 1 more)"


def test_a_plan_too_large_for_the_memory_asks_for_memory_and_not_for_a_build() -> None:
    error = loading_failed(b"plan", said("E Error Code 1: Cuda Runtime (out of memory)"))

    assert error.hint.startswith("Free memory")


def test_a_flood_of_one_kind_of_line_hides_no_other() -> None:
    log = said(*(f"W warning {place}" for place in range(5000)), "E it failed")

    assert len(log.lines) < 5000
    assert log.errors == ["it failed"]


def test_a_builder_that_cannot_be_made_is_evidence_that_is_missing() -> None:
    log = said("E CUDA initialization failure with error: 100")

    with pytest.raises(EvidenceError, match="CUDA initialization failure with error: 100"), needing_gpu(log):
        raise TypeError("pybind11::init(): factory function returned nullptr")


class TestSteps:
    def test_a_step_is_told_with_its_phase_and_of_how_many_it_is(self) -> None:
        told: list[tuple[float, float, str]] = []
        steps = Steps(lambda *what: told.append(what), "building, try 1 of 1")
        steps.begin("Tactics", 4)

        goes_on = steps.step("Tactics", 0), steps.step("Tactics", 9), steps.step("Unknown", 0)

        assert goes_on == (True, True, True)
        assert told[:2] == [
            (1, 4, "building, try 1 of 1: Tactics"),
            (4, 4, "building, try 1 of 1: Tactics"),
        ]

    def test_a_build_ends_when_nobody_listens(self) -> None:
        def broken(*_what: object) -> None:
            raise BrokenPipeError

        assert not Steps(broken, "building").step("Tactics", 0)
