"""Real jobs on a real Slurm: how they end, and what is said of it."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.executor.ending import ending
from pipeline.executor.follow import Watched, follow
from pipeline.executor.slurm import find_jobs
from pipeline.ladder import RunReport
from targets.errors import EdgeboundError
from tests.slurm_fixture.slurm import Slurm

pytestmark = pytest.mark.slow
Submit = Callable[..., Watched]

REPORT = RunReport(
    run="r", verdict="refuse", reasons=(), error=None, run_dir="", seconds=1.0, data="", targets={}
)
SAYS_A_REPORT = f"import sys; print('working', file=sys.stderr); print({REPORT.to_json()!r}); sys.exit(3)"


class Heard:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def started(self, title: str) -> None: ...

    def progress(self, done: float, total: float, note: str = "") -> None: ...

    def finished(self, done: object) -> None: ...

    def note(self, text: str) -> None:
        self.notes.append(text)


def followed(*watched: Watched) -> list[str]:
    heard = Heard()
    follow(watched, heard)
    return heard.notes


def error_of(one: Watched, requeues: int = 0) -> EdgeboundError:
    found = ending(one, requeues=requeues)
    assert isinstance(found, EdgeboundError)
    return found


def is_in(state: str, one: Watched) -> bool:
    found = find_jobs([one.job.called])
    return one.job.called in found and found[one.job.called].state == state


def runs(one: Watched) -> bool:
    return is_in("RUNNING", one)


def start_again(one: Watched, slurm: Slurm) -> None:
    """Let a job that is back in the queue start: Slurm lets it wait for two minutes."""
    wait_until(lambda: is_in("PENDING", one))
    slurm.ask("scontrol", "update", f"jobid={one.number}", "starttime=now")


def wait_until(holds: Callable[[], bool], timeout_s: float = 60) -> None:
    end = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_verdict_is_passed_on_and_lets_the_next_job_run(submitted: Submit) -> None:
    first = submitted(SAYS_A_REPORT, name="train")
    second = submitted(SAYS_A_REPORT, name="cpu", after=first.number)

    notes = followed(first, second)

    assert ending(first, requeues=0) == REPORT
    assert ending(second, requeues=0) == REPORT
    assert "train: working" in notes
    assert notes.index("train: working") < notes.index("cpu: working")


def test_a_job_that_fails_takes_those_that_wait_for_it_along(submitted: Submit) -> None:
    first = submitted("raise ValueError('no such thing')", name="train")
    second = submitted(SAYS_A_REPORT, name="cpu", after=first.number)

    followed(first, second)

    assert "failed with exit code 1, and left no report" in error_of(first).what
    assert "no such thing" in error_of(first).what
    assert "was cancelled" in error_of(second).what


def test_a_job_is_given_the_gpus_and_nodes_that_it_asks_for(submitted: Submit) -> None:
    program = (
        "import os, sys; e = os.environ; print(e['SLURM_JOB_NUM_NODES'], e['SLURM_GPUS_ON_NODE'], e['WORD'])"
    )

    one = submitted(program, nodes=2, gpus=2, cpus=2, memory_gib=0.5, environment={"WORD": "two words"})
    followed(one)

    assert one.report_file.read_text() == "2 2 two words\n"


def test_a_job_that_was_cancelled_says_so(submitted: Submit, slurm: Slurm) -> None:
    one = submitted("import time; time.sleep(60)")
    wait_until(lambda: runs(one))

    slurm.ask("scancel", str(one.number))
    followed(one)

    assert "was cancelled" in error_of(one).what
    assert "goes on from the last checkpoint" in error_of(one).hint


def test_before_its_time_limit_a_job_goes_back_into_the_queue_and_goes_on(
    submitted: Submit, slurm: Slurm, tmp_path: Path
) -> None:
    program = (
        "import os, sys, time\n"
        "if 'SLURM_RESTART_COUNT' in os.environ: print('done'); sys.exit()\n"
        "time.sleep(100)"
    )
    one = submitted(program, hours=1 / 60)  # a minute, so Slurm warns at once
    wait_until(lambda: runs(one))
    start_again(one, slurm)

    followed(one)

    assert one.code == "0"
    assert one.report_file.read_text() == "done\n"


def test_a_job_that_has_used_up_its_time_says_so(submitted: Submit, slurm: Slurm) -> None:
    one = submitted("import time; print(flush=True); time.sleep(100)", requeues=0)
    wait_until(lambda: one.report_file.exists() and one.report_file.read_text() == "\n")

    slurm.ask(
        "scancel", "--batch", "--signal=USR1", str(one.number)
    )  # what Slurm does a minute before the limit
    followed(one)

    assert "was ended by its time limit" in error_of(one).what
    assert "Set executor.hours or executor.requeues higher" in error_of(one).hint


def test_a_job_that_has_to_make_room_goes_on_later(submitted: Submit, slurm: Slurm) -> None:
    program = "import os, time\nif 'SLURM_RESTART_COUNT' not in os.environ: time.sleep(100)\nprint('done')"
    one = submitted(program, nodes=2, cpus=4)
    wait_until(lambda: runs(one))

    urgent = submitted("print('urgent')", name="urgent", partition="urgent", nodes=2, cpus=4)
    followed(urgent)
    start_again(one, slurm)
    followed(one)

    assert one.report_file.read_text() == "done\n"


def test_the_end_of_a_job_is_known_even_when_slurm_has_forgotten_it(submitted: Submit) -> None:
    one = submitted(SAYS_A_REPORT)
    followed(one)

    later = Watched(job=one.job, number=one.number + 100_000, result=one.result)
    followed(later)

    assert ending(later, requeues=0) == REPORT
