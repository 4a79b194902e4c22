"""Choose a device for a kit: one that is the target, has what it takes, and is free."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pipeline.remote.agent import Agent, Parcel
from pipeline.remote.link import Link
from targets.board.fit import fits
from targets.board.identity import Identity
from targets.errors import EdgeboundError
from targets.record import load

_PROBES = 8  # devices asked at once


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A device that can do the work.

    Attributes:
        agent: There.
        begun: This kit's work has begun there, or is done.
        busy: Who holds it, in words; empty while it is free.
    """

    agent: Agent
    begun: bool
    busy: str

    @property
    def rank(self) -> tuple[bool, bool]:
        """Of the candidates, the lowest is taken."""
        return not self.begun, bool(self.busy)


def choose(links: Sequence[Link], parcel: Parcel) -> tuple[list[Candidate], list[str]]:
    """Ask devices, all at once.

    Args:
        links: To devices that claim to be the target.
        parcel: What is to be done.

    Returns:
        Those that can do the work, best first; and why the others cannot.
    """
    with ThreadPoolExecutor(_PROBES) as pool:
        found = list(pool.map(lambda link: _probe(link, parcel), links))
    candidates = [one for one in found if isinstance(one, Candidate)]
    reasons = [one for one in found if isinstance(one, str)]
    return sorted(candidates, key=lambda one: one.rank), reasons


def _probe(link: Link, parcel: Parcel) -> Candidate | str:
    name = link.device.name
    try:
        link.connect()
        Agent(link, parcel).install()
        slots = [Agent(link, parcel, slot) for slot in range(link.device.slots)]
        asked = [(slot, *slot.ask_status()) for slot in slots]
        found = [(slot, begun, json.loads(words)) for slot, begun, words in asked]
    except EdgeboundError as exc:
        return f"{name}: {exc.what.removeprefix(f'{name}: ')} {exc.hint}"
    except ValueError:
        return f"{name}: The agent did not answer in JSON. Look what `{link.device.python}` is there."
    agent, begun, status = min(found, key=lambda one: bool(one[2]["busy"]))
    problem = "; ".join(_problems(status, parcel, begun=begun))
    if problem:
        return f"{name}: {problem}"
    return Candidate(agent=agent, begun=begun, busy=_who(status["busy"]))


def _problems(status: Any, parcel: Parcel, *, begun: bool) -> Iterator[str]:
    profile = parcel.kit.profile
    identity = load(Identity, json.dumps(status["identity"]))
    version = status["runtimes"].get(profile.runtime) or ""
    for reason in fits(identity, profile, facts=status["facts"], runtime_version=version):
        yield f"it is not {parcel.target}: {reason}"
    for one in status["missing"]:
        yield f"it lacks {one['what']} ({one['hint']})"
    if not begun and status["free_bytes"] < parcel.size:
        free, size = status["free_bytes"] >> 20, (parcel.size >> 20) + 1
        yield f"its disk has room for {free} MiB, the kit needs {size} MiB (`agent.pyz clean` there helps)"


def _who(busy: Any) -> str:
    if not busy:
        return ""
    return f"process {busy.get('pid', '?')} works in {busy.get('job', '?')} since {busy.get('since', '?')}"
