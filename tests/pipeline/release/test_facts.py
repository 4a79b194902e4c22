"""`release.json` and its annotations: both say the same, and what is not so is refused."""

import contextlib
import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.release.publish import next_sequence
from targets.errors import ModelError, RegistryError
from targets.release.facts import (
    PREFIX,
    Override,
    ReleaseFacts,
    annotations,
    chosen_by,
    dump,
    has_expired,
    load,
)
from targets.release.names import evidence_name

HERE = Path("release.json")
FACTS = ReleaseFacts(
    name="steel",
    channel="stable",
    sequence=1_795_658_067,
    run="20260504-093012-7f3a",
    created="2026-05-04T10:00:00+00:00",
    expires="2027-05-04T10:00:00Z",
    target="orin@6.2",
    runtime="tensorrt",
    runtime_version="10.3.0.30",
    sm="8.7",
    module="agx-orin",
    machine="",
    jetpack="6.2",
    l4t=("36.4.3",),
    precision="int8",
    input=(640, 480),
    family="yolo11n",
    data_digest="sha256:" + "d1" * 32,
    map50_95=0.54,
    drift_pt=None,
    p50_ms=3.9,
    p99_ms=5.1,
    overrides=(Override("drift", 'the plant\'s lamps, changed: "ä"'),),
    edgebound="0.1.0",
)

texts = st.text(max_size=20)
figures = st.none() | st.floats(allow_nan=False, allow_infinity=False)
facts = st.builds(
    lambda **fields: replace(FACTS, **fields),
    sequence=st.integers(1, 2**62),
    target=texts,
    runtime_version=texts,
    l4t=st.lists(texts, max_size=3).map(tuple),
    map50_95=figures,
    drift_pt=figures,
    overrides=st.lists(st.builds(Override, texts, texts), max_size=3).map(tuple),
)


@given(facts)
def test_facts_survive_the_file_and_the_annotations(one: ReleaseFacts) -> None:
    assert load(dump(one), HERE) == one
    assert chosen_by(annotations(one)) == one


def test_annotations_are_texts_that_people_can_read() -> None:
    said = annotations(FACTS)

    assert said[f"{PREFIX}target"] == "orin@6.2"
    assert said[f"{PREFIX}l4t"] == '["36.4.3"]'
    assert f"{PREFIX}machine" not in said
    assert f"{PREFIX}drift_pt" not in said


def test_annotations_of_others_do_not_matter() -> None:
    assert chosen_by({**annotations(FACTS), "org.opencontainers.image.title": "x"}) == FACTS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sequence", "-1"),
        ("sequence", "1.5"),
        ("sequence", "9" * 5000),
        ("schema", "2"),
        ("input", "[640]"),
        ("l4t", "[[[["),
        ("l4t", "[" * 100_000),
        ("p50_ms", "NaN"),
        ("map50_95", "Infinity"),
        ("created", "yesterday"),
        ("expires", "2027-05-04T10:00:00+02:00"),
        ("channel", "../stable"),
        ("name", ""),
        ("unheard-of", "1"),
    ],
)
def test_annotations_that_say_what_cannot_be_are_refused(name: str, value: str) -> None:
    with pytest.raises(RegistryError):
        chosen_by({**annotations(FACTS), f"{PREFIX}{name}": value})


@given(st.dictionaries(st.sampled_from([f"{PREFIX}{name}" for name in vars(FACTS)]), texts, max_size=8))
def test_no_annotation_breaks_the_reader(changed: dict[str, str]) -> None:
    with contextlib.suppress(RegistryError):
        chosen_by({**annotations(FACTS), **changed})


@pytest.mark.parametrize(
    "change",
    [
        {"sequence": 0}, {"sequence": True}, {"sequence": "1"}, {"run": "../x"}, {"created": ""},
        {"expires": "soon"}, {"schema": 2}, {"schema": "1"}, {"l4t": "36.4.3"}, {"new": 1},
        {"input": [1, 2, 3]},
    ],
)  # fmt: skip
def test_a_file_that_says_what_cannot_be_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ModelError):
        load(json.dumps({**json.loads(dump(FACTS)), **change}), HERE)


@pytest.mark.parametrize("name", sorted(vars(FACTS)))
def test_a_file_that_lacks_something_is_refused(name: str) -> None:
    record = json.loads(dump(FACTS))
    del record[name]
    if name == "schema":
        with pytest.raises(ModelError):
            load(json.dumps(record), HERE)
        return
    with pytest.raises(ModelError, match=f"lacks {name}"):
        load(json.dumps(record), HERE)


@pytest.mark.parametrize("text", ["", "[]", "null", "{" * 10_000, "\x00", '{"schema": 1}'])
def test_what_is_no_such_file_is_refused(text: str) -> None:
    with pytest.raises(ModelError):
        load(text, HERE)


def test_a_release_expires_at_its_date_and_not_before() -> None:
    date = datetime(2027, 5, 4, 10, tzinfo=timezone.utc)

    assert has_expired(FACTS, date)
    assert not has_expired(FACTS, date - timedelta(seconds=1))
    assert not has_expired(replace(FACTS, expires=""), date + timedelta(days=9999))


def test_every_target_has_a_folder_of_its_own_in_the_registry() -> None:
    names = [evidence_name(one) for one in ("cpu", "orin@6.2", "orin_6.2", "orin@6/2", "index", "..")]

    assert names[0] == "cpu"
    assert len(set(names)) == len(names)
    assert all("/" not in one and "@" not in one and one != "index" for one in names)


def test_a_sequence_is_the_time_or_one_more_than_the_last() -> None:
    now = datetime(2026, 11, 26, tzinfo=timezone.utc)
    seconds = int(now.timestamp())

    found = [next_sequence({"a": replace(FACTS, sequence=last)}, now) for last in (1, seconds, seconds + 9)]

    assert next_sequence({}, now) == seconds
    assert found == [seconds, seconds + 1, seconds + 10]


def test_a_sequence_far_ahead_of_the_clock_is_not_gone_on_with() -> None:
    """Else whoever may push could use up all sequences, and no device would take another release."""
    now = datetime(2026, 11, 26, tzinfo=timezone.utc)

    with pytest.raises(RegistryError, match="far ahead"):
        next_sequence({"a": replace(FACTS, sequence=10**12)}, now)
