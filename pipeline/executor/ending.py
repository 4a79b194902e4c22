"""Ending: how a job ended, as a report or as an error that says what to do."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.executor.follow import Watched
from pipeline.executor.script import TIME_IS_UP
from pipeline.ladder import RunReport
from pipeline.report import parse_report
from targets.errors import EdgeboundError

_SAID_LINES = 3
_AGAIN = "Run the same command again: it goes on from the last checkpoint."
_TIME = "was ended by its time limit, {requeues} times queued again included"
_TIME_HINT = "Set executor.hours or executor.requeues higher. " + _AGAIN
_ENDINGS: Mapping[str, tuple[str, str]] = {
    "TIMEOUT": (_TIME, _TIME_HINT),
    "DEADLINE": (_TIME, _TIME_HINT),
    "CANCELLED": ("was cancelled", _AGAIN),
    "NODE_FAIL": ("lost its node", _AGAIN + " Leave a bad node out: executor.options: [--exclude=NODE]."),
    "BOOT_FAIL": ("got no node that boots", _AGAIN),
    "OUT_OF_MEMORY": (
        "was killed, since it took more memory than it had asked for",
        "Set executor.memory_gib higher, or train.batch or train.workers lower.",
    ),
    "PREEMPTED": ("had to make room for another job, and was not queued again", _AGAIN),
    "REVOKED": ("is gone", _AGAIN),
}  # fmt: skip


def ending(one: Watched, *, requeues: int) -> RunReport | EdgeboundError:
    """Give what came of a job that has ended: its report, whatever its verdict, or why there is none."""
    if one.code and one.code != TIME_IS_UP and one.report_file.exists():
        text = one.report_file.read_bytes().strip()
        if text:
            return parse_report(text.splitlines()[-1], name=str(one.report_file))
    what, hint = _why(one)
    if "{" in what:
        what = what.format(requeues=requeues)
    return EdgeboundError(
        f"{one.job.name}: job {one.number} {what}.{_last_words(one)}", hint=f"{hint} Log: {one.log_file}"
    )


def _why(one: Watched) -> tuple[str, str]:
    if one.code == TIME_IS_UP:
        return _ENDINGS["TIMEOUT"]
    if one.code:
        return f"failed with exit code {one.code}, and left no report", "See its log."
    assert one.standing is not None
    state = one.standing.state
    if state in _ENDINGS:
        return _ENDINGS[state]
    return f"ended ({state.lower()}) without a word of how", _AGAIN


def _last_words(one: Watched) -> str:
    if not one.log_file.exists():
        return ""
    lines = one.log_file.read_text("utf-8", "replace").split("\n")
    last = [line.strip() for line in lines if line.strip()][-_SAID_LINES:]
    return f" It last said: {' | '.join(last)}" if last else ""
