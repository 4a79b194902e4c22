"""The options of the agent's command line."""

import argparse
from pathlib import Path

from targets.agent.device_options import add_device_commands

_STATE = "~/.edgebound"
_LONGEST = 1e6  # hours or seconds; more is a slip


def make_parser(root: Path) -> argparse.ArgumentParser:
    """Give the agent's command line.

    Args:
        root: Default of `--sysroot`.
    """
    parser = argparse.ArgumentParser(
        prog="python3 agent.pyz",
        description="Builds, measures and verifies the engines of a kit on this board, and writes a receipt; "
        "pulls, verifies and runs released ones.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    common = _common(root)
    work = _work()
    commands.add_parser("run", help="build, measure and verify", parents=[common, work])
    commands.add_parser("start", help="the same in the background; says where", parents=[common, work])
    command = commands.add_parser(
        "follow", help="print what happens to a job until it ends", parents=[common]
    )
    command.add_argument(
        "--from", dest="offset", type=int, default=0, help="byte of events.jsonl to begin with"
    )
    commands.add_parser("status", help="what this board is, has, and does", parents=[common])
    commands.add_parser("check", help="what is missing here, and how to install it", parents=[common])
    command = commands.add_parser("clean", help="remove old kits and the work done in them", parents=[common])
    command.add_argument("--keep", type=int, default=3, help="the latest so many stay; default: 3")
    add_device_commands(commands, root)
    commands.add_parser("take", parents=[common])  # for pipeline.remote, as `give`
    commands.add_parser("give", parents=[common])
    command = commands.add_parser("step", parents=[common])  # for the agent itself
    command.add_argument("name")
    command.add_argument("ids", nargs="*")
    command.add_argument("--report", type=int, required=True)
    command.add_argument("--parent", type=int, required=True)
    return parser


def _common(root: Path) -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    add = options.add_argument
    add("--kit", type=Path, default=None, help="the kit's folder; default: where this agent is")
    add("--job", type=Path, default=None, help="where to work; default: `job` in the kit's folder")
    add("--json", action="store_true", help="JSON lines on stdout, for programs")
    add("--state", type=Path, default=Path(_STATE), help=f"the agent's own folder; default: {_STATE}")
    add("--sysroot", type=Path, default=root, help="where proc, sys and etc are; default: /")
    return options


def _work() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    add = options.add_argument
    add(
        "--max-age-h", type=_span, default=24.0, help="hours; an older measurement is made again; default: 24"
    )
    add("--wait-s", type=_span, default=3600.0, help="seconds to wait for a busy board; default: 3600")
    add("--lock", type=int, default=None, help=argparse.SUPPRESS)
    return options


def _span(text: str) -> float:
    """Read a length of time."""
    span = float(text)
    if not 0 <= span <= _LONGEST:
        raise ValueError
    return span
