"""The run as JUnit XML: a suite for each target, a case for each form. What does not pass is never green."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from pipeline.ladder import Rung, RunReport, TargetResult, Verdict
from pipeline.report.words import printable, shipped, ships_sentence

_ELEMENTS = {"refuse": "failure", "inconclusive": "failure", "unsupported": "failure", "error": "error"}


def junit(report: RunReport) -> str:
    """Write the run as JUnit XML.

    A form that is refused fails, unless its target passes without it: then it is skipped, with its reasons,
    so that the CI system says what the exit code says.
    """
    suites = [_suite(name, target) for name, target in report.targets.items()]
    if report.error or not suites:
        what = (f"{report.error.what}\n{report.error.hint}",) if report.error else report.reasons
        suites.insert(0, _counted("run", [_case("run", "run", _not_passed(report.verdict), what)]))
    root = ET.Element("testsuites", name="edgebound")
    if math.isfinite(report.seconds):
        root.set("time", f"{report.seconds:.3f}")
    root.extend(suites)
    _count(root, list(root.iter("testcase")))
    del root.attrib["skipped"]  # the schema has it for a suite alone
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=False) + "\n"


def _suite(name: str, target: TargetResult) -> ET.Element:
    passes = target.verdict == "pass"
    ships = shipped(target)
    verdict = target.verdict if not passes or ships else "error"  # a pass that ships nothing is none
    said = (ships_sentence(ships),) if ships else target.reasons
    cases = [_rung_case(name, rung, target_passes=passes) for rung in target.ladder]
    return _counted(name, [*cases, _case(name, "release", verdict, said)])


def _rung_case(target: str, rung: Rung, *, target_passes: bool) -> ET.Element:
    title = f"{rung.form}: {rung.label}"
    case = _case(target, title, rung.verdict, rung.reasons)
    if target_passes and rung.verdict != "pass":
        case.clear()
        case.attrib.update(_names(target, title))
        ET.SubElement(case, "skipped", message=printable(f"{rung.verdict}: {'; '.join(rung.reasons)}"))
    return case


def _not_passed(verdict: Verdict) -> Verdict:
    return "error" if verdict == "pass" else verdict


def _case(target: str, title: str, verdict: Verdict, reasons: Sequence[str]) -> ET.Element:
    case = ET.Element("testcase", _names(target, title))
    text = printable("\n".join(reasons))
    if verdict == "pass":
        if text:
            ET.SubElement(case, "system-out").text = text
        return case
    problem = ET.SubElement(case, _ELEMENTS[verdict], type=verdict, message=text.partition("\n")[0])
    problem.text = text
    return case


def _names(target: str, title: str) -> dict[str, str]:
    return {"classname": printable(f"edgebound.{target}"), "name": printable(title)}


def _counted(name: str, cases: Sequence[ET.Element]) -> ET.Element:
    suite = ET.Element("testsuite", name=printable(name))
    suite.extend(cases)
    _count(suite, cases)
    return suite


def _count(element: ET.Element, cases: Sequence[ET.Element]) -> None:
    kinds = Counter(child.tag for case in cases for child in case)
    counts = {"tests": len(cases), "failures": kinds["failure"], "errors": kinds["error"]}
    counts["skipped"] = kinds["skipped"]
    element.attrib.update({key: str(count) for key, count in counts.items()})
