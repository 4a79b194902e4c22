"""Target profiles by name, from `targets/profiles/` or a user's own file."""

from __future__ import annotations

import difflib
from functools import cache
from pathlib import Path

import targets
from pipeline.yaml_file import load_source, parse
from targets.errors import UsageError
from targets.profile import TargetProfile

_FOLDER = Path(targets.__file__).parent / "profiles"


def profile_names() -> list[str]:
    """Give the names of the profiles that come with the program."""
    return sorted(file.stem for file in _FOLDER.glob("*.yaml"))


@cache
def find_profile(target: str) -> TargetProfile:
    """Find a profile by `name[@jetpack]`, or by the path of a user's own YAML file.

    Raises:
        UsageError: There is none, or it has no such JetPack release.
        ConfigError: The file is wrong; with all problems and their lines.
    """
    if target.endswith((".yaml", ".yml")):
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


def _load(file: Path) -> TargetProfile:
    return parse(TargetProfile, load_source(file), hint="`pipeline targets NAME` shows a complete profile.")
