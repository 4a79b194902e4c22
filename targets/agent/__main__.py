"""The agent's command line.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 an engine does not do what it was judged by, 4 something is
missing here, 5 nothing fits this board.
"""

import argparse
import json
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, List, Mapping, Optional, Sequence, Tuple

from targets.agent.archive import own_archive
from targets.agent.job import Job
from targets.agent.options import make_parser
from targets.errors import EdgeboundError, UsageError
from targets.kit import FILE_NAME, JOB_NAME, Kit, read_kit


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Do what the command line says, and give the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    root = Path(os.environ.get("EDGEBOUND_SYSROOT", "/"))
    options = make_parser(root).parse_args(["check" if one == "--check" else one for one in given])
    try:
        return int(_COMMANDS[options.command](options))
    except EdgeboundError as exc:
        sys.stderr.write(f"{exc.what}\n  {exc.hint}\n")
        return exc.code
    except KeyboardInterrupt:
        sys.stderr.write("Stopped. The same command goes on where it was.\n")
        return 1


def _places(options: argparse.Namespace) -> Tuple[Path, Job]:
    """Give the kit's folder and the job.

    Raises:
        UsageError: No kit is named, and none is here.
    """
    here = own_archive()
    kit = options.kit or (here.parent if here else Path())
    if not (kit / FILE_NAME).exists():
        raise UsageError(f"There is no kit in {kit.resolve()}.", hint="Name its folder with --kit.")
    return kit.resolve(), Job((options.job or kit / JOB_NAME).resolve())


def _state(options: argparse.Namespace) -> Path:
    return Path(options.state).expanduser().resolve()


def _child_options(options: argparse.Namespace) -> Tuple[str, ...]:
    kit, job = _places(options)
    root = options.sysroot.resolve()
    pairs = (("--kit", kit), ("--job", job.folder), ("--state", _state(options)), ("--sysroot", root))
    return tuple(str(part) for pair in pairs for part in pair)


def _run(options: argparse.Namespace) -> int:
    from targets.agent.run import Order, run
    from targets.agent.steps import Place

    kit, job = _places(options)
    order = Order(
        place=Place(kit, job, options.sysroot.resolve(), _state(options)),
        max_age=timedelta(hours=options.max_age_h),
        wait_s=options.wait_s,
        lock=options.lock,
        options=_child_options(options),
    )
    receipt = run(order, _tell_json if options.json else _tell)
    if not options.json:
        sys.stderr.write(f"The receipt is {receipt}.zip; `pipeline accept` takes it.\n")
    return 0


def _start(options: argparse.Namespace) -> int:
    from targets.agent.detach import start

    kit, job = _places(options)
    arguments: List[str] = [
        *_child_options(options),
        "--max-age-h",
        str(options.max_age_h),
        "--wait-s",
        str(options.wait_s),
    ]
    _print(start(kit, job, max_age=timedelta(hours=options.max_age_h), arguments=arguments))
    return 0


def _follow(options: argparse.Namespace) -> int:
    from targets.agent.follow import follow

    job = Job(options.job.resolve()) if options.job else _places(options)[1]
    return follow(job, offset=options.offset, out=sys.stdout)


def _status(options: argparse.Namespace) -> int:
    from targets.agent.status import status

    kit = _kit_here(options)
    _print(status(options.sysroot, _state(options), kit.profile if kit else None))
    return 0


def _check(options: argparse.Namespace) -> int:
    from targets.agent.check import check

    lines, able = check(options.sysroot, _kit_here(options))
    sys.stderr.write("".join(f"{line}\n" for line in lines if line))
    return 0 if able else 4


def _clean(options: argparse.Namespace) -> int:
    from targets.agent.clean import clean

    for path in clean(_state(options), keep=options.keep):
        sys.stderr.write(f"removed {path}\n")
    return 0


def _step(options: argparse.Namespace) -> int:
    from targets.agent.child import Reports, die_with
    from targets.agent.disk import explained
    from targets.agent.steps import Place, carry_out

    die_with(options.parent)
    reports = Reports(options.report)
    try:
        kit, job = _places(options)
        place = Place(kit, job, options.sysroot, _state(options))
        with explained(job.folder):
            reports.result(carry_out(options.name, options.ids, place, reports))
    except EdgeboundError as exc:
        reports.error(exc)
        return 1
    return 0


def _take(options: argparse.Namespace) -> int:
    from targets.agent.carry import take_kit

    if options.kit is None:
        raise UsageError("No folder is named for the kit.", hint="Name it with --kit.")
    with open(0, "rb", closefd=False) as source:
        take_kit(options.kit.resolve(), _state(options) / "incoming", source, sys.stdout.buffer)
    return 0


def _give(options: argparse.Namespace) -> int:
    from targets.agent.carry import give_receipt

    job = Job(options.job.resolve()) if options.job else _places(options)[1]
    with open(0, "rb", closefd=False) as source:
        give_receipt(job, source, sys.stdout.buffer)
    return 0


def _pull(options: argparse.Namespace) -> int:
    from targets.agent.device import pull

    return pull(options, dict(os.environ))


def _verify(options: argparse.Namespace) -> int:
    from targets.agent.device import verify

    return verify(options, dict(os.environ))


def _detect(options: argparse.Namespace) -> int:
    from targets.agent.device import detect

    return detect(options, dict(os.environ))


def _kit_here(options: argparse.Namespace) -> Optional[Kit]:
    try:
        return read_kit(_places(options)[0])
    except UsageError:
        if options.kit:
            raise
        return None


def _tell_json(event: Mapping[str, Any]) -> None:
    _print(event)


def _tell(event: Mapping[str, Any]) -> None:
    """Tell people what happens, a line an event; how a step goes on in one line that is written over."""
    subject = " ".join(str(event[name]) for name in ("phase", "id", "text") if event.get(name))
    if event["event"] == "progress":
        end = "\r" if sys.stderr.isatty() and event["done"] < event["total"] else "\n"
        if end == "\r" or event["done"] >= event["total"]:
            sys.stderr.write(f"{subject}: {event['done']:.0f} of {event['total']:.0f}{end}")
    elif event["event"] in ("phase", "note", "warning"):
        sys.stderr.write(f"{subject}\n")


def _print(record: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


_COMMANDS = {
    "run": _run,
    "start": _start,
    "follow": _follow,
    "status": _status,
    "check": _check,
    "clean": _clean,
    "take": _take,
    "give": _give,
    "step": _step,
    "pull": _pull,
    "verify": _verify,
    "detect": _detect,
}
