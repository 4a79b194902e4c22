"""The files of a report: JSON, HTML, JUnit and Markdown, whole and harmless whatever the names are."""

import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_report import (
    BLOCKS,
    open_run,
    refused_run,
    sample_ladder,
    sample_placement,
    sample_run,
    sample_search,
    sample_target,
    searched_run,
)

from pipeline.int8 import Placement, SearchTrial
from pipeline.ladder import ClassFigures, Failure, RunReport, TargetResult
from pipeline.report import load_report, write_report
from pipeline.report.html import page
from pipeline.report.junit import junit
from pipeline.report.markdown import markdown
from stages.quantize import LeftInFloat

FILES = ["junit.xml", "report.html", "report.json", "summary.md"]
VOID = {"meta", "br", "link", "col"}
NASTY = '<script>alert(1)</script> | `x` *b* "q" @everyone \x00\x1b[31m \udcff'


class Page(HTMLParser):
    """Reads a page: its elements, its text, and whether every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)

    @property
    def text(self) -> str:
        return " ".join(self.words)


def named(name: str, classes: int = 1) -> RunReport:
    """Give a run in which the first class, the target, the data and the notes are called `name`."""
    many = [ClassFigures(name=f"c{n}", ap50=0.5, ap50_95=0.4, boxes=9) for n in range(classes - 1)]
    rungs = [replace(rung, classes=(replace(rung.classes[0], name=name), *many)) for rung in sample_ladder()]
    trial = SearchTrial(
        label=name, left_in_float=(name,), drift_pt=0.1, drift_ci_pt=(0.0, 0.2), cost=0.7, chosen=True
    )
    target = replace(
        sample_target(*rungs),
        search=sample_search(trials=(trial, replace(trial, cost=0.8)), cost_model=name),
        placement=Placement(summary=name, left_out=(LeftInFloat(node=name, reason=name),)),
    )
    return replace(sample_run(**{name: target}), data=name, notes=(name,), run=name)


def failed(what: str = "The disk is full.", hint: str = "Free some space.") -> RunReport:
    error = Failure(what=what, hint=hint, code=1)
    return RunReport(
        run="r", verdict="error", reasons=(what,), error=error, run_dir="", seconds=1.5, data="", targets={}
    )


def unsupported() -> RunReport:
    reasons = ("orin cannot run this model (Mish): node 7: no kernel", "Use ReLU.")
    target = TargetResult(
        verdict="unsupported", reasons=reasons, engine=None, precision=None, runtime=None, ladder=()
    )
    return sample_run(orin=target, cpu=sample_target())


EVERY_RUN = [sample_run, refused_run, open_run, failed, unsupported, searched_run]


# ------------------------------------------------------------------------------------ files


def test_a_report_is_four_files_and_nothing_else(tmp_path: Path) -> None:
    write_report(sample_run(), tmp_path / "run")

    assert sorted(file.name for file in (tmp_path / "run").iterdir()) == FILES
    assert load_report(tmp_path / "run") == sample_run()


def test_a_search_comes_back_as_it_went(tmp_path: Path) -> None:
    timed = tuple(replace(one, p50_ms=4.0) for one in sample_search().trials)  # NaN is equal to nothing
    write_report(searched_run(trials=timed), tmp_path)

    assert load_report(tmp_path) == searched_run(trials=timed)


def test_a_report_is_written_over_an_old_one(tmp_path: Path) -> None:
    write_report(sample_run(), tmp_path)
    write_report(refused_run(), tmp_path)

    assert load_report(tmp_path).verdict == "refuse"
    assert sorted(file.name for file in tmp_path.iterdir()) == FILES


def test_names_that_are_no_text_still_give_a_report(tmp_path: Path) -> None:
    write_report(named(NASTY), tmp_path)

    assert load_report(tmp_path).notes == (NASTY.replace("\udcff", "\\udcff"),)
    assert all((tmp_path / name).read_text(encoding="utf-8") for name in FILES)


# ------------------------------------------------------------------------------------ page


@pytest.mark.parametrize("make", EVERY_RUN)
def test_the_page_is_whole_and_loads_nothing(make) -> None:
    text = page(make())
    read = Page(text)

    assert read.open == []
    assert len(text) < 1_000_000
    assert not re.search(r"https?://|@import|//[a-z]+\.", text)
    assert all("src" not in attributes and "href" not in attributes for _, attributes in read.elements)
    assert [read.count(tag) for tag in ("script", "style", "main", "h1")] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("make", "headline"),
    [
        (sample_run, "Ready to release"),
        (refused_run, "Refused"),
        (open_run, "Inconclusive: evidence is missing"),
        (failed, "The run failed"),
        (unsupported, "The target cannot run this model"),
    ],
)
def test_the_page_says_the_verdict_and_all_reasons_first(make, headline: str) -> None:
    report = make()
    reasons = () if report.verdict == "pass" else report.reasons[:6]

    text = Page(page(report)).text

    places = [text.index(words) for words in (headline, *reasons)]
    assert places == sorted(places)
    assert max(places) < text.index("Provenance")


def test_the_page_says_what_ships_and_why_not_the_others() -> None:
    text = Page(page(sample_run())).text

    assert "openvino int8 ships, p50 3.90 ms, 3.4 MB, drift 0.59 pt (95 % interval 0.29 to 0.89)" in text
    assert "openvino fp32: passes, but is slower: p50 8.38 ms against 3.90 ms of openvino int8" in text


def test_a_search_is_shown_with_what_was_tried_and_what_was_chosen() -> None:
    text = Page(page(searched_run())).text

    assert "INT8 may lose 0.50 pt of mAP50-95 against onnx fp32. 5 forms" in text
    assert "The best were built and timed side by side" in text
    assert "multiply-adds, in INT8 1.63 times as fast" in text
    assert f"6 of 52 blocks {', '.join(BLOCKS[:3])} and 3 more" in text
    assert "0.44 pt at 3.78 ms" in text


def test_a_search_without_measurements_is_shown_by_predicted_cost_and_says_so() -> None:
    trials = tuple(replace(one, p50_ms=math.nan) for one in sample_search().trials)
    relative = Page(page(searched_run(trials=trials)))
    absolute = Page(page(searched_run(trials=trials, cost_unit="ms")))

    assert "No engine was timed" in relative.text
    assert "0.44 pt at 68.0 %" in relative.text
    assert "0.44 pt at 0.6800 ms" in absolute.text


def test_a_search_that_needed_one_trial_says_so() -> None:
    trial = replace(sample_search().trials[3], left_in_float=(), cost=math.nan, p50_ms=math.nan)
    text = Page(page(searched_run(trials=(trial,), blocks=0))).text

    assert "It loses no more, in float simulation, so that nothing had to be left in float." in text
    assert "Cost model" not in text
    assert "1 trial:" in markdown(searched_run(trials=(trial,), blocks=0))


@pytest.mark.parametrize(("high", "said"), [(0.51, True), (0.5, False), (math.nan, False)])
def test_where_the_pictures_are_too_few_to_be_sure_of_the_budget_it_is_said(high: float, said: bool) -> None:
    trials = [replace(one, drift_ci_pt=(0.0, high)) for one in sample_search().trials]

    assert ("too few to be sure of it" in page(searched_run(trials=tuple(trials)))) is said


def charts(read: Page) -> list[str]:
    """Give what is said of each chart in which nothing can be read."""
    return [
        given["aria-label"] or "" for tag, given in read.elements if tag == "figure" and "aria-label" in given
    ]


def test_the_plot_is_said_in_words() -> None:
    (said,) = charts(Page(page(searched_run())))

    assert said.startswith(
        "Drift against milliseconds, p50; budget 0.50 points. trial 1 1.62 points at 3.61; "
    )
    assert "trial 4, chosen, 0.44 points at 3.78" in said
    assert "trial 5" not in said  # it was not timed


def test_of_one_trial_there_is_no_plot_but_its_figures() -> None:
    read = Page(page(searched_run(trials=sample_search().trials[:1])))

    assert charts(read) == []
    assert "1.62" in read.text


@pytest.mark.parametrize("budget", [0.0, 0.5, 40.0])
@pytest.mark.parametrize("drift", [-3.0, 0.0, 0.5, 99.0, math.nan])
def test_any_drift_and_budget_can_be_drawn(budget: float, drift: float) -> None:
    trials = tuple(
        replace(one, drift_pt=drift, drift_ci_pt=(math.nan, math.nan), p50_ms=5.0, chosen=place == 0)
        for place, one in enumerate(sample_search().trials)
    )

    text = page(searched_run(budget_pt=budget, trials=trials))

    assert Page(text).open == []
    assert not re.search(r'="-?(nan|inf)', text)


def test_placement_is_shown_on_demand_with_what_is_not_int8_and_why() -> None:
    read = Page(page(searched_run()))

    assert f"{sample_placement().summary}." in read.text
    assert "/model.22/cv2.0.2/Conv output convolution of the head" in read.text
    assert "open" not in dict(read.elements)["details"]


def test_names_cannot_become_markup() -> None:
    read = Page(page(named(NASTY)))

    assert read.count("script") == 1
    assert "<script>alert(1)</script>" in read.text


@settings(max_examples=25)
@given(name=st.text(min_size=1))
def test_any_name_leaves_the_page_whole(name: str) -> None:
    assert Page(page(named(name))).open == []


def test_eighty_classes_fit_in_a_small_page() -> None:
    assert len(page(named("first", classes=80))) < 300_000


def test_a_run_that_measured_nothing_still_gives_a_page() -> None:
    nothing = {"drift_pt": math.nan, "step_drift_pt": math.nan, "map50_95": math.nan, "latency_ms": None}
    rungs = [replace(rung, **nothing, drift_ci_pt=(math.nan, math.nan)) for rung in sample_ladder()]

    read = Page(page(replace(sample_run(cpu=sample_target(*rungs)), seconds=math.nan, epochs=(), steps=())))

    assert read.open == []
    assert not re.search(r"\bnan\b", read.text)


def luminance(colour: str) -> float:
    """WCAG 2.2: relative luminance."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("palette", [0, 1], ids=["light", "dark"])
def test_text_stands_out_from_its_ground(palette: int) -> None:
    css = page(sample_run())
    block = re.findall(r":root \{(.*?)\}", css, re.DOTALL)[palette]
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", block))
    tones = ("pass", "refuse", "open", "unsupported")
    pairs = [("ink", "sheet"), ("ink", "paper"), ("soft", "sheet"), ("soft", "paper"), ("ink", "faint")]
    pairs += [(tone, f"{tone}-wash") for tone in tones] + [("ink", f"{tone}-wash") for tone in tones]
    pairs += [("soft", "pass-wash"), ("refuse", "sheet"), ("open", "sheet"), ("sheet", "ink")]

    for text, ground in pairs:
        darker, lighter = sorted((luminance(colours[text]), luminance(colours[ground])))
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (text, ground)  # WCAG 2.2 AA


# ------------------------------------------------------------------------------------ junit


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
    root = ET.fromstring(junit(failed()))

    assert cases(failed()) == {"edgebound.run run": "error"}
    assert root.get("errors") == "1"


def test_a_run_without_targets_or_a_pass_without_an_engine_is_never_green() -> None:
    empty = replace(failed(), error=None, verdict="pass")
    hollow = replace(sample_target(), ships=None)

    assert cases(empty) == {"edgebound.run run": "error"}
    assert cases(sample_run(cpu=hollow))["edgebound.cpu release"] == "error"


@given(name=st.text(min_size=1))
def test_any_name_gives_well_formed_xml(name: str) -> None:
    ET.fromstring(junit(named(name)))


# ------------------------------------------------------------------------------------ markdown


def test_the_summary_says_verdict_reasons_and_ladder() -> None:
    lines = markdown(refused_run()).splitlines()

    assert lines[0] == "## ✕ Edgebound: refused"
    assert "- onnx int8: step drift 53.00 pt (95 % interval 51.80 to 54.10), limit 1.00 pt" in lines
    drift = "53.00 (51.80 to 54.10)"
    assert f"| onnx int8 | ✕ refused | 0.011 | {drift} | {drift} | – | – | 3.4 MB |" in lines


def test_the_summary_says_what_ships() -> None:
    text = markdown(sample_run())

    assert "**openvino int8 ships, p50 3.90 ms, 3.4 MB, drift 0.59 pt (95 % interval 0.29 to 0.89)**" in text
    assert "| **openvino int8** | ✓ pass, ships |" in text


def test_the_summary_says_what_a_search_tried() -> None:
    lines = markdown(searched_run()).splitlines()

    assert "Drift budget 0.50 pt against onnx fp32, 5 trials:" in lines
    assert "| nothing | 1.62 (1.40 to 1.86) | 3.61 | 62.0 |" in lines
    assert "| **2 of 52 blocks**, chosen | 0.44 (0.22 to 0.68) | 3.78 | 68.0 |" in lines


def test_an_error_is_said_with_its_hint() -> None:
    text = markdown(failed("no key `names`", "add it"))

    assert "**no key \\`names\\`**" in text
    assert "Hint: add it" in text


def test_names_cannot_become_markdown() -> None:
    lossy = replace(sample_ladder()[4].classes[0], ap50_loss_pt=20.0, ci=(15.0, 25.0), name=NASTY)
    rungs = sample_ladder(classes=(lossy,), drift_pt=9.0, drift_ci_pt=(8.0, 9.9))

    text = markdown(sample_run(cpu=sample_target(*rungs)))

    assert "&lt;script&gt;alert(1)&lt;/script&gt; \\| \\`x\\` \\*b\\* " in text
    assert "@" not in text
    table = [line for line in text.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {9}
