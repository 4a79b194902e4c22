"""Choose: what this device is, and which engine of a release runs on it."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Sequence, Tuple, cast, get_args

from targets.board.fit import fits
from targets.board.identity import Identity, identify
from targets.errors import EdgeboundError, EvidenceError, RegistryError, UnsupportedError, UsageError
from targets.platforms import number
from targets.profile import RuntimeName, TargetProfile
from targets.registry.content import Descriptor, Manifest
from targets.release.facts import ReleaseFacts, chosen_by, is_engine
from targets.runtimes import find_runtime

AUTO = "auto"
_FIGURES = re.compile(r"\d+(?:\.\d+)*")
_CALLED = {"tensorrt": "TensorRT", "openvino": "OpenVINO", "onnxruntime": "ONNX Runtime"}
_MOST_LISTED = 20


@dataclass(frozen=True)
class Device:
    """What decides whether an engine runs here.

    Attributes:
        identity: Of the board or machine.
        runtimes: Version of each that is installed.
        sm: CUDA compute capability; empty without a GPU that TensorRT can use.
    """

    identity: Identity
    runtimes: Mapping[str, str]
    sm: str

    @property
    def machine(self) -> str:
        """CPU, as `uname -m` says."""
        return self.identity.os.split()[-1] if self.identity.os else ""

    def __str__(self) -> str:
        jetpack = self.identity.jetpack and f"JetPack {self.identity.jetpack}"
        l4t = self.identity.l4t and f"L4T {self.identity.l4t}"
        versions = [f"{_CALLED.get(name, name)} {version}" for name, version in self.runtimes.items()]
        gpu = self.sm and f"GPU of compute capability {self.sm}"
        board = self.identity.module or self.identity.model
        parts = (board, self.machine, jetpack, l4t, gpu, *(versions or ["no runtime"]))
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True)
class Candidate:
    """An engine of a release.

    Attributes:
        manifest: Where to find it.
        facts: What its annotations say; not signed.
    """

    manifest: Descriptor
    facts: ReleaseFacts


def look(root: Path) -> Device:
    """Look at this device.

    Args:
        root: Where `proc`, `sys` and `etc` are found.
    """
    names = [cast("RuntimeName", name) for name in get_args(RuntimeName) if name != "null"]
    runtimes: Dict[str, str] = {}
    for name in names:
        try:
            runtimes[name] = find_runtime(name).version()
        except EvidenceError:
            continue
    return Device(identify(root), runtimes, _sm() if "tensorrt" in runtimes else "")


def candidates(index: Manifest) -> Tuple[List[Candidate], List[str]]:
    """Give the engines that a release's index lists, and why others cannot be looked at."""
    found: List[Candidate] = []
    strange: List[str] = []
    for child in index.manifests:
        if not is_engine(child.annotations):
            continue
        try:
            found.append(Candidate(child, chosen_by(child.annotations)))
        except RegistryError as exc:
            strange.append(f"{child.digest[:19]}…: {exc.what}")
    return found, strange


def choose(found: Sequence[Candidate], strange: Sequence[str], device: Device, wanted: str) -> Candidate:
    """Give the engine that runs here, or that is asked for.

    Where several run: first those built with the very version of the runtime that is here, then the fastest,
    by the p50 that the release states.

    Args:
        found: Of the release.
        strange: What else it has.
        device: This one.
        wanted: `auto`, or a target, which is taken whether it runs here or not.

    Raises:
        UnsupportedError: None does; says what there is and what is here.
        UsageError: There is none of that target.
    """
    if wanted != AUTO:
        return _named(found, wanted)
    fitting = [one for one in found if not objections(one.facts, device)]
    if not fitting:
        lines = [f"{_label(one.facts)}: {'; '.join(objections(one.facts, device))}" for one in found]
        listed = "".join(f"\n  {line}" for line in [*lines, *strange][:_MOST_LISTED])
        raise UnsupportedError(
            f"The release has no engine for this device.{listed or ' It has none at all.'}\n  here: {device}",
            hint="Release one for it: `pipeline run --target …` on or with such a device. "
            "`--for TARGET` pulls one for another machine.",
        )
    return min(fitting, key=lambda one: _rank(one.facts, device))


def objections(facts: ReleaseFacts, device: Device) -> Tuple[str, ...]:
    """Say why an engine does not run on a device; nothing if it does."""
    profile = TargetProfile(
        name=facts.target,
        device="",
        runtime=cast("RuntimeName", facts.runtime),
        sm=facts.sm,
        module=facts.module,
        machine=facts.machine,
        jetpack=facts.jetpack,
    )
    sm = {"sm": device.sm} if device.sm else {}
    return (
        *_compare_runtime(facts, device),
        *fits(device.identity, profile, facts=sm, runtime_version=""),
        *(["no GPU was found"] if facts.sm and not device.sm and facts.runtime in device.runtimes else []),
    )


def _compare_runtime(facts: ReleaseFacts, device: Device) -> Iterator[str]:
    """TensorRT's plans want the very version; the others read what older versions wrote."""
    called, wanted = _CALLED.get(facts.runtime, facts.runtime), figures(facts.runtime_version)
    here = device.runtimes.get(facts.runtime)
    if here is None:
        yield f"{called} {wanted} is not installed"
    elif facts.runtime == "tensorrt" and not _same(here, facts.runtime_version):
        yield f"its {called} is {figures(here)}, not {wanted}"
    elif number(figures(here)) < number(wanted):
        yield f"its {called} is {figures(here)}, older than {wanted}"


def figures(version: str) -> str:
    """Give the leading figures of a version, `2025.3.0` of `2025.3.0-19807-…`."""
    found = _FIGURES.match(version)
    return found.group() if found else ""


def _same(one: str, other: str) -> bool:
    return one == other or (number(one) == number(other) != ())


def _rank(facts: ReleaseFacts, device: Device) -> Tuple[bool, float, str]:
    exact = _same(device.runtimes[facts.runtime], facts.runtime_version)
    return not exact, math.inf if facts.p50_ms is None else facts.p50_ms, facts.target


def _named(found: Sequence[Candidate], wanted: str) -> Candidate:
    named = [one for one in found if one.facts.target == wanted]
    if not named:
        targets = ", ".join(sorted({one.facts.target for one in found})) or "none"
        raise UsageError(f"The release has no engine for target {wanted!r}.", hint=f"It has: {targets}.")
    return min(
        named,
        key=lambda one: (math.inf if one.facts.p50_ms is None else one.facts.p50_ms, one.facts.precision),
    )


def _label(facts: ReleaseFacts) -> str:
    return f"{facts.target} ({facts.precision}, {_CALLED.get(facts.runtime, facts.runtime)})"


def _sm() -> str:
    try:
        return find_runtime("tensorrt").facts().get("sm", "")
    except EdgeboundError:
        return ""
