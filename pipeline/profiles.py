"""Target profiles by name, from `targets/profiles/` or a user's own file."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path

import targets
from pipeline.yaml_file import Source, load_source, parse
from targets.errors import ConfigError, UnsupportedError, UsageError
from targets.operators import load_tensorrt_operators
from targets.platforms import JetPack, find_dialect, load_jetpacks, number
from targets.profile import Confidence, Rates, TargetProfile

_FOLDER = Path(targets.__file__).parent / "profiles"
_HINT = "`pipeline targets NAME` shows a complete profile."


@dataclass(frozen=True)
class SuperMode:
    """What changes from a JetPack release on: it brought the same board higher clocks.

    Attributes:
        since: The first release that has it.
        rates: As in the profile.
        power_modes: As in the profile.
        confidence: As in the profile.
        sources: As in the profile.
    """

    since: str
    rates: Rates
    power_modes: tuple[str, ...]
    confidence: Confidence = ""
    sources: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Written(TargetProfile):
    """A profile as its file says, for all JetPack releases."""

    super_mode: SuperMode | None = None


def profile_names() -> list[str]:
    """Give the names of the profiles that come with the program."""
    return sorted(file.stem for file in _FOLDER.glob("*.yaml"))


def find_profiles(asked: Sequence[str]) -> dict[str, TargetProfile]:
    """Find the profiles of a run, by the names that its report calls them: as asked, or as a file says.

    Raises:
        UsageError: As `find_profile`, or two have one name.
        ConfigError: As `find_profile`.
    """
    found: dict[str, TargetProfile] = {}
    for target in asked:
        profile = find_profile(target)
        name = profile.name if _is_file(target) else target
        if found.setdefault(name, profile) != profile:
            raise UsageError(f"Two targets are called '{name}'.", hint="Change `name` in your own profile.")
    return found


@cache
def find_profile(target: str) -> TargetProfile:
    """Find a profile by `name[@jetpack]`, or by the path of a user's own YAML file.

    Raises:
        UsageError: There is none, or it has no such JetPack release.
        ConfigError: The file is wrong; with all problems and their lines.
    """
    if _is_file(target):
        return _load(Path(target))
    name, _, jetpack = target.partition("@")
    if name not in profile_names():
        near = difflib.get_close_matches(name, profile_names(), n=1)
        raise UsageError(
            f"There is no target '{target}'" + (f"; did you mean '{near[0]}'?" if near else "."),
            hint=f"Known: {', '.join(profile_names())}; or give the path of your own profile.yaml.",
        )
    return _load(_FOLDER / f"{name}.yaml", asked=jetpack)


def _is_file(target: str) -> bool:
    return target.endswith((".yaml", ".yml"))


def _load(file: Path, asked: str = "") -> TargetProfile:
    source = load_source(file)
    written = parse(_Written, source, hint=_HINT)
    if asked and asked not in _releases(written):
        raise _refusal(written, asked)
    profile = _resolve(written, asked or written.jetpack, has_dialect="dialect" in source.values)
    problems = list(_problems(profile, source))
    if problems:
        raise ConfigError(problems, hint=_HINT)
    return profile


def _releases(written: TargetProfile) -> Mapping[str, JetPack]:
    return load_jetpacks(written.module) if written.module else {}


def _refusal(written: TargetProfile, asked: str) -> UsageError:
    name, takes = written.name, _releases(written)
    if not takes:
        return UsageError(
            f"Target '{name}' is not described for JetPack {asked}.", hint=f"'{name}' has no JetPack."
        )
    known = f"Known: {', '.join(f'{name}@{one}' for one in takes)}."
    if asked in load_jetpacks():
        return UsageError(f"JetPack {asked} does not run on {written.device}.", hint=known)
    return UsageError(f"Target '{name}' is not described for JetPack {asked}.", hint=known)


def _resolve(written: _Written, jetpack: str, *, has_dialect: bool) -> TargetProfile:
    """Fill in what a JetPack release and a TensorRT version decide; what the file says itself stays."""
    plain = TargetProfile(**{one.name: getattr(written, one.name) for one in fields(TargetProfile)})
    profile = replace(plain, jetpack=jetpack, jetpacks=tuple(_releases(written)) or plain.jetpacks)
    release = load_jetpacks().get(jetpack)
    if release:
        profile = _on(profile, release)
    change = written.super_mode
    if change and number(jetpack) >= number(change.since):
        profile = replace(
            profile,
            rates=change.rates,
            power_modes=change.power_modes,
            confidence=change.confidence,
            sources={**profile.sources, **change.sources},
        )
    dialect = find_dialect(profile.runtime_version)
    if has_dialect or profile.runtime != "tensorrt" or not dialect:
        return profile
    return replace(profile, dialect=dialect[0], sources={"dialect": dialect[1], **profile.sources})


def _on(profile: TargetProfile, release: JetPack) -> TargetProfile:
    """Give a profile as it is on a JetPack release."""
    if profile.runtime != "tensorrt":
        return profile
    sources = {"jetpack": release.source, "jetpacks": release.source, **profile.sources}
    if not profile.runtime_version:
        verb = "ships" if release.bundled else "takes"
        text = f"JetPack {release.release} {verb} TensorRT {release.tensorrt}: {release.source}"
        sources = {"runtime_version": text, **sources}
    if profile.dla and not release.dla:
        sources["dla"] = f"None on JetPack {release.release}: {release.source}"
    return replace(
        profile,
        runtime_version=profile.runtime_version or release.tensorrt,
        dla=profile.dla if release.dla else 0,
        sources=sources,
    )


def _problems(profile: TargetProfile, source: Source) -> Iterator[str]:
    """Give what is wrong with a profile, its types aside."""
    if not re.fullmatch(r"\w[\w.-]*", profile.name):  # it names a folder of the run
        yield f"{source.place(('name',))}: name: only letters, digits, '.', '_' and '-' are allowed"
    if not profile.precisions or len(set(profile.precisions)) < len(profile.precisions):
        yield f"{source.place(('precisions',))}: precisions: at least one, and each once"
    if profile.module and profile.jetpack not in profile.jetpacks:
        known = ", ".join(profile.jetpacks) or "none, as there is no such module"
        yield f"{source.place(('jetpack',))}: jetpack: one that the module takes; known: {known}"
    elif profile.runtime == "tensorrt":
        try:
            load_tensorrt_operators(profile.runtime_version)
        except UnsupportedError as exc:
            yield f"{source.place(('runtime_version',))}: runtime_version: {exc.what} {exc.hint}"
    if profile.local and "fp16" in profile.precisions:
        yield f"{source.place(('precisions',))}: precisions: this machine builds no fp16 engines yet"
