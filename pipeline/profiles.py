"""Target profiles by name, from `targets/profiles/` or a user's own file."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import targets
from pipeline.yaml_file import Source, load_source, parse
from targets.errors import ConfigError, UnsupportedError, UsageError
from targets.operators import load_tensorrt_operators
from targets.profile import TargetProfile

_FOLDER = Path(targets.__file__).parent / "profiles"
_HINT = "`pipeline targets NAME` shows a complete profile."


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
    profile = _load(_FOLDER / f"{name}.yaml")
    if jetpack and jetpack != profile.jetpack:
        raise UsageError(
            f"Target '{name}' is not described for JetPack {jetpack}.",
            hint=f"Known: {name}@{profile.jetpack}." if profile.jetpack else f"'{name}' has no JetPack.",
        )
    return profile


def _is_file(target: str) -> bool:
    return target.endswith((".yaml", ".yml"))


def _load(file: Path) -> TargetProfile:
    source = load_source(file)
    profile = parse(TargetProfile, source, hint=_HINT)
    problems = list(_problems(profile, source))
    if problems:
        raise ConfigError(problems, hint=_HINT)
    return profile


def _problems(profile: TargetProfile, source: Source) -> Iterator[str]:
    """Give what is wrong with a profile, its types aside."""
    if not re.fullmatch(r"\w[\w.-]*", profile.name):  # it names a folder of the run
        yield f"{source.place(('name',))}: name: only letters, digits, '.', '_' and '-' are allowed"
    if not profile.precisions or len(set(profile.precisions)) < len(profile.precisions):
        yield f"{source.place(('precisions',))}: precisions: at least one, and each once"
    if profile.runtime == "tensorrt":
        try:
            load_tensorrt_operators(profile.runtime_version)
        except UnsupportedError as exc:
            yield f"{source.place(('runtime_version',))}: runtime_version: {exc.what} {exc.hint}"
    if profile.local and "fp16" in profile.precisions:
        yield f"{source.place(('precisions',))}: precisions: this machine builds no fp16 engines yet"
