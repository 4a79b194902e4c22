"""How training went, on the page: curves, precisions that were tried, memory, and how it was fed."""

from __future__ import annotations

import math

from pipeline.ladder import RunReport
from pipeline.report.curves import training_chart
from pipeline.report.markup import Markup, tag
from pipeline.report.parts import block, details, key_figures, sheet
from pipeline.report.tables import head, number, table
from pipeline.report.words import figure
from pipeline.training import Training, facts_of, tuning_sentence
from stages.train.figures import Feeding, LoaderTrial, LoadingParts, PrecisionProbe


def training_sheet(report: RunReport) -> Markup | None:
    """Show how training went."""
    if not report.epochs:
        return None
    note = f"{len(report.epochs)} epochs"
    if validated := [epoch for epoch in report.epochs if math.isfinite(epoch.map50_95)]:
        best = max(validated, key=lambda epoch: epoch.map50_95)
        note += f"; best mAP50-95 {figure(best.map50_95, 3)} in epoch {best.epoch}"
    training = report.training
    return sheet(
        "Training",
        tag("p", note, class_="soft"),
        key_figures((name, *told) for name, told in facts_of(training).items()) if training else None,
        training_chart(report.epochs),
        _precisions(training) if training else None,
        _feeding(training.feeding) if training and training.feeding else None,
    )


def _precisions(training: Training) -> Markup | None:
    """Show what each precision cost in the probe."""
    if not training.probe:
        return None
    plain = next((one.step_ms for one in training.probe if one.precision == "fp32"), None)
    heads = head(
        "precision",
        "step, ms#",
        "pictures/s#",
        "× FP32#",
        "memory, GiB#",
        "loss off, %#",
        "overflows#",
        "note",
    )
    rows = [_precision(one, plain, chosen=one.precision == training.precision) for one in training.probe]
    note = (
        "Some training steps on a batch of these pictures, loading not counted. The fastest is taken whose "
        "loss agrees with FP32."
    )
    return block("Precisions that were tried", note, table("Precisions", heads, rows))


def _precision(probe: PrecisionProbe, plain_ms: float | None, *, chosen: bool) -> Markup:
    faster = plain_ms / probe.step_ms if plain_ms and probe.step_ms else None
    word = tag("span", "chosen", class_="chip ships") if chosen else probe.why_not
    return tag(
        "tr",
        tag("th", probe.precision.upper(), scope="row"),
        number(_or_nan(probe.step_ms), 1),
        number(_or_nan(probe.img_s), 0),
        number(_or_nan(faster)),
        number(_or_nan(probe.peak_mib) / 1024, 1),
        number(_or_nan(probe.loss_error) * 100),
        number(_or_nan(probe.overflows), 0),
        tag("td", word),
    )


def _feeding(feeding: Feeding) -> Markup | None:
    """Show what training waited for, and what was tried against it."""
    said = [one for one in (feeding.says, tuning_sentence(feeding)) if one]
    content = [tag("p", one) for one in said]
    content += [one for one in (_parts(feeding.parts), _trials(feeding)) if one]
    return block("How training was fed", "", content or None)


def _parts(parts: LoadingParts | None) -> Markup | None:
    if parts is None:
        return None
    named = {
        "reading from the disk" if parts.cold else "reading, from the page cache": parts.read_ms,
        "decoding and resizing": parts.decode_ms,
        "augmentation": parts.augment_ms,
        "putting batches together": parts.collate_ms,
        "pinning, in a thread of its own": parts.pin_ms,
    }
    rows = [
        tag("tr", tag("th", name, scope="row"), number(value), number(100 * value / parts.total_ms, 0))
        for name, value in named.items()
        if value
    ]
    return table("Parts of loading", head("one picture, in one process", "ms#", "%#"), rows)


def _trials(feeding: Feeding) -> Markup | None:
    if feeding.tuning is None:
        return None
    tuning = feeding.tuning
    heads = head("processes#", "batches ahead#", "cache", "pictures/s#", "")
    rows = [
        _trial(one, chosen=one == tuning.after, first=not place) for place, one in enumerate(tuning.trials)
    ]
    return details(
        f"Settings of loading that were tried, in {tuning.seconds:.0f} s", table("Trials", heads, rows)
    )


def _trial(trial: LoaderTrial, *, chosen: bool, first: bool) -> Markup:
    words = [word for word in ("as set" if first else "", "chosen" if chosen else "", trial.why_not) if word]
    return tag(
        "tr",
        number(trial.workers, 0),
        number(trial.prefetch if trial.workers else math.nan, 0),
        tag("td", trial.cache or "off"),
        number(_or_nan(trial.img_s), 0),
        tag("td", ", ".join(words)),
    )


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
