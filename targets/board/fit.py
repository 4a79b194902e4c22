"""Whether a board is the one that a target means."""

from typing import Iterator, Mapping, Tuple

from targets.board.identity import Identity
from targets.platforms import number
from targets.profile import TargetProfile

# Of the memory on the label, what the kernel may count: it keeps some to itself, more on small modules, and
# the label counts in 2^30 bytes. Wide, since labels differ by a factor of two.
_MEMORY_RANGE = (0.7, 1.1)


def fits(
    identity: Identity, profile: TargetProfile, *, facts: Mapping[str, str], runtime_version: str
) -> Tuple[str, ...]:
    """Say why a board is not the target's; nothing if it is.

    Args:
        identity: Of the board.
        profile: Of the target.
        facts: What the board's runtime says of it, as `Receipt.facts`; `sm` counts, where both know it.
        runtime_version: Of the board's runtime; empty if not known yet.
    """
    return (
        *_compare_machine(identity, profile),
        *_compare_module(identity, profile),
        *_compare_jetpack(identity, profile),
        *_compare_gpu(facts, profile),
        *_compare_runtime(runtime_version, profile),
    )


def _compare_machine(identity: Identity, profile: TargetProfile) -> Iterator[str]:
    if profile.machine and identity.os.split()[-1:] != [profile.machine]:
        yield f"its CPU is {identity.os.split()[-1] if identity.os else 'unknown'}, not {profile.machine}"


def _compare_module(identity: Identity, profile: TargetProfile) -> Iterator[str]:
    if not profile.module:
        return
    if identity.module != profile.module:
        found = identity.module or identity.model or "no Jetson"
        yield f"its module is {found}, not {profile.module}"
    elif profile.memory_gb and identity.memory_gb:
        low, high = (part * profile.memory_gb for part in _MEMORY_RANGE)
        if not low <= identity.memory_gb <= high:
            yield f"it has {identity.memory_gb:.1f} GB of memory, not {profile.memory_gb:g} GB"


def _compare_jetpack(identity: Identity, profile: TargetProfile) -> Iterator[str]:
    if not profile.jetpack or identity.jetpack == profile.jetpack:
        return
    if identity.jetpack:
        yield f"it has JetPack {identity.jetpack} (L4T {identity.l4t}), not {profile.jetpack}"
    elif identity.l4t:
        yield f"it has L4T {identity.l4t}, of no JetPack release known here, not of {profile.jetpack}"
    else:
        yield f"it has no Jetson Linux, so not JetPack {profile.jetpack}"


def _compare_gpu(facts: Mapping[str, str], profile: TargetProfile) -> Iterator[str]:
    sm = facts.get("sm", "")
    if sm and profile.sm and sm != profile.sm:
        yield f"its GPU has compute capability {sm}, not {profile.sm}"


def _compare_runtime(found: str, profile: TargetProfile) -> Iterator[str]:
    """Compare as many figures as the profile says, for engines of JetPack's TensorRT."""
    if profile.runtime != "tensorrt" or not profile.jetpack or not found:
        return
    wanted = number(profile.runtime_version)[:3]
    if wanted and number(found)[: len(wanted)] != wanted:
        yield f"its TensorRT is {found}, not {profile.runtime_version}"
