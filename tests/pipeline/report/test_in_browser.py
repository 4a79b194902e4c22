"""The page in a real Chromium: it runs without an error, fits a phone, and its tables sort."""

import re
import shutil
import subprocess
from dataclasses import replace
from html import escape
from pathlib import Path

import pytest
from sample_report import (
    board_run,
    open_run,
    pictured_run,
    refused_run,
    sample_ladder,
    sample_run,
    sample_search,
    sample_target,
    searched_run,
)

from pipeline.int8 import Placement
from pipeline.ladder import RunReport
from pipeline.report.gallery import album_of
from pipeline.report.html import page
from stages.quantize import LeftInFloat
from tests.pipeline.report.keys import keyboard

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install -y chromium"),
]

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
    "--enable-logging=stderr",
)  # fmt: skip
# Asks the page about itself.
PROBE = """<script>addEventListener("load", () => {
  const answer = document.documentElement.dataset;
  answer.page = `${innerWidth} ${document.documentElement.scrollWidth}`;
  const button = [...document.querySelectorAll("th button")].find((one) => one.textContent === "class");
  const first = () => button.closest("table").tBodies[0].rows[0].cells[0].textContent;
  button.click(); answer.up = first();
  button.click(); answer.down = first();
  answer.sort = button.closest("th").getAttribute("aria-sort");
});</script>"""
# Says which elements the keyboard does not reach, and which show nothing when it does.
KEYBOARD = """<script>addEventListener("load", () => {
  for (const one of document.querySelectorAll("details")) one.open = true;
  const wanted = [...document.querySelectorAll("th button, a, summary, .scroll")];
  const plain = (one) => getComputedStyle(one).outlineStyle + getComputedStyle(one).left;
  const bad = wanted.filter((one) => {
    const before = plain(one);
    one.focus({ focusVisible: true });
    return document.activeElement !== one || one.tabIndex < 0 || plain(one) === before;
  });
  document.documentElement.dataset.wanted = wanted.length;
  document.documentElement.dataset.bad = bad.map((one) => one.outerHTML.slice(0, 80)).join(" ");
});</script>"""
# Counts pictures, and those places of them where nothing is drawn.
PICTURES = (
    PROBE
    + """<script>addEventListener("load", () => {
  for (const one of document.querySelectorAll("details")) one.open = true;
  const pictures = [...document.querySelectorAll("image, use")];
  const answer = document.documentElement.dataset;
  answer.images = pictures.filter((one) => one.localName === "image").length;
  answer.empty = pictures.filter((one) => one.getBoundingClientRect().width < 100).length;
  const first = (fate) => document.querySelector(`.box.${fate}`);
  const looks = ["kept", "lost", "gained"].map((fate) => getComputedStyle(first(fate)));
  answer.patterns = new Set(looks.map((one) => one.strokeDasharray)).size;
  answer.colours = new Set(looks.map((one) => one.stroke)).size;
});</script>"""
)
# Computes the contrast of all text, that of drawings too, with what is behind it (WCAG 2.2, 1.4.3).
CONTRAST = """<script>addEventListener("load", () => {
  for (const one of document.querySelectorAll("details")) one.open = true;
  const parse = (colour) => (colour.match(/[\\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
  const over = ([r, g, b, a = 1], ground) => [r, g, b].map((part, at) => part * a + ground[at] * (1 - a));
  const ground = (one) => {
    if (!one) return [255, 255, 255];
    const own = parse(getComputedStyle(one).backgroundColor);
    return (own[3] ?? 1) === 1 ? own.slice(0, 3) : over(own, ground(one.parentElement));
  };
  const light = (colour) => {
    const [r, g, b] = colour.map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const low = [];
  let texts = 0;
  while (walker.nextNode()) {
    const one = walker.currentNode.parentElement, style = getComputedStyle(one);
    if (!walker.currentNode.data.trim() || one.closest("script, title")) continue;
    // In a drawing text has a rim of its own, on a picture of any colour.
    const drawn = one.closest("svg"), under = drawn ? parse(style.stroke).slice(0, 3) : ground(one);
    const [a, b] = [light(over(parse(drawn ? style.fill : style.color), under)), light(under)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    texts += 1;
    if (ratio < 4.5) low.push(`${walker.currentNode.data.trim().slice(0, 30)} ${ratio.toFixed(2)}`);
  }
  document.documentElement.dataset.ground = getComputedStyle(document.body).backgroundColor;
  document.documentElement.dataset.texts = texts;
  document.documentElement.dataset.low = low.join("; ");
});</script>"""
# A window cannot be as narrow as a phone, a frame can; it hands the answers on to what --dump-dom shows.
HOST = """<!doctype html><iframe style="border:0" width="{width}" height="844" srcdoc="{page}"></iframe>
<script>addEventListener("load", () => Object.assign(document.documentElement.dataset,
  document.querySelector("iframe").contentDocument.documentElement.dataset));</script>"""


def visit(
    report: RunReport, folder: Path, *flags: str, width: int = 1280, extra: str = PROBE
) -> tuple[dict[str, str], list[str]]:
    """Open the page; give what the probe found, and the lines of the console."""
    assert CHROMIUM
    inner = page(report, album_of(report, folder)).replace("</body>", f"{extra}</body>")
    file = folder / "host.html"
    file.write_text(HOST.format(width=width, page=escape(inner)), encoding="utf-8")
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", *flags, "--dump-dom", file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    answers = dict(re.findall(r'data-([a-z]+)="([^"]*)"', done.stdout.partition("<head")[0]))
    return answers, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def unbreakable() -> RunReport:
    """Give a run in which everything has a name that offers no place to break."""
    long = "a" * 200
    rungs = [replace(one, classes=(replace(one.classes[0], name=long),)) for one in sample_ladder()]
    trials = tuple(replace(one, left_in_float=(long, long)) for one in sample_search().trials)
    target = replace(
        sample_target(*rungs),
        engine=long,
        reasons=(long, long),
        profile={"device": long},
        search=sample_search(trials=trials, cost_model=long),
        placement=Placement(summary=long, left_out=(LeftInFloat(node=long, reason=long),)),
    )
    return replace(
        sample_run(**{long: target}), run=long, run_dir=long, data=long, notes=(long,), host={long: long}
    )


@pytest.mark.parametrize("make", [open_run, board_run, unbreakable])
def test_a_phone_shows_the_page_without_sideways_scrolling_or_errors(make, tmp_path: Path) -> None:
    answers, console = visit(make(), tmp_path, "--hide-scrollbars", width=390)

    assert console == []
    assert answers["page"] == "390 390"


def test_pictures_fit_a_phone_and_their_boxes_differ_by_colour_and_pattern(tmp_path: Path) -> None:
    answers, console = visit(pictured_run(tmp_path), tmp_path, "--hide-scrollbars", width=390, extra=PICTURES)

    assert console == []
    assert answers["page"] == "390 390"
    assert (answers["images"], answers["empty"]) == ("5", "0")
    assert (answers["patterns"], answers["colours"]) == ("3", "3")


def test_tables_sort_both_ways(tmp_path: Path) -> None:
    answers, _ = visit(sample_run(), tmp_path)

    assert (answers["up"], answers["down"], answers["sort"]) == ("hole", "stain", "descending")


def test_the_tab_key_walks_over_everything_that_can_be_used_and_enter_uses_it(tmp_path: Path) -> None:
    report = searched_run()
    file = tmp_path / "report.html"
    file.write_text(page(report, album_of(report, tmp_path)), encoding="utf-8")
    assert CHROMIUM

    with keyboard(CHROMIUM, FLAGS, tmp_path / "profile") as keys:
        keys.open(file)
        keys.say("window.wanted = [...document.querySelectorAll('th button, a, summary')]"
                 ".filter((one) => one.checkVisibility())")  # fmt: skip
        wanted = list(range(keys.say("wanted.length")))
        reached: list[int] = []
        while len(reached) < 500 and wanted[-1] not in reached:
            keys.press("Tab")
            reached.append(keys.say("wanted.indexOf(document.activeElement)"))
        keys.say("window.sorter = wanted.find((one) => one.textContent === 'class'); sorter.focus()")
        keys.press("Enter")
        once = keys.say("sorter.closest('th').getAttribute('aria-sort')")
        keys.press("Enter")
        twice = keys.say("sorter.closest('th').getAttribute('aria-sort')")
        keys.say("window.fold = document.querySelector('summary'); window.was = fold.parentElement.open;"
                 " fold.focus()")  # fmt: skip
        keys.press("Enter")
        turned = keys.say("fold.parentElement.open !== was")

    assert len(wanted) > 10
    assert [place for place in reached if place >= 0] == wanted  # all, once, in the order of the page
    assert {once, twice} == {"ascending", "descending"}
    assert turned is True


def test_the_keyboard_reaches_everything_that_can_be_used_and_shows_where_it_is(tmp_path: Path) -> None:
    answers, _ = visit(searched_run(), tmp_path, extra=KEYBOARD)

    assert int(answers["wanted"]) > 40
    assert answers["bad"] == ""


@pytest.mark.parametrize(
    ("scheme", "ground"), [("0", "rgb(16, 21, 27)"), ("1", "rgb(243, 245, 246)")], ids=["dark", "light"]
)
def test_all_text_stands_out_from_its_ground_on_dark_and_light_screens(
    scheme: str, ground: str, tmp_path: Path
) -> None:
    both = {"cpu": refused_run().targets["cpu"], "orin": open_run().targets["orin"]}
    both["ort"] = searched_run().targets["cpu"]
    both["nano"] = board_run().targets["orin"]
    report = replace(sample_run(**both), frontier=board_run().frontier)

    answers, _ = visit(report, tmp_path, f"--blink-settings=preferredColorScheme={scheme}", extra=CONTRAST)

    assert answers["ground"] == ground
    assert int(answers["texts"]) > 500
    assert answers["low"] == ""


@pytest.mark.parametrize(
    ("planted", "seen"),
    [
        ("<script>missing()</script>", "missing is not defined"),
        ('<img src="http://127.0.0.1:9/x.png">', "Content Security Policy"),
    ],
)
def test_an_error_or_a_foreign_file_would_be_seen(planted: str, seen: str, tmp_path: Path) -> None:
    _, console = visit(sample_run(), tmp_path, extra=planted)

    assert any(seen in line for line in console)


def test_low_contrast_and_what_the_keyboard_misses_would_be_seen(tmp_path: Path) -> None:
    planted = '<p style="color: #999">faint</p><table><tr><th><button tabindex="-1">x</button></table>'

    answers, _ = visit(sample_run(), tmp_path, extra=planted + KEYBOARD + CONTRAST)

    assert answers["low"].startswith("faint ")
    assert "tabindex" in answers["bad"]
