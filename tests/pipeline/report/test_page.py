"""The page: whole, harmless whatever the names are, and everything on it that a release owner asks for."""

import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_report import (
    BLOCKS,
    EVERY_RUN,
    NASTY,
    board_run,
    cut_run,
    failed_run,
    named_run,
    open_run,
    pictured_run,
    refused_run,
    sample_ladder,
    sample_placement,
    sample_run,
    sample_search,
    sample_target,
    searched_run,
    unsupported_run,
)

from pipeline.report.gallery import album_of
from pipeline.report.html import page
from pipeline.report.markdown import markdown
from pipeline.report.pareto import pareto_chart

VOID = {"meta", "br", "link", "col"}


class Page(HTMLParser):
    """Reads a page: its elements, its text, and whether every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.drawings: list[dict[str, str | None]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag == "svg" and "svg" not in self.open:
            self.drawings.append(dict(attributes))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)

    def links(self) -> list[str]:
        return [attributes["href"] or "" for _, attributes in self.elements if "href" in attributes]

    @property
    def text(self) -> str:
        return " ".join(self.words)


@pytest.mark.parametrize("make", EVERY_RUN)
def test_the_page_is_whole_and_loads_nothing(make) -> None:
    text = page(make())
    read = Page(text)

    assert read.open == []
    assert len(text) < 1_000_000
    assert not re.search(r"https?://|@import|//[a-z]+\.", text)
    assert all("src" not in attributes for _, attributes in read.elements)
    assert all(link.startswith("#") for link in read.links())
    assert [read.count(tag) for tag in ("script", "style", "main", "h1", "nav")] == [1, 1, 1, 1, 1]


@pytest.mark.parametrize("make", EVERY_RUN)
def test_every_link_leads_somewhere_and_no_place_is_there_twice(make) -> None:
    read = Page(page(make()))
    places = [attributes["id"] for _, attributes in read.elements if "id" in attributes]

    assert len(places) == len(set(places))
    assert {link[1:] for link in read.links()} <= set(places)


@pytest.mark.parametrize("make", EVERY_RUN)
def test_a_screen_reader_is_told_what_every_table_and_drawing_is(make) -> None:
    read = Page(page(make()))
    heads = [attributes for tag, attributes in read.elements if tag == "th"]

    assert read.count("caption") == read.count("table")
    assert all(one["scope"] in ("row", "col") for one in heads)
    assert all("aria-hidden" in one or one.get("aria-label") for one in read.drawings)


@pytest.mark.parametrize(
    ("make", "headline"),
    [
        (sample_run, "Ready to release"),
        (refused_run, "Refused"),
        (open_run, "Inconclusive: evidence is missing"),
        (failed_run, "The run failed"),
        (unsupported_run, "The target cannot run this model"),
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


def test_the_waterfall_starts_each_step_where_the_one_before_it_ended() -> None:
    text = page(sample_run())
    bars = re.findall(r'class="fall" y="[\d.]+" height="18" x="([\d.]+)%" width="([\d.]+)%"', text)
    ends = [(float(x), float(x) + float(width)) for x, width in bars]
    onnx_fp32, onnx_int8, openvino_fp32, openvino_int8, *totals = ends

    assert onnx_int8[0] == openvino_fp32[0] == pytest.approx(onnx_fp32[1], abs=0.1)
    assert openvino_int8[0] == pytest.approx(onnx_int8[1], abs=0.1)
    assert [end for _, end in totals] == pytest.approx([openvino_fp32[1], openvino_int8[1]], abs=0.1)


def test_a_step_from_what_lost_more_than_the_scale_holds_says_so() -> None:
    read = Page(page(refused_run()))

    assert "from onnx int8, off the scale already" in read.text
    assert "from onnx fp32, off the scale already" not in read.text


def test_latency_is_told_with_intervals_and_end_to_end_beside_inference_alone() -> None:
    text = Page(page(sample_run())).text

    assert re.search(
        r"openvino int8 +inference +3.90 +3.87 to 3.92 +4.26 +4.23 to 4.41 +4.87 +from 4.60", text
    )
    assert re.search(r"openvino int8 +end to end +6.08", text)


def test_a_latency_that_cannot_be_believed_says_why() -> None:
    fp32, int8 = sample_ladder()[3:]
    noisy = replace(int8, latency_ms=replace(int8.latency_ms, noise="its second half is 30 % slower"))

    text = Page(page(sample_run(cpu=sample_target(*sample_ladder()[:3], fp32, noisy)))).text

    assert "its second half is 30 % slower" in text


def test_what_map_does_not_show_is_told_with_the_gates_word_on_it() -> None:
    text = Page(page(refused_run())).text

    assert re.search(r"mAP50-95, small boxes +up to 32² pixels; 402 boxes +0.213 +0.213", text)
    assert re.search(r"recall +at confidence 0.25 +0.834 +0.834 .*?0.300 +loss 53.40 pt .*? refused", text)
    assert "score of right detections" in text
    assert "detections gained" in text


def test_the_baseline_and_the_engines_come_first_where_not_all_curves_can_be_told_apart() -> None:
    train, export, *others = sample_ladder()
    more = [replace(export, id=f"export-{n}", precision="fp16") for n in range(4)]

    text = page(sample_run(cpu=sample_target(train, export, *more, *others)))

    legend = re.findall(r"</svg>([\w ]+) AP50 ", text)
    assert len(legend) == 6
    assert {"pytorch fp32", "openvino fp32", "openvino int8"} < set(legend)


def test_a_board_is_shown_with_its_doubts_and_what_it_could_not_build() -> None:
    text = Page(page(board_run())).text

    assert "the clocks are not locked; run on the board: sudo jetson_clocks" in text
    assert "prove nothing" in text
    assert re.search(r"fp16 +no room left on the board", text)
    assert "trtexec --onnx=model.onnx" in text


def test_the_frontier_of_pruning_shows_what_was_chosen() -> None:
    text = Page(page(board_run())).text

    assert re.search(r"0.50 +chosen +1.500 +46.9 +1.80 +– +1.40 +1.00 to 1.90", text)


def test_a_cut_that_is_not_tuned_is_no_pass() -> None:
    assert re.search(r"cut +not judged +fp32 +pytorch +0.007", Page(page(cut_run())).text)


def chart_of(*drifts_pt: float, spread_pt: float = 0.1) -> str:
    rows = enumerate(zip(drifts_pt, sample_search().trials, strict=False))
    trials = [
        replace(one, drift_pt=pt, drift_ci_pt=(pt - spread_pt, pt + spread_pt), cost=0.6 + place / 50)
        for place, (pt, one) in rows
    ]
    return str(pareto_chart(replace(sample_search(), trials=tuple(trials), budget_pt=1.0)))


def test_names_of_points_beyond_the_scale_are_one_below_the_other() -> None:
    named = re.findall(r'y="([\d.]+)"[^>]*><text[^>]*>\d, ([\d.]+) pt', chart_of(24.7, 14.9, 4.5))

    assert len(named) == len({height for height, _ in named}) == 3


def test_a_form_that_is_better_than_the_baseline_is_a_point_in_the_plot() -> None:
    assert chart_of(0.5, -1.4, -3.0).count('class="estimate"') == 3
    assert 'class="arrow"' not in chart_of(0.5, -1.4, -3.0)


def test_the_whole_interval_of_what_surely_beats_the_baseline_is_in_the_plot() -> None:
    lines = re.findall(r'<line class="interval"[^>]*>', chart_of(-2.4, -2.1, spread_pt=1.9))
    ends = [float(end) for one in lines for end in re.findall(r' y[12]="([-\d.]+)"', one)]

    assert len(ends) == 4
    assert all(0 < end < 240 for end in ends)  # at 0 and 240 it is cut off


def test_precisions_that_were_tried_are_shown_with_what_they_bring_and_which_was_chosen() -> None:
    text = Page(page(sample_run())).text

    assert re.search(r"FP32 +268.0 +60 +1.00 +7.9 +0.00 +–", text)
    assert re.search(r"FP16 +96.0 +167 +2.79 +4.4 +0.09 +0 +chosen", text)
    assert re.search(r"BF16 +– +– +– +– +– +– +memory ran out", text)
    assert re.search(r"precision +FP16 +2.79 × FP32", text)


def test_memory_batch_and_feeding_of_training_are_shown_before_and_after() -> None:
    text = Page(page(sample_run())).text

    assert re.search(r"batch +16 +memory ran out with 32; 64 to an optimizer step", text)
    assert re.search(r"memory at its peak +12.8 GiB +GPU, 11.7 in tensors; 5.1 GiB of main memory", text)
    assert re.search(r"waiting for pictures +16.7 % +of the time +GPU at work +81 % +by NVML", text)
    assert "3 settings of loading were tried: 120 pictures/s as set, 312 with 16 processes" in text
    assert "train.cache resized: 2.60 times as fast." in text
    assert re.search(r"reading from the disk +2.40 +15", text)
    assert re.search(r"16 +4 +ram +– +it needs 90.0 GiB", text)


def test_a_training_of_an_older_report_is_shown_by_its_curves_alone() -> None:
    read = Page(page(replace(sample_run(), training=None)))

    assert "40 epochs; best mAP50-95" in read.text
    assert "Precisions that were tried" not in read.text


def test_pictures_are_shown_once_each_with_boxes_told_apart_by_words_and_patterns(tmp_path: Path) -> None:
    report = pictured_run(tmp_path)
    read = Page(page(report, album_of(report, tmp_path)))
    images = [attributes["href"] or "" for tag, attributes in read.elements if tag == "image"]
    said = [one["aria-label"] or "" for one in read.drawings if one.get("role") == "img"]

    assert len(images) == 5
    assert all(image.startswith("data:image/jpeg;base64,") for image in images)
    assert said[0] == "baseline: hole 0.91, kept; scratch 0.77, kept; stain 0.44, lost"
    assert said[1] == (
        "openvino int8: hole 0.88, kept; scratch 0.74, kept; hole 0.31, gained, no labelled box"
    )
    assert "✕ stain 0.44" in read.text
    assert "+ hole 0.31" in read.text


def test_a_picture_that_changed_or_went_is_not_shown_but_its_boxes_are(tmp_path: Path) -> None:
    report = pictured_run(tmp_path)
    (tmp_path / "0.jpg").write_bytes((tmp_path / "1.jpg").read_bytes())
    (tmp_path / "2.jpg").unlink()
    (tmp_path / "3.jpg").write_bytes(b"")

    read = Page(page(report, album_of(report, tmp_path)))

    assert read.count("image") == 2
    assert "Where a picture is not where it was, or has changed" in read.text
    assert sum(one.get("role") == "img" for one in read.drawings) == 20


def test_a_report_of_80_classes_and_three_targets_stays_small() -> None:
    report = named_run("first", classes=80)
    (target,) = report.targets.values()

    text = page(replace(report, targets={"a": target, "b": target, "c": target}))

    assert len(text.encode()) < 3_000_000


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
    read = Page(page(named_run(NASTY)))

    assert read.count("script") == 1
    assert "<script>alert(1)</script>" in read.text


@settings(max_examples=15, deadline=None)
@given(name=st.text(min_size=1))
def test_any_name_leaves_the_page_whole(name: str) -> None:
    assert Page(page(named_run(name))).open == []


def test_a_run_that_measured_nothing_still_gives_a_page() -> None:
    nothing = {"drift_pt": math.nan, "step_drift_pt": math.nan, "map50_95": math.nan, "latency_ms": None}
    rungs = [replace(rung, **nothing, drift_ci_pt=(math.nan, math.nan)) for rung in sample_ladder()]

    read = Page(page(replace(sample_run(cpu=sample_target(*rungs)), seconds=math.nan, epochs=(), steps=())))

    assert read.open == []
    assert not re.search(r"\bnan\b", read.text)
