"""Asking a parser through the bindings of each version, as far as a double with their names goes."""

import sys
from pathlib import Path

import pytest
from onnx import parser

from stages.check.trt_parser import Answer, Refusal, ask_parser
from tests.stages.check.parser_double import API, Manner, install

TOLD = "No importer registered for this operator. (UNSUPPORTED_NODE)"
BRANCHES = (
    "y = If (c) <then_branch = t () => (a) { a = Softplus (x) }, else_branch = e () => (b) { b = Mish (x) }>"
)


def ask(folder: Path, version: str, body: str, *refuses: str, manner: Manner = "tells") -> Answer:
    install(folder, version, refuses=refuses, manner=manner)
    text = f'<ir_version: 8, opset_import: ["": 18]> g (float[4] x, bool c) => (float[4] y) {{ {body} }}'
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.delitem(sys.modules, "tensorrt", raising=False)
        try:
            return ask_parser(parser.parse_model(text).SerializeToString())
        finally:
            sys.modules.pop("tensorrt", None)


@pytest.mark.parametrize("version", API)
def test_every_version_is_asked_by_names_that_it_has(tmp_path: Path, version: str) -> None:
    assert ask(tmp_path, version, "y = Relu (x)", "Mish") == Answer(version=version, takes=True)


@pytest.mark.parametrize("version", API)
def test_refusal_is_told_with_node_and_words(tmp_path: Path, version: str) -> None:
    answer = ask(tmp_path, version, "[first] a = Relu (x) [second] y = Mish (a)", "Mish")

    named = {} if version.startswith("8.") else {"name": "second", "op": "Mish"}
    assert not answer.takes
    assert answer.refusals == (Refusal(index=1, why=TOLD, **named),)


@pytest.mark.parametrize("version", API)
def test_nodes_that_are_only_marked_are_refusals_without_words(tmp_path: Path, version: str) -> None:
    answer = ask(tmp_path, version, "a = Relu (x) b = Mish (a) y = Mish (b)", "Mish", manner="marks")

    assert answer == Answer(version=version, takes=False, refusals=(Refusal(index=1), Refusal(index=2)))


@pytest.mark.parametrize("version", ["10.3.0", "11.4.0.106"])
def test_nodes_within_others_are_told_by_their_names(tmp_path: Path, version: str) -> None:
    answer = ask(tmp_path, version, BRANCHES, "Mish", "Softplus")

    assert [(one.index, one.op) for one in answer.refusals] == [(0, "Softplus"), (0, "Mish")]
