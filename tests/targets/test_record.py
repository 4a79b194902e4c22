"""A record survives the way to JSON and back, and nothing else is taken for one."""

# ruff: noqa: UP006, UP035, UP045 — as targets/ writes its types, for Python 3.8
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Mapping, Optional, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from targets.errors import ModelError
from targets.profile import Precision
from targets.record import dump, load, refuse_schema


@dataclass(frozen=True)
class Inner:
    name: str
    ms: float


@dataclass(frozen=True)
class Outer:
    precision: Precision
    inners: Tuple[Inner, ...]
    by_name: Mapping[str, Inner]
    pair: Tuple[float, float]
    maybe: Optional[int] = None
    more: Dict[str, str] = field(default_factory=dict)
    schema: int = 1


INNER = Inner("a", 1.5)
OUTER = Outer("fp16", (INNER,), {"x": INNER}, (0.0, 1.0), 3, {"k": "v"})


def changed(**fields: object) -> str:
    return json.dumps({**json.loads(dump(OUTER)), **fields})


def test_a_record_survives_the_way_to_json_and_back() -> None:
    assert load(Outer, dump(OUTER)) == OUTER


@settings(max_examples=50)
@given(st.text(), st.floats(allow_nan=False, allow_infinity=False))
def test_any_text_and_any_finite_figure_survive(name: str, ms: float) -> None:
    assert load(Inner, dump(Inner(name, ms))) == Inner(name, ms)


def test_a_whole_number_is_a_figure_too() -> None:
    assert load(Inner, '{"name": "a", "ms": 2}') == Inner("a", 2.0)


def test_fields_with_a_default_may_be_left_out() -> None:
    record = json.loads(dump(OUTER))
    del record["maybe"], record["more"]

    assert load(Outer, json.dumps(record)) == Outer("fp16", (INNER,), {"x": INNER}, (0.0, 1.0))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (changed(strange=1), "record has 'strange'"),
        (changed(inners=[{"name": "a"}]), r"record.inners\[0\] lacks ms"),
        (changed(precision="fp8"), "record.precision is 'fp8', not one of"),
        (changed(precision=["fp32"]), "record.precision"),
        (changed(maybe=True), "record.maybe is True, not a number"),
        (changed(maybe="3"), "record.maybe is str, not int"),
        (changed(pair=[1.0]), "record.pair has 1 items, not 2"),
        (changed(by_name={"x": 1}), "record.by_name.x is int, not dict"),
        (changed(pair=[float("nan"), 1.0]), r"record.pair\[0\] is nan, not a finite figure"),
        (changed(pair=[float("inf"), 1.0]), "not a finite figure"),
        ("[]", "record is list"),
        ("[" * 100_000, "nested too deeply"),
        ("{", "Expecting"),
    ],
)
def test_what_is_no_such_record_is_refused_with_its_place(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        load(Outer, text)


def test_nan_is_not_written() -> None:
    with pytest.raises(ValueError, match="JSON"):
        dump(Inner("a", float("nan")))


@pytest.mark.parametrize(("schema", "hint"), [(0, "older"), (2, "newer")])
def test_another_format_version_is_refused_with_what_to_do(schema: int, hint: str) -> None:
    with pytest.raises(ModelError, match=f"format version {schema}") as refused:
        refuse_schema(changed(schema=schema, strange=1), Path("kit.json"), 1, older="older", newer="newer")

    assert refused.value.hint == hint


@pytest.mark.parametrize("text", ["[]", "{}", '{"schema": "1"}', "[" * 100_000])
def test_what_has_no_format_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"version|deeply"):
        refuse_schema(text, Path("kit.json"), 1, older="", newer="")
