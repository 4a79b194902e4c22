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
        asked_for, release = _split(target)
        own = f"{profile.name}@{release}" if release else profile.name
        name = own if _is_file(asked_for) else target
        if found.setdefault(name, profile) != profile:
            raise UsageError(f"Two targets are called '{name}'.", hint="Change `name` in your own profile.")
    return found


@cache
def find_profile(target: str) -> TargetProfile:
    """Find a profile by `name[@jetpack]`, or by the path of a user's own YAML file, as `mast.yaml[@jetpack]`.

    Raises:
        UsageError: There is none, or it has no such JetPack release.
        ConfigError: The file is wrong; with all problems and their lines.
    """
    name, jetpack = _split(target)
    if _is_file(name):
        return _load(Path(name), asked=jetpack)
    if name not in profile_names():
        near = difflib.get_close_matches(name, profile_names(), n=1)
        raise UsageError(
            f"There is no target '{target}'" + (f"; did you mean '{near[0]}'?" if near else "."),
            hint=f"Known: {', '.join(profile_names())}; or give the path of your own profile.yaml.",
        )
    return _load(_FOLDER / f"{name}.yaml", asked=jetpack)


def _split(target: str) -> tuple[str, str]:
    """Give the name or path, and the JetPack release that is asked for or ""; folders may have an '@' too."""
    name, _, jetpack = target.rpartition("@")
    return (name, jetpack) if name and not _is_file(target) else (target, "")


def _is_file(target: str) -> bool:
    return target.endswith((".yaml", ".yml"))


def _load(file: Path, asked: str = "") -> TargetProfile:
    source = load_source(file)
    written = parse(_Written, source, hint=_HINT)
    if asked and asked not in _releases(written):
        raise _refusal(written, asked, file)
    if asked not in {"", written.jetpack} and written.runtime_version:
        raise UsageError(
            f"{source.place(('runtime_version',))}: TensorRT {written.runtime_version} is for JetPack "
            f"{written.jetpack or 'none'}, and {asked} is asked for.",
            hint="Leave `runtime_version` out: the release decides it. Or write a file for each release.",
        )
    profile = _resolve(written, asked or written.jetpack, has_dialect="dialect" in source.values)
    problems = list(_problems(profile, source))
    if problems:
        raise ConfigError(problems, hint=_HINT)
    return profile


def _releases(written: TargetProfile) -> Mapping[str, JetPack]:
    return load_jetpacks(written.module) if written.module else {}


def _refusal(written: TargetProfile, asked: str, file: Path) -> UsageError:
    name, takes = written.name, _releases(written)
    own = file.parent != _FOLDER
    what = f"Target '{name}' is not described for JetPack {asked}."
    if not takes:
        lacks = f"{file} names no `module`, which decides what releases there are." if own else ""
        return UsageError(what, hint=lacks or f"'{name}' has no JetPack.")
    known = f"Known: {', '.join(f'{file if own else name}@{one}' for one in takes)}."
    if asked in load_jetpacks():
        what = f"JetPack {asked} does not run on {written.device}."
    return UsageError(what, hint=known)


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
