"""The report as one page: verdict and reasons first, evidence below, no network, no foreign file."""

from __future__ import annotations

from importlib import resources

from pipeline.ladder import RunReport, Verdict
from pipeline.report.drawing import HATCH
from pipeline.report.frontier import frontier_sheet
from pipeline.report.gallery import Album, Gallery
from pipeline.report.markup import Markup, tag
from pipeline.report.parts import FIRST, anchor_of, listed
from pipeline.report.run_sheets import data_sheet, provenance_sheet
from pipeline.report.target_sheet import target_sheet
from pipeline.report.training import training_sheet
from pipeline.report.words import HEADLINES, SYMBOLS, duration, moment, shipped, ships_sentence
from stages.evaluation.scores import PictureChange

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
_MARK = Markup(  # a curve that stays within its bound
    '<svg width="26" height="20" viewBox="0 0 26 20" aria-hidden="true"><path d="M1 18 C9 18 10 5 19 5" '
    'fill="none" stroke="currentColor" stroke-width="2.5"/><line x1="23" y1="1" x2="23" y2="19" '
    'stroke="var(--refuse)" stroke-width="2.5"/></svg>'
)


def _no_picture(change: PictureChange) -> None:
    """Stand in for the data set where nobody has it."""
    del change


def page(report: RunReport, album: Album = _no_picture) -> str:
    """Write the page.

    Args:
        report: Of the run.
        album: Gives the pictures to be shown.
    """
    names = report.data_summary.classes if report.data_summary else ()
    gallery = Gallery(names={place: one.name for place, one in enumerate(names)}, album=album, drawn=set())
    sheets = [target_sheet(name, target, report, gallery) for name, target in report.targets.items()]
    more = {
        "Training": training_sheet(report),
        "Pruning": frontier_sheet(report),
        "Data": data_sheet(report),
        "Provenance": provenance_sheet(report),
    }
    body = tag(
        "body",
        HATCH,
        tag("a", "Skip to the verdict", href="#verdict", class_="skip"),
        _masthead(report),
        tag(
            "main",
            _verdict(report),
            _contents(report, [name for name, one in more.items() if one]),
            sheets,
            more.values(),
        ),
        _footer(),
        tag("script", Markup(_file("page.js"))),
    )
    return f"<!doctype html>\n{tag('html', _head(report), body, lang='en')}\n"


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _head(report: RunReport) -> Markup:
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("title", f"{SYMBOLS[report.verdict]} {HEADLINES[report.verdict]} · Edgebound {report.run}"),
        tag("style", Markup(_file("page.css"))),
    )


def _masthead(report: RunReport) -> Markup:
    facts = (report.run, moment(report.started_at), duration(report.seconds))
    wordmark = tag("span", _MARK, "Edgebound", class_="wordmark")
    return tag("header", wordmark, [tag("span", fact) for fact in facts if fact], class_="masthead")


def _contents(report: RunReport, more: list[str]) -> Markup:
    """Say what is on the page: targets with their verdicts, then the rest."""
    targets = [
        tag("a", _symbol(target.verdict), name, href=f"#{anchor_of(name, 'target')}")
        for name, target in report.targets.items()
    ]
    links = [*targets, *(tag("a", name, href=f"#{anchor_of(name)}") for name in more)]
    return tag("nav", tag("ul", [tag("li", link) for link in links]), aria_label="On this page")


def _symbol(verdict: Verdict) -> Markup:
    return tag("span", f"{SYMBOLS[verdict]} ", aria_hidden="true")


def _verdict(report: RunReport) -> Markup:
    """Say what a release owner must know: may it go out, what goes out, and why not."""
    ships = [(name, rung) for name, target in report.targets.items() if (rung := shipped(target))]
    leads = [
        tag("p", tag("strong", f"{name}: "), ships_sentence(rung), class_="lead") for name, rung in ships
    ]
    if report.error:
        leads = [tag("p", report.error.what, class_="lead"), tag("p", f"What to do: {report.error.hint}")]
    reasons = report.reasons if report.verdict != "pass" and not report.error else ()
    more = len(reasons) - FIRST
    return tag(
        "section",
        tag("p", "Verdict", class_="label"),
        tag("h1", _symbol(report.verdict), HEADLINES[report.verdict], id="verdict"),
        leads,
        listed(reasons[:FIRST]),
        tag("p", f"and {more} more below", class_="more") if more > 0 else None,
        class_=f"verdict tone-{report.verdict}",
        aria_labelledby="verdict",
    )


def _footer() -> Markup:
    text = (
        "Drift is loss: positive is worse, 1 pt is 0.01 of mAP50-95. Intervals come from a paired bootstrap "
        "over the validation pictures. Pass: the upper bound is within the limit. Refused: the lower bound "
        "is beyond it. Inconclusive: neither, or evidence is missing, stale or simulated."
    )
    return tag("footer", tag("p", text))
