"""Policies: trust policy files made and changed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from pipeline.files import explained, write_atomically
from targets.errors import UsageError
from targets.trust.p256 import PublicKey
from targets.trust.policy import Policy, TrustedKey, dump_policy, load_policy, moment, read_policy


@dataclass(frozen=True)
class NewKey:
    """A key that is to be trusted.

    Attributes:
        key: It.
        name: For people.
        valid_from: Date or time, UTC; empty if ever since.
        valid_until: Likewise; empty if for ever.
    """

    key: PublicKey
    name: str = ""
    valid_from: str = ""
    valid_until: str = ""

    def entry(self) -> TrustedKey:
        """Give it as policies have it."""
        return TrustedKey(
            id=self.key.id,
            pem=self.key.pem,
            name=self.name,
            valid_from=as_moment(self.valid_from),
            valid_until=as_moment(self.valid_until),
        )


def trust(path: Path, new: NewKey, channels: Sequence[str]) -> Policy:
    """Add a key to a policy, which is made if it is not there. A known key gets the new dates and channels.

    Raises:
        TrustError: The policy cannot be read.
        UsageError: It cannot be written, or a date or channel is none.
    """
    before = load_policy(path) if path.exists() else Policy(keys=(), channels={})
    entry = new.entry()
    keys = (*(key for key in before.keys if key.id != entry.id), entry)
    lists = dict(before.channels)
    for channel in channels:
        others = tuple(one for one in lists.get(channel, ()) if one != entry.id)
        lists[channel] = (*others, entry.id)
    return _write(path, Policy(keys=keys, channels=lists))


def rotate(path: Path, old: str, new: NewKey, until: str) -> Policy:
    """Add a key for all channels of an old one, which is believed until a date.

    Args:
        path: Policy.
        old: Id of the old key, or how it begins, or its name.
        new: The new key.
        until: Date or time, UTC. It never prolongs the old key.

    Raises:
        TrustError: The policy cannot be read.
        UsageError: There is no such key, or the new one is there.
    """
    before = load_policy(path)
    leaving, entry = _find(before, old, path), new.entry()
    if entry.id in {key.id for key in before.keys}:
        raise UsageError(f"{path} has the new key already.", hint="`pipeline key new` makes another one.")
    end = as_moment(until)
    if leaving.valid_until and moment(leaving.valid_until) < moment(end):
        end = leaving.valid_until
    keys = tuple(replace(key, valid_until=end) if key.id == leaving.id else key for key in before.keys)
    channels = {
        channel: (*ids, entry.id) if leaving.id in ids else ids for channel, ids in before.channels.items()
    }
    return _write(path, Policy(keys=(*keys, entry), channels=channels))


def distrust(path: Path, old: str) -> Policy:
    """Take a key out of a policy. A channel that is left without a key stays, and nothing is taken from it.

    Raises:
        TrustError: The policy cannot be read.
        UsageError: There is no such key.
    """
    before = load_policy(path)
    leaving = _find(before, old, path)
    channels = {
        channel: tuple(one for one in ids if one != leaving.id) for channel, ids in before.channels.items()
    }
    keys = tuple(key for key in before.keys if key.id != leaving.id)
    return _write(path, Policy(keys=keys, channels=channels))


def as_moment(text: str) -> str:
    """Give a date or a time, in UTC, as policies spell it; empty stays empty.

    Raises:
        UsageError: It is none.
    """
    if not text:
        return ""
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
        at = found.replace(tzinfo=timezone.utc) if found.tzinfo is None else found.astimezone(timezone.utc)
    except (ValueError, OverflowError) as exc:
        raise UsageError(f"{text!r} is no date.", hint="As 2027-06-30, or 2027-06-30T12:00:00Z.") from exc
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


def _find(policy: Policy, old: str, path: Path) -> TrustedKey:
    found = [key for key in policy.keys if old and (key.id.startswith(old) or key.name == old)]
    if len(found) != 1:
        known = ", ".join(f"{key.id[:16]} ({key.name or 'no name'})" for key in policy.keys) or "none"
        raise UsageError(f"{path} has {len(found)} keys {old!r}.", hint=f"It has: {known}.")
    return found[0]


def _write(path: Path, policy: Policy) -> Policy:
    content = dump_policy(policy).encode()
    try:
        read_policy(content, path)
    except ValueError as exc:
        raise UsageError(f"{path} was not written: {exc}.", hint="Check the names of the channels.") from exc
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content)
    return policy
