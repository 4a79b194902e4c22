"""What is known of single TensorRT releases: JetPacks, plugins, faults, DLA."""

from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

from targets.operators import load_record, load_tensorrt_operators, number
from targets.platforms import JetPack, load_jetpacks

_FILE = "releases.json"


@dataclass(frozen=True)
class Fault:
    """Something that is known to be broken in a release.

    Attributes:
        op: Only models with this operator meet it; empty: all may.
        int8: Only INT8 engines meet it.
        fault: What is broken, after "TensorRT 10.2".
        remedy: What to do about it.
        source: Who saw it.
    """

    op: str
    int8: bool
    fault: str
    remedy: str
    source: str


def faults_of(version: str, jetpack: str = "", sm: str = "") -> Tuple[Fault, ...]:
    """Give the known faults of a TensorRT version, on a JetPack release (`6.2`) and a GPU (`8.7`), or ""."""
    return tuple(
        Fault(one["op"], one["int8"], one["fault"], one["remedy"], one["source"])
        for one in load_record(_FILE)["faults"]
        if number(version) in {number(each) for each in one["versions"]}
        and (not one["jetpack"] or f"{jetpack}.".startswith(f"{one['jetpack']}."))
        and one["sm"] in {"", sm}
    )


def find_plugin(op: str, version: str) -> Optional[str]:
    """Say what is to be known of a plugin that TensorRT itself brings, "" if nothing; None: it has none."""
    for first, last, remark in load_record(_FILE)["plugins"].get(op, []):
        if number(first) <= number(version) <= number(last) or _newest(last, version):
            return str(remark)
    return None


def plugin_versions(op: str) -> str:
    """Say which TensorRT versions bring a plugin; "" for what is none of theirs."""
    spans = load_record(_FILE)["plugins"].get(op, [])
    return f"{spans[0][0]} to {spans[-1][1]}" if spans else ""


def jetpacks_with(op: str, module: str) -> Tuple[JetPack, ...]:
    """Give the JetPack releases for a family of modules whose TensorRT has an importer for an operator."""
    found = []
    for release in load_jetpacks(module).values():
        support = load_tensorrt_operators(release.tensorrt).operators.get(op)
        if support is not None and support.level != "none":
            found.append(release)
    return tuple(found)


def jetpacks_with_dla(module: str) -> Tuple[JetPack, ...]:
    """Give the JetPack releases on which TensorRT uses the DLA cores of a family of modules."""
    if module not in load_record(_FILE)["dla"]["modules"]:
        return ()
    return tuple(one for one in load_jetpacks(module).values() if one.dla)


def spell(releases: Sequence[JetPack], module: str) -> str:
    """Name JetPack releases for a family of modules, neighbours as spans: `5.1, 6.1 to 6.2.2`."""
    known = [*load_jetpacks(module)]
    spans: List[List[JetPack]] = []
    for one in releases:
        last = spans[-1][-1] if spans else None
        if (
            last
            and last.bundled
            and one.bundled
            and known.index(one.release) == known.index(last.release) + 1
        ):
            spans[-1].append(one)
        else:
            spans.append([one])
    return ", ".join(_spell_span(span) for span in spans)


def _spell_span(span: Sequence[JetPack]) -> str:
    first, last = span[0], span[-1]
    if not first.bundled:
        return f"{first.release} with TensorRT {first.tensorrt}"
    return first.release if first == last else f"{first.release} to {last.release}"


def is_data_dependent(op: str) -> bool:
    """Say whether the size of an operator's output depends on its data."""
    return op in load_record(_FILE)["data_dependent"]


def why_no_dla(version: str, sm: str, module: str = "") -> str:
    """Say why TensorRT `version` cannot use the DLA of a module, or of modules with a GPU; "" if it can."""
    facts = load_record(_FILE)["dla"]
    if number(version) <= number(facts["last_10"]):
        return ""
    there = sm == facts["again_sm"] and module in {"", facts["again_module"]}
    if number(version) >= number(facts["again"]) and there:
        return ""
    return f"TensorRT {version} has no DLA: {facts['source']}."


def _newest(last: str, version: str) -> bool:
    """Say whether a span reaches the end of what we know, and the version lies beyond."""
    from targets.operators import tensorrt_versions

    return last == tensorrt_versions()[-1] and number(version) > number(last)
