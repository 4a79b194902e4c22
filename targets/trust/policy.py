"""Policy: a file that says which keys a machine trusts, for which channels, and until when."""

import re
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from targets.errors import EdgeboundError, ModelError, TrustError
from targets.record import dump as dump_record
from targets.record import load as load_record
from targets.record import refuse_schema
from targets.registry.content import load_json
from targets.trust.bundle import Signed, verify_bundle
from targets.trust.p256 import PublicKey, read_pem

SCHEMA = 1
ANY = "*"
"""Stands for channels that have no line of their own."""
_MAX_POLICY = 1 << 20  # bytes
_CHANNEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}|\*")
_HINT = "`pipeline key trust` writes such files; docs/trust.md describes them."


@dataclass(frozen=True)
class TrustedKey:
    """A key that is trusted.

    Attributes:
        id: SHA-256 of the key's DER, as hex digits.
        pem: The public key.
        name: For people.
        valid_from: ISO 8601, UTC; empty if ever since.
        valid_until: Likewise; empty if for ever. Then nothing that it signed is believed any more.
    """

    id: str
    pem: str
    name: str = ""
    valid_from: str = ""
    valid_until: str = ""

    @property
    def public(self) -> PublicKey:
        """The point."""
        return read_pem(self.pem)

    def objection(self, now: datetime) -> str:
        """Say why it cannot be used at a time; empty if it can."""
        here = f"the clock here says {now:%Y-%m-%d %H:%M} UTC"
        if self.valid_from and now < moment(self.valid_from):
            return f"key {self.id[:16]}… is valid from {self.valid_from} on, and {here}"
        if self.valid_until and now >= moment(self.valid_until):
            return f"key {self.id[:16]}… was valid until {self.valid_until}, and {here}"
        return ""


@dataclass(frozen=True)
class Policy:
    """What a machine trusts.

    Attributes:
        keys: All that it knows.
        channels: Ids of those trusted, by channel; `*` is for channels without a line of their own.
        schema: Version of the file's format.
    """

    keys: Tuple[TrustedKey, ...]
    channels: Mapping[str, Tuple[str, ...]]
    schema: int = SCHEMA

    def keys_for(self, channel: str) -> Tuple[TrustedKey, ...]:
        """Give the keys that may sign for a channel, also those that are not valid now.

        Raises:
            TrustError: There are none.
        """
        ids = self.channels.get(channel, self.channels.get(ANY, ()))
        found = tuple(key for key in self.keys if key.id in ids)
        if not found:
            raise TrustError(
                f"The trust policy has no key for channel {channel!r}.",
                hint=f"pipeline key trust KEY.pub.pem --channel {channel} adds one; it has {self._known()}.",
            )
        return found

    def check(self, bundles: Sequence[bytes], channel: str, now: datetime) -> Signed:
        """Give what the first bundle says that a key made which is trusted for a channel, and valid.

        Args:
            bundles: Signatures of one thing.
            channel: That it is for.
            now: With its time zone.

        Raises:
            TrustError: There is none; with the reason for each.
        """
        keys = self.keys_for(channel)
        if not bundles:
            raise TrustError("There is no signature.", hint="Ask who released it to sign it.")
        reasons: List[str] = []
        hint = ""
        for bundle in bundles:
            try:
                return _check(bundle, keys, now)
            except TrustError as exc:
                reasons.append(exc.what.rstrip("."))
                hint = exc.hint
        raise TrustError(f"{'; '.join(reasons[:5])}.", hint=hint)

    def _known(self) -> str:
        return ", ".join(sorted(self.channels)) or "no channel yet"


def _check(bundle: bytes, keys: Sequence[TrustedKey], now: datetime) -> Signed:
    signed = verify_bundle(bundle, [key.public for key in keys])
    (key,) = (one for one in keys if one.id == signed.key_id)
    objection = key.objection(now)
    if objection:
        raise TrustError(
            f"The signature holds, but {objection}.",
            hint="Is the clock right? Else ask for the release to be signed with a key that is valid.",
        )
    return signed


def load_policy(path: Path) -> Policy:
    """Read a policy.

    Raises:
        TrustError: There is none there, or it is malformed: then nothing is trusted.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_POLICY + 1)
    except OSError as exc:
        raise TrustError(f"The trust policy {path} cannot be read: {exc.strerror}.", hint=_HINT) from exc
    try:
        return read_policy(content, path)
    except (ValueError, ModelError) as exc:
        what = exc.what if isinstance(exc, EdgeboundError) else f"{path}: {exc}"
        raise TrustError(f"The trust policy cannot be read: {what}", hint=_HINT) from exc


def read_policy(content: bytes, path: Path) -> Policy:
    """Read a policy's bytes.

    Raises:
        ValueError: It is none.
        ModelError: It is of another version.
    """
    if len(content) > _MAX_POLICY:
        raise ValueError("it is too big")
    load_json(content)  # each key once, no figure that is none
    text = content.decode()
    refuse_schema(text, path, SCHEMA, older=_HINT, newer="Update edgebound on this machine.")
    policy = load_record(Policy, text)
    _refuse_keys(policy)
    for channel, ids in policy.channels.items():
        strange = set(ids) - {key.id for key in policy.keys}
        if strange or not _CHANNEL.fullmatch(channel):
            raise ValueError(f"channel {channel!r:.100} names keys that it does not have, or is no channel")
    return policy


def dump_policy(policy: Policy) -> str:
    """Give a policy's text."""
    return dump_record(policy)


def moment(text: str) -> datetime:
    """Give the time that a text names.

    Raises:
        ValueError: It is no time in UTC.
    """
    found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if found.utcoffset() != timezone.utc.utcoffset(None):
        raise ValueError(f"{text!r} is no time in UTC")
    return found


def find_policy(
    given: Optional[Path], environment: Mapping[str, str], root: Path = Path("/")
) -> Optional[Path]:
    """Give the policy that a machine goes by; None if it has none.

    The first of: what is given, `$EDGEBOUND_TRUST`, the user's, the machine's. What is given, or named by the
    environment, is not looked for elsewhere if it is missing. No folder that is pulled or worked in counts.
    """
    named = given or (Path(environment["EDGEBOUND_TRUST"]) if environment.get("EDGEBOUND_TRUST") else None)
    if named:
        return named
    places = [root / "etc" / "edgebound" / "trust.json"]
    home = environment.get("HOME")
    if environment.get("XDG_CONFIG_HOME") or home:
        config = Path(environment.get("XDG_CONFIG_HOME") or Path(str(home)) / ".config")
        places.insert(0, config / "edgebound" / "trust.json")
    return next((place for place in places if _is_there(place)), None)


def _is_there(place: Path) -> bool:
    try:
        return place.exists()
    except OSError:  # a home that this user may not look into, or that is no path
        return False


def _refuse_keys(policy: Policy) -> None:
    seen: Dict[str, TrustedKey] = {}
    for key in policy.keys:
        if key.public.id != key.id:
            raise ValueError(f"key {key.id[:16]!r} has the public key of {key.public.id}")
        if key.id in seen:
            raise ValueError(f"key {key.id} is there twice")
        for text in (key.valid_from, key.valid_until):
            if text:
                moment(text)
        seen[key.id] = key
