"""Provenance: where a release comes from, as an in-toto statement of SLSA v1.

Format: slsa.dev/spec/v1.0/provenance. What is claimed is what the run itself wrote down: SLSA build level 1.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from pipeline.ladder import RunReport, strict
from targets.release.facts import ReleaseFacts, when

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:edgebound:release:v1"
BUILDER = "urn:edgebound:pipeline"
_ARTIFACT = "edgebound.artifact"
"""Algorithm of our digests over folders: SHA-256 of the JSON of names and digests of all files."""


def provenance(
    facts: ReleaseFacts, report: RunReport, subjects: Mapping[str, str], *, weights_digest: str
) -> str:
    """Give the statement.

    Args:
        facts: Of the release.
        report: Of the run.
        subjects: Digest of each engine's manifest, `sha256:…`, by target.
        weights_digest: Of the weights that training began with; empty if not known.
    """
    statement = {
        "_type": STATEMENT,
        "subject": [
            {"name": target, "digest": {"sha256": digest.removeprefix("sha256:")}}
            for target, digest in sorted(subjects.items())
        ],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": strict(dict(report.settings)),
                "internalParameters": {"host": dict(report.host), "targets": sorted(subjects)},
                "resolvedDependencies": list(_materials(report, weights_digest)),
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": {"edgebound": facts.edgebound}},
                "metadata": {"invocationId": report.run, **_times(report)},
            },
        },
    }
    return json.dumps(statement, indent=1, sort_keys=True, allow_nan=False) + "\n"


def _materials(report: RunReport, weights_digest: str) -> Iterator[dict[str, Any]]:
    yield {"name": "data", "digest": {_ARTIFACT: report.data.removeprefix("sha256:")}}
    weights = {"name": f"weights {report.settings.get('model', {}).get('weights', '')}".strip()}
    if weights_digest:
        yield {**weights, "digest": {_ARTIFACT: weights_digest.removeprefix("sha256:")}}
    else:
        yield weights
    for module, version in sorted(report.versions.items()):
        yield {"name": module, "annotations": {"version": version}}


def _times(report: RunReport) -> dict[str, str]:
    if not report.started_at:
        return {}
    started = when(report.started_at)
    finished = started + timedelta(seconds=max(0, report.seconds))
    return {"startedOn": started.isoformat(), "finishedOn": finished.isoformat()}
