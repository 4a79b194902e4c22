"""`release.json`: what a release says of an engine, signed with it; annotations repeat it, to choose by."""

import json
import re
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping, Optional, Tuple

from targets.errors import ModelError, RegistryError
from targets.record import dump as dump_record
from targets.record import load as load_record
from targets.record import refuse_schema

SCHEMA = 1
FILE_NAME = "release.json"

RELEASE_TYPE = "application/vnd.edgebound.release.v1"
"""Artifact type of a release's index."""
ENGINE_TYPE = "application/vnd.edgebound.engine.v1"
"""Artifact type of the manifest of one engine."""
DOCUMENTS_TYPE = "application/vnd.edgebound.documents.v1"
"""Artifact type of the manifest with what people and later runs read."""

PREFIX = "org.edgebound."
"""Of the annotations that repeat the facts, one a field."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")  # a tag of a registry too, and no option, no folder
_NEWER = "Update edgebound on this machine."
_AGAIN = "Ask for the release to be made again, or name another one."


@dataclass(frozen=True)
class Override:
    """A rule that the gate did not find kept, and why the release was made all the same."""

    rule: str
    why: str


@dataclass(frozen=True)
class ReleaseFacts:
    """What is known of one engine of a release; of the documents, what holds for all of them.

    Attributes:
        name: Of the model, for people and for the roll-back protection.
        channel: As `stable`.
        sequence: Grows with every release of a channel.
        run: Id of the run that made it.
        created: ISO 8601, UTC.
        expires: Likewise; empty if it never does.
        target: As `orin@6.2`; empty in the documents, as all that follows but `data_digest`.
        runtime: Library that runs the engine.
        runtime_version: It was built with.
        sm: CUDA compute capability, `8.7`; empty without a GPU.
        module: Family of Jetson modules, `agx-orin`; empty off Jetson.
        machine: CPU, as `uname -m` says; empty where only the module counts.
        jetpack: Release, `6.2`; empty off Jetson.
        l4t: Releases of Jetson Linux that this JetPack release is known by.
        precision: Of the engine.
        input: Height and width, in pixels.
        family: Architecture, as `yolo11n`.
        data_digest: Of the data set that it was trained on.
        map50_95: On the validation pictures, 0 to 1; None where nobody measured.
        drift_pt: Loss against the trained model, in points of mAP.
        p50_ms: Latency of one picture, median, where the run measured it; None where nobody did.
        p99_ms: Likewise, 99th percentile.
        overrides: Rules that were overruled.
        edgebound: Version of the program that made the release.
        schema: Version of this file's format.
    """

    name: str
    channel: str
    sequence: int
    run: str
    created: str
    expires: str
    target: str
    runtime: str
    runtime_version: str
    sm: str
    module: str
    machine: str
    jetpack: str
    l4t: Tuple[str, ...]
    precision: str
    input: Tuple[int, int]
    family: str
    data_digest: str
    map50_95: Optional[float]
    drift_pt: Optional[float]
    p50_ms: Optional[float]
    p99_ms: Optional[float]
    overrides: Tuple[Override, ...]
    edgebound: str
    schema: int = SCHEMA


def dump(facts: ReleaseFacts) -> str:
    """Give `release.json`.

    Raises:
        ValueError: A figure is NaN or infinite.
    """
    return dump_record(facts)


def load(text: str, source: Path) -> ReleaseFacts:
    """Read what `dump` gave, strictly.

    Args:
        text: Of the file.
        source: Where it is from, for the message.

    Raises:
        ModelError: It is no such file, of another version, or says what cannot be.
    """
    try:
        refuse_schema(text, source, SCHEMA, older=_AGAIN, newer=_NEWER)
        facts = load_record(ReleaseFacts, text)
    except ValueError as exc:
        raise ModelError(f"{source} cannot be read as a release's facts: {exc}", hint=_AGAIN) from exc
    problem = next(_problems(facts), "")
    if problem:
        raise ModelError(f"{source} says what cannot be: {problem}.", hint=_AGAIN)
    return facts


def when(text: str) -> datetime:
    """Give a time that the facts name.

    Raises:
        ValueError: It is no time in UTC.
    """
    found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if found.tzinfo is None or found.utcoffset() != timezone.utc.utcoffset(None):
        raise ValueError(f"{text!r} is no time in UTC")
    return found


def has_expired(facts: ReleaseFacts, now: datetime) -> bool:
    """Say whether a release is past its date."""
    return bool(facts.expires) and when(facts.expires) <= now


def annotations(facts: ReleaseFacts) -> Dict[str, str]:
    """Give the facts as annotations, plain text where that can be; what is empty is left out."""
    said = {f"{PREFIX}{name}": _say(value) for name, value in asdict(facts).items()}
    return {name: value for name, value in said.items() if value}


def is_engine(given: Mapping[str, str]) -> bool:
    """Say whether annotations of a manifest in the index are an engine's; else they are the documents'.

    Types of manifests are not repeated in the index: skopeo 1.9 drops them there, and so changes its digest.
    """
    return bool(given.get(f"{PREFIX}target"))


def chosen_by(given: Mapping[str, str]) -> ReleaseFacts:
    """Read the facts from annotations. They are not signed: hold `release.json` against them.

    Args:
        given: Of a descriptor in the index; of others than ours nothing is asked.

    Raises:
        RegistryError: They are not what `annotations` gives.
    """
    ours = {name[len(PREFIX) :]: value for name, value in given.items() if name.startswith(PREFIX)}
    try:
        unset = dict.fromkeys(_FIELDS, "")
        record = {name: _parse(name, text) for name, text in dict(unset, **ours).items()}
        facts = load_record(ReleaseFacts, json.dumps(record))
    except (ValueError, RecursionError) as exc:
        raise RegistryError(f"The annotations of a release cannot be read: {exc}", hint=_AGAIN) from exc
    problem = next(_problems(facts), "") or (facts.schema != SCHEMA and f"format version {facts.schema}")
    if problem:
        raise RegistryError(f"The annotations of a release say what cannot be: {problem}.", hint=_NEWER)
    return facts


def _say(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), sort_keys=True) if value != () else ""


_TEXTS = tuple(one.name for one in fields(ReleaseFacts) if one.type in (str, "str"))
_FIELDS = tuple(one.name for one in fields(ReleaseFacts))
_LISTS = ("l4t", "overrides")


def _parse(name: str, text: str) -> Any:
    if name in _TEXTS or name not in _FIELDS:
        return text
    if not text:
        return [] if name in _LISTS else None
    return json.loads(text)


def _problems(facts: ReleaseFacts) -> Iterator[str]:
    for field in ("name", "channel", "run"):
        if not _NAME.fullmatch(getattr(facts, field)):
            yield f"{field} is {getattr(facts, field)!r}"
    if facts.sequence < 1:
        yield f"sequence is {facts.sequence}"
    for field in ("created", "expires"):
        if field == "created" or facts.expires:
            yield from _no_time(field, getattr(facts, field))


def _no_time(field: str, text: str) -> Iterator[str]:
    try:
        when(text)
    except ValueError:
        yield f"{field} is {text!r}, no time in UTC"
