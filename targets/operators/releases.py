"""What is known of single TensorRT releases: JetPacks, plugins, faults, DLA."""

from dataclasses import dataclass
from typing import Optional, Tuple

from targets.operators import load_record, number

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


def faults_of(version: str, jetpack: str = "") -> Tuple[Fault, ...]:
    """Give the known faults of a TensorRT version, on a JetPack release (`6.2`) or none ("")."""
    return tuple(
        Fault(one["op"], one["int8"], one["fault"], one["remedy"], one["source"])
        for one in load_record(_FILE)["faults"]
        if number(version) in {number(each) for each in one["versions"]}
        and one["jetpack"] in {"", jetpack.partition(".")[0]}
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


def jetpacks_with(version: str, sm: str) -> Tuple[str, ...]:
    """Give the JetPack releases for a GPU (`8.7`) whose TensorRT is `version`."""
    return tuple(
        one["jetpack"]
        for one in load_record(_FILE)["jetpacks"]
        if number(one["tensorrt"]) == number(version) and (not sm or sm in one["sm"])
    )


def is_data_dependent(op: str) -> bool:
    """Say whether the size of an operator's output depends on its data."""
    return op in load_record(_FILE)["data_dependent"]


def why_no_dla(version: str, sm: str) -> str:
    """Say why TensorRT `version` cannot use the DLA cores of a GPU's module; "" if it can."""
    facts = load_record(_FILE)["dla"]
    if number(version) <= number(facts["last_10"]):
        return ""
    if number(version) >= number(facts["again"]) and sm == facts["again_sm"]:
        return ""
    return f"TensorRT {version} has no DLA: {facts['source']}."


def _newest(last: str, version: str) -> bool:
    """Say whether a span reaches the end of what we know, and the version lies beyond."""
    from targets.operators import tensorrt_versions

    return last == tensorrt_versions()[-1] and number(version) > number(last)
