"""The page in a real Chromium: it runs without an error, fits a phone, and its tables sort."""

import re
import shutil
import subprocess
from dataclasses import replace
from html import escape
from pathlib import Path

import pytest
from sample_report import (
    open_run,
    refused_run,
    sample_ladder,
    sample_run,
    sample_search,
    sample_target,
    searched_run,
)

from pipeline.int8 import Placement
from pipeline.ladder import RunReport
from pipeline.report.html import page
from stages.quantize import LeftInFloat

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
  const buttons = [...document.querySelectorAll("button")];
  answer.unreachable = buttons.filter((one) => one.tabIndex < 0 || !one.textContent).length;
  answer.ground = getComputedStyle(document.body).backgroundColor;
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
    inner = page(report).replace("</body>", f"{extra}</body>")
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


@pytest.mark.parametrize("make", [sample_run, refused_run, open_run, searched_run, unbreakable])
def test_a_phone_shows_the_page_without_sideways_scrolling_or_errors(make, tmp_path: Path) -> None:
    answers, console = visit(make(), tmp_path, "--hide-scrollbars", width=390)

    assert console == []
    assert answers["page"] == "390 390"


def test_tables_sort_both_ways_by_buttons_that_the_keyboard_reaches(tmp_path: Path) -> None:
    answers, _ = visit(sample_run(), tmp_path)

    assert (answers["up"], answers["down"], answers["sort"]) == ("hole", "stain", "descending")
    assert answers["unreachable"] == "0"


def test_a_dark_screen_gets_a_dark_page(tmp_path: Path) -> None:
    dark, _ = visit(sample_run(), tmp_path, "--blink-settings=preferredColorScheme=0")
    light, _ = visit(sample_run(), tmp_path, "--blink-settings=preferredColorScheme=1")

    assert (dark["ground"], light["ground"]) == ("rgb(16, 21, 27)", "rgb(243, 245, 246)")


def test_an_error_or_a_foreign_file_would_be_seen(tmp_path: Path) -> None:
    planted = '<script>missing()</script><img src="http://127.0.0.1:9/x.png">'

    _, console = visit(sample_run(), tmp_path, extra=planted)

    assert any("missing is not defined" in line for line in console)
    assert any("Content Security Policy" in line for line in console)
