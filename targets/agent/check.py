"""Check: for people, what this board is and has, what is missing, and whether it is ready to measure."""

from pathlib import Path
from typing import Iterator, Optional, Tuple

from targets.agent.archive import own_digest
from targets.agent.backend import facts_of
from targets.agent.needs import RUNTIMES, missing, runtime_version
from targets.board.fit import fits
from targets.board.identity import Identity, identify
from targets.board.state import doubts, read_state
from targets.kit import Kit


def check(root: Path, kit: Optional[Kit]) -> Tuple[Tuple[str, ...], bool]:
    """Look at this board.

    Args:
        root: Below which the board's `proc`, `sys` and `etc` are.
        kit: At hand, or None.

    Returns:
        Lines to show, and whether the kit's work can be done here.
    """
    identity = identify(root)
    obstacles = tuple(_obstacles(kit, identity))
    lines = (*_presence(identity), *obstacles, *_readiness(root, kit))
    return (*lines, "" if obstacles else "Nothing is missing."), not obstacles


def _presence(identity: Identity) -> Iterator[str]:
    jetpack = identity.jetpack and f"JetPack {identity.jetpack}"
    board = ", ".join(part for part in (identity.model, identity.module_id, jetpack) if part)
    yield f"{board or 'This machine'}, Python {identity.python}, agent {own_digest()[:12]}"
    versions = ((name, runtime_version(name)) for name in RUNTIMES)
    found = ", ".join(f"{name} {version}" for name, version in versions if version)
    if found:
        yield f"Here: {found}"


def _obstacles(kit: Optional[Kit], identity: Identity) -> Iterator[str]:
    lacking = missing(kit.profile if kit else None, identity)
    for one in lacking:
        yield f"Missing: {one.what} ({one.why})\n  {one.hint}"
    if kit and not lacking:
        version = runtime_version(kit.profile.runtime) or ""
        reasons = fits(identity, kit.profile, facts=facts_of(kit.profile), runtime_version=version)
        for reason in reasons:
            yield f"Not {kit.target}: {reason}"


def _readiness(root: Path, kit: Optional[Kit]) -> Iterator[str]:
    """Say what makes a latency measured now prove nothing; the agent itself never calls sudo."""
    state = read_state(root)
    modes = kit.profile.power_modes if kit else ()
    for doubt in doubts(state, state, fastest_mode=modes[-1] if modes else ""):
        command = f"\n  {doubt.command}" if doubt.command else ""
        yield f"Not ready to measure: {doubt.reason}{command}"
