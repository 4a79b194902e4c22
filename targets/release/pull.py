"""Pull: a release from a registry, a folder or an archive to this device, verified before it counts."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Callable

from targets.engine import open_engine
from targets.errors import EdgeboundError, RegistryError, TrustError, UsageError
from targets.folder import file_names
from targets.registry import open_source
from targets.registry.access import Access
from targets.registry.artifact import fetch, files_of, find
from targets.registry.content import Manifest
from targets.registry.disk import explained
from targets.registry.reference import Reference
from targets.registry.repository import Source, Transfer, unseen
from targets.release.check import MANIFEST, MAX_FACTS, check_all_files, check_signature
from targets.release.choose import AUTO, Candidate, candidates, choose, look, objections
from targets.release.expected import read_expected
from targets.release.facts import FILE_NAME as FACTS
from targets.release.facts import RELEASE_TYPE, ReleaseFacts, has_expired, load, when
from targets.release.place import ENGINE, PREVIOUS, RELEASES, SIGNATURE, linked
from targets.release.state import State, load_state, save_state
from targets.release.switch import (
    INCOMING,
    clear,
    install,
    locked,
    prune,
    short,
    switch_back,
    switch_to,
    sync,
)
from targets.trust.attached import Attached, read_signed
from targets.trust.policy import Policy

_BEHIND = timedelta(days=1)
"""That a clock may be behind the one that made a release."""


@dataclass(frozen=True)
class Order:
    """What is to be pulled, and where to.

    Attributes:
        reference: Of the release.
        folder: On this device.
        policy: Whom it trusts.
        access: How it reaches registries.
        now: With its time zone.
        target: `auto`, or one to pull whether it runs here or not.
        channel: That the release must be of; empty: see `pull`.
        allow_older: Take one that is older than what was here.
        root: Where the device's `proc`, `sys` and `etc` are.
        transfer: Told of what is fetched, and how it goes on.
        said: Told what a person should know.
    """

    reference: Reference
    folder: Path
    policy: Policy
    access: Access
    now: datetime
    target: str = AUTO
    channel: str = ""
    allow_older: bool = False
    root: Path = Path("/")
    transfer: Transfer = unseen
    said: Callable[[str], None] = lambda _: None


@dataclass(frozen=True)
class Pulled:
    """What is in a folder now.

    Attributes:
        folder: Of the release; the link `current` leads to it.
        facts: Of it.
        digest: Of its manifest.
        signer: Id of the key.
        before: Name of the release that was current before; empty if there was none.
        changed: Another one is current now.
    """

    folder: Path
    facts: ReleaseFacts
    digest: str
    signer: str
    before: str
    changed: bool


def pull(order: Order) -> Pulled:
    """Put the engine of a release that fits this device in place, and switch to it.

    Signature, policy, channel, age and all digests are looked at before anything is where an application
    would find it. Cut off at any moment, one whole engine is current, and the same order goes on from there.
    The channel is the one asked for; else the tag, if it is not the run's; else the last pull's.

    Raises:
        UnsupportedError: None of its engines runs here.
        TrustError: Nobody who is trusted signed it, it is not what was signed, or older than what was here.
        RegistryError: It cannot be read, or the folder cannot be used.
        DiskFullError: There is no room; nothing has changed.
    """
    with locked(order.folder), open_source(order.reference, order.access) as source:
        state = load_state(order.folder)
        chosen = _choose(source, order)
        channel = _channel(order, state, chosen.facts)
        attached = read_signed(source, chosen.manifest, order.policy, channel, order.now)
        facts = _read_facts(source, attached.manifest, order.reference)
        _refuse_other(facts, chosen.facts, channel)
        _refuse_late(facts, order)
        _refuse_older(facts, state, order)
        name = short(chosen.manifest.digest)
        is_here = _is_whole(order.folder / RELEASES / name, order.policy)
        if not is_here:
            _bring(source, chosen, attached, order)
        # Before the switch: whatever cuts us off, no sequence is remembered that is lower than what is used.
        save_state(order.folder, state.with_release(facts, str(order.reference)))
        if not is_here:
            install(order.folder, order.folder / INCOMING / name, name)
        before = switch_to(order.folder, name)
        prune(order.folder)
        folder = order.folder / RELEASES / name
        return Pulled(folder, facts, chosen.manifest.digest, attached.signed.key_id, before, before != name)


def go_back(folder: Path, policy: Policy) -> ReleaseFacts:
    """Make the previous release the current one again, and give its facts.

    Raises:
        UsageError: There is none.
        TrustError: It is not whole, or nobody trusted signed it.
    """
    if not folder.is_dir() or not linked(folder, PREVIOUS):
        raise UsageError(f"{folder} has no previous release.", hint="Pull one by its version.")
    with locked(folder):
        release = check_signature(folder / RELEASES / linked(folder, PREVIOUS), policy, None)
        check_all_files(release)
        switch_back(folder)
    return release.facts


def _choose(source: Source, order: Order) -> Candidate:
    found, index = find(source, order.reference.target)
    if index.artifact_type != RELEASE_TYPE:
        raise RegistryError(
            f"{order.reference} is {index.artifact_type or found.media_type}, no release.",
            hint="`pipeline release` makes releases; is the tag right?",
        )
    device = look(order.root)
    engines, strange = candidates(index)
    chosen = choose(engines, strange, device, order.target)
    for objection in objections(chosen.facts, device):
        order.said(f"{chosen.facts.target} does not run here: {objection}")
    return chosen


def _channel(order: Order, state: State, facts: ReleaseFacts) -> str:
    """Give the channel that a release must be of.

    Releases have two tags, their run and their channel. So another tag is that of a channel that this is not
    of: it was moved here by somebody who need not have a key.
    """
    tag = order.reference.tag if order.reference.tag != facts.run else ""
    return order.channel or tag or state.channel or facts.channel


def _read_facts(source: Source, manifest: Manifest, reference: Reference) -> ReleaseFacts:
    blob = files_of(manifest).get(FACTS)
    if blob is None or blob.size > MAX_FACTS:
        raise RegistryError(f"{reference} has no {FACTS} that can be read.", hint="It is none of ours.")
    return load(source.read_blob(blob).decode("utf-8", "replace"), Path(FACTS))


def _refuse_other(facts: ReleaseFacts, chosen: ReleaseFacts, channel: str) -> None:
    if facts != chosen:
        raise TrustError(
            "The annotations of the release say something else than what is signed.",
            hint="Somebody changed the index after it was signed. Ask who released it.",
        )
    if facts.channel != channel:
        raise TrustError(
            f"The release is of channel {facts.channel!r}, not {channel!r}.",
            hint=f"If that is what you want, say so: --channel {facts.channel}.",
        )


def _refuse_late(facts: ReleaseFacts, order: Order) -> None:
    clock = f"the clock here says {order.now:%Y-%m-%d %H:%M} UTC"
    if has_expired(facts, order.now):
        raise TrustError(
            f"The release expired on {facts.expires}; {clock}.",
            hint="Pull a newer one, or ask for it. Is the clock right?",
        )
    if when(facts.created) > order.now + _BEHIND:
        what = f"The release was made on {facts.created}, and {clock}"
        if facts.expires:
            raise TrustError(f"{what}: whether it has expired is not known.", hint="Set the clock.")
        order.said(f"{what}. Is the clock right?")


def _refuse_older(facts: ReleaseFacts, state: State, order: Order) -> None:
    if state.name and state.name != facts.name:
        raise TrustError(
            f"{order.folder} is for {state.name!r}; the release is of {facts.name!r}.",
            hint="Name another folder with -o, or ask who put it there.",
        )
    highest = state.highest(facts)
    if facts.sequence >= highest:
        return
    what = f"the release has sequence {facts.sequence}; {order.folder} has had {highest}"
    if not order.allow_older:
        raise TrustError(
            f"Refused to go back: {what} of channel {facts.channel!r}.",
            hint="--allow-older takes it all the same; --previous goes back to what was here before.",
        )
    order.said(f"Going back: {what}.")


def _is_whole(folder: Path, policy: Policy) -> bool:
    """Say whether a release is there already, and undamaged."""
    try:
        check_all_files(check_signature(folder, policy, None))
    except EdgeboundError:
        return False
    return True


def _bring(source: Source, chosen: Candidate, attached: Attached, order: Order) -> None:
    """Fetch a release to where nobody looks, and see that it is whole, on the disk, and what it says."""
    place = order.folder / INCOMING / short(chosen.manifest.digest)
    if place.is_symlink():
        raise RegistryError(f"{place} is a link; nothing is written through it.", hint="Take it away.")
    clear(order.folder, but=place.name)
    size = sum(blob.size for blob in attached.manifest.layers)
    order.said(f"Fetching {chosen.facts.target}, {chosen.facts.precision}: {size / 2**20:.1f} MiB.")
    _, content = source.read_manifest(chosen.manifest.digest)
    fetch(source, attached.manifest, place, order.transfer("fetch", size))
    with explained(place):
        for name in sorted(set(file_names(place)) - set(files_of(attached.manifest))):
            (place / name).unlink()  # of an attempt that was cut off
        (place / MANIFEST).write_bytes(content)
        (place / SIGNATURE).write_bytes(attached.bundle)
    check_all_files(check_signature(place, order.policy, order.now))
    _refuse_engine(place, chosen.facts)
    sync(place)


def _refuse_engine(place: Path, facts: ReleaseFacts) -> None:
    """See that the engine is what the release says, and that it can be proven here later."""
    engine = open_engine(place / ENGINE)
    stated = (engine.runtime, engine.runtime_version, engine.precision)
    if stated != (facts.runtime, facts.runtime_version, facts.precision):
        raise TrustError(
            f"The release says {facts.runtime} {facts.runtime_version} {facts.precision}, its engine "
            f"{' '.join(stated)}.",
            hint="Ask for the release to be made again.",
        )
    read_expected(place)
