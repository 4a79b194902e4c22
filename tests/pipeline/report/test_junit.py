"""The run as JUnit XML: what a CI system shows of it."""

import math
import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_report import (
    EVERY_RUN,
    failed_run,
    named_run,
    open_run,
    refused_run,
    sample_ladder,
    sample_run,
    sample_target,
)

from pipeline.ladder import RunReport
from pipeline.report.junit import junit

# Jenkins' junit-10.xsd, as far as what we write: required and optional attributes, children in any order.
SCHEMA = {
    "testsuites": ((), ("name", "time", "tests", "failures", "errors"), ("testsuite",)),
    "testsuite": (
        ("name", "tests", "failures", "errors"),
        ("group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url"),
        ("testsuite", "properties", "testcase", "system-out", "system-err"),
    ),
    "testcase": (
        ("name",), ("time", "classname", "group"), ("skipped", "error", "failure", "system-out", "system-err")
    ),
    "failure": ((), ("type", "message"), ()),
    "error": ((), ("type", "message"), ()),
    "skipped": ((), ("type", "message"), ()),
    "system-out": ((), (), ()),
}  # fmt: skip
TIME = re.compile(r"[0-9]*(\.[0-9]*)?")
TEXTS = {"failure", "error", "skipped", "system-out"}


def offences(element: ET.Element) -> list[str]:
    """Say what in an element the schema does not allow."""
    required, optional, children = SCHEMA[element.tag]
    found = [f"{element.tag} lacks {name}" for name in required if name not in element.attrib]
    found += [f"{element.tag} has {name}" for name in set(element.attrib) - {*required, *optional}]
    found += [f"{child.tag} in {element.tag}" for child in element if child.tag not in children]
    if not TIME.fullmatch(element.get("time", "")):
        found.append(f"time {element.get('time')}")
    if element.tag not in TEXTS and (element.text or "").strip():
        found.append(f"text in {element.tag}")
    return found + [offence for child in element for offence in offences(child)]


@pytest.mark.parametrize("make", EVERY_RUN)
def test_the_file_is_valid_by_the_schema_that_jenkins_has(make) -> None:
    assert offences(ET.fromstring(junit(make()))) == []


def test_a_run_that_nobody_timed_is_valid_too() -> None:
    assert offences(ET.fromstring(junit(replace(sample_run(), seconds=math.nan)))) == []


def test_what_the_schema_does_not_allow_would_be_seen() -> None:
    root = ET.fromstring(
        '<testsuites skipped="1"><testsuite time="nan" tests="1" name="a" errors="0">x<failure/></testsuite>'
        "</testsuites>"
    )

    assert sorted(offences(root)) == [
        "failure in testsuite", "testsuite lacks failures", "testsuites has skipped", "text in testsuite",
        "time nan",
    ]  # fmt: skip


def cases(report: RunReport) -> dict[str, str]:
    """Give what a CI system shows for each case."""
    root = ET.fromstring(junit(report))
    return {
        f"{case.get('classname')} {case.get('name')}": next(
            (child.tag for child in case if child.tag != "system-out"), "passed"
        )
        for case in root.iter("testcase")
    }


def test_a_case_for_each_form_and_one_for_the_release() -> None:
    assert cases(sample_run()) == {
        "edgebound.cpu train: pytorch fp32": "passed",
        "edgebound.cpu export: onnx fp32": "passed",
        "edgebound.cpu quantize: onnx int8": "passed",
        "edgebound.cpu build: openvino fp32": "passed",
        "edgebound.cpu build: openvino int8": "passed",
        "edgebound.cpu release": "passed",
    }


def test_what_is_refused_fails_with_its_reasons() -> None:
    root = ET.fromstring(junit(refused_run()))

    failures = {case.get("name"): case.find("failure") for case in root.iter("testcase")}
    assert [name for name, failure in failures.items() if failure is not None] == [
        "quantize: onnx int8", "build: openvino int8", "release",
    ]  # fmt: skip
    failure = failures["quantize: onnx int8"]
    assert failure is not None
    assert failure.attrib == {
        "type": "refuse", "message": "step drift 53.00 pt (95 % interval 51.80 to 54.10), limit 1.00 pt",
    }  # fmt: skip
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("6", "3", "0")


def test_what_is_open_is_never_green() -> None:
    shown = cases(open_run())

    assert shown["edgebound.cpu release"] == "failure"
    assert shown["edgebound.orin release"] == "failure"
    assert shown["edgebound.cpu build: openvino int8"] == "failure"


def test_a_candidate_that_is_refused_while_another_ships_is_skipped() -> None:
    rungs = sample_ladder(loss_pt=30.0, drift_ci_pt=(29.0, 31.0))

    shown = cases(sample_run(cpu=sample_target(*rungs)))

    assert shown["edgebound.cpu build: openvino int8"] == "skipped"
    assert shown["edgebound.cpu release"] == "passed"


def test_a_run_that_failed_is_an_error() -> None:
    root = ET.fromstring(junit(failed_run()))

    assert cases(failed_run()) == {"edgebound.run run": "error"}
    assert root.get("errors") == "1"


def test_a_run_without_targets_or_a_pass_without_an_engine_is_never_green() -> None:
    empty = replace(failed_run(), error=None, verdict="pass")
    hollow = replace(sample_target(), ships=None)

    assert cases(empty) == {"edgebound.run run": "error"}
    assert cases(sample_run(cpu=hollow))["edgebound.cpu release"] == "error"


@settings(max_examples=50, deadline=None)
@given(name=st.text(min_size=1))
def test_any_name_gives_well_formed_xml(name: str) -> None:
    ET.fromstring(junit(named_run(name)))
