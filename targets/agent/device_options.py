"""The options of the commands that pull, verify and run released engines."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - it has no other name


def add_device_commands(commands: "_Commands", root: Path) -> None:
    """Add them to the agent's command line.

    Args:
        commands: Of its parser.
        root: Default of `--sysroot`.
    """
    trust = _trust()
    _add_pull(commands, trust, root)
    command = commands.add_parser("verify", help="signature, files, outputs and latency", parents=[trust])
    command.add_argument("folder", type=Path, metavar="DIR", help="that was pulled to")
    command.add_argument("--seconds", type=_seconds, default=5.0, help="for the latency; default: 5")
    _add_sysroot(command, root)
    _add_detect(commands, trust)


def _trust() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--trust", type=Path, default=None, help="trust policy; default: this machine's")
    options.add_argument("--json", action="store_true", help="JSON on stdout, for programs")
    return options


def _add_sysroot(command: argparse.ArgumentParser, root: Path) -> None:
    command.add_argument("--sysroot", type=Path, default=root, help="where proc, sys and etc are; default: /")


def _add_pull(commands: "_Commands", trust: argparse.ArgumentParser, root: Path) -> None:
    command = commands.add_parser(
        "pull", help="the engine of a release that fits this board", parents=[trust]
    )
    add = command.add_argument
    add(
        "reference",
        nargs="?",
        default="",
        metavar="REF",
        help="host/name:tag, oci:folder:tag or oci-archive:file",
    )
    add("-o", "--output", dest="folder", type=Path, required=True, help="`current` in it is what is used")
    add("--for", dest="target", default="auto", help="target, as orin@6.2; default: what runs here")
    add("--channel", default="", help="that it must be of; default: the tag, else the last pull's")
    add("--allow-older", action="store_true", help="take one that is older than what was here")
    add("--previous", action="store_true", help="switch back to the release before; no REF")
    add("--ca", type=Path, default=None, help="certificates (PEM) to trust beside the system's")
    add("--plain-http", action="append", default=[], help="host[:port] to speak to without TLS")
    _add_sysroot(command, root)


def _add_detect(commands: "_Commands", trust: argparse.ArgumentParser) -> None:
    command = commands.add_parser("detect", help="look at pictures, a video or a camera", parents=[trust])
    add = command.add_argument
    add("folder", type=Path, metavar="DIR", help="that was pulled to, or of an engine")
    add("-s", "--source", required=True, help="a picture, a folder, a video, a camera (0), or an address")
    add("-o", "--save", type=Path, default=None, help="folder for pictures or videos with boxes drawn")
    add("--conf", type=float, default=None, help="drop boxes under this score; default: the engine's")
    add("--class", dest="names", action="append", default=[], help="keep only this class")
    add("--limit", type=int, default=0, help="stop after so many frames")
    add("--live", dest="live", action="store_true", default=None, help="drop frames that come too fast")
    add("--every", dest="live", action="store_false", help="look at every frame")
    add("--allow-unsigned", action="store_true", help="take an engine that nobody signed, as it is")


def _seconds(text: str) -> float:
    """Read a length of time."""
    found = float(text)
    if not 0.1 <= found <= 600:
        raise ValueError
    return found
