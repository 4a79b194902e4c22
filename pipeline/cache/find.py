"""Find: the shared cache that a configuration names, with what the environment adds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from pipeline.cache.shared import CHANNEL, SharedCache
from pipeline.fetched import Ways
from pipeline.sections import CacheSection
from pipeline.signing import KeySource, Signer, find_signer
from pipeline.store import Store
from targets.errors import TrustError, UsageError
from targets.registry.patience import Retry
from targets.registry.reference import Reference, parse_reference
from targets.trust.policy import Policy, load_policy

_RETRY = Retry(attempts=3)  # a step can also be run here


def find_cache(
    section: CacheSection,
    store: Store,
    ways: Ways,
    *,
    folder: Path,
    note: Callable[[str], None],
) -> SharedCache | None:
    """Give the shared cache of a project; None if it names none.

    Args:
        section: Of its configuration.
        store: Of the project.
        ways: To its registry, and whom to believe there.
        folder: Paths in the configuration are relative to it.
        note: Told what people should know.

    Raises:
        UsageError: The section is wrong, or a key is.
        TrustError: There is a trust policy that cannot be read.
    """
    if not section.remote:
        return None
    cache = SharedCache(
        store=store,
        place=_place(section.remote, folder),
        access=replace(
            ways.access,
            ca=folder / section.ca if section.ca else ways.access.ca,
            plain_http=(*ways.access.plain_http, *section.plain_http),
            retry=_RETRY,
        ),
        policy=None,
        signer=_signer(section, ways.access.environment, folder),
        note=note,
    )
    try:
        return replace(cache, policy=_policy(ways.policy))
    except _NobodyTrustedError as exc:
        cache.tell(f"nothing is fetched: {exc.what} ({exc.hint})")
        return cache


class _NobodyTrustedError(TrustError):
    """No policy, or none with a key for the cache."""


def _place(remote: str, folder: Path) -> Reference:
    place = parse_reference(remote)
    if place.kind == "archive" or place.tag or place.digest:
        raise UsageError(
            f"cache.remote is {remote!r}, and has to be a repository, without a tag.",
            hint="host/name, or oci:folder.",
        )
    return place if place.kind == "registry" else replace(place, place=str(folder / place.place))


def _policy(path: Path | None) -> Policy:
    if path is None:
        raise _NobodyTrustedError(
            "there is no trust policy here",
            hint=f"pipeline key trust KEY.pub.pem --channel {CHANNEL} makes one",
        )
    policy = load_policy(path)
    try:
        policy.keys_for(CHANNEL)
    except TrustError as exc:
        raise _NobodyTrustedError(exc.what.rstrip("."), hint=exc.hint.rstrip(".")) from exc
    return policy


def _signer(section: CacheSection, environment: Mapping[str, str], folder: Path) -> Signer | None:
    source = KeySource(file=folder / section.key if section.key else None, environment=environment)
    if section.push is False or (section.push == "auto" and not source.is_given):
        return None
    return find_signer(source)
