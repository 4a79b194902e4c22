"""What is told about a release: to people in lines, to programs in one document."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from pipeline.release.conduct import Released
from targets.registry.reference import Reference


def tell(done: Released, reference: Reference) -> Iterator[str]:
    """Say what was released, what was not, and how to get it."""
    facts = done.facts[""]
    place = f"{reference}:{facts.channel}"
    if done.already:
        yield f"{place} is run {facts.run} already (sequence {facts.sequence}); --again releases it anew."
        return
    for target, one in done.facts.items():
        if target:
            yield f"{target}: {one.precision}, {one.runtime} {one.runtime_version}  {done.manifests[target]}"
    yield from (f"left out: {one.target}: {one.reasons[0] if one.reasons else ''}" for one in done.held)
    yield from (f"overruled: {one.rule}: {one.why}" for one in facts.overrides)
    yield f"Released run {facts.run} as {place}@{done.digest}, sequence {facts.sequence}."
    yield f"Signed by {done.key_id}. On the device: pipeline pull {place} -o detector"


def document(done: Released, reference: Reference) -> str:
    """Give the same as one line of JSON."""
    facts = done.facts[""]
    found: dict[str, Any] = {
        "schema": 1,
        "reference": f"{reference}:{facts.channel}@{done.digest}",
        "digest": done.digest,
        "run": facts.run,
        "channel": facts.channel,
        "sequence": facts.sequence,
        "already": done.already,
        "key_id": done.key_id,
        "engines": {
            target: {"manifest": done.manifests[target], **asdict(one)}
            for target, one in done.facts.items()
            if target
        },
        "documents": done.manifests[""],
        "overrides": [asdict(one) for one in facts.overrides],
        "left_out": {one.target: {"verdict": one.verdict, "reasons": one.reasons} for one in done.held},
        "error": None,
    }
    return json.dumps(found)
