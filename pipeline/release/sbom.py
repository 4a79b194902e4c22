"""SBOM: what a release is made of and was made with, as CycloneDX JSON.

Format: CycloneDX 1.6 (bom-1.6.schema.json): `machine-learning-model` and `data` are kinds of component.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import packages_distributions
from importlib.metadata import version as version_of
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from pipeline.ladder import RunReport
from pipeline.release.licence import Licence, licence_of
from pipeline.release.parts import Engine
from targets.release.facts import ReleaseFacts

_SPDX_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")  # one licence; expressions have blanks
_DIGEST = "edgebound:digest"


def sbom(facts: ReleaseFacts, report: RunReport, engines: Sequence[Engine], licence: Licence) -> str:
    """Give the document."""
    libraries = list(_libraries(report.versions))
    runtimes = list({one["bom-ref"]: one for one in map(_runtime, engines)}.values())
    data = _data(report)
    model = {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": facts.name,
        "version": facts.run,
        "description": f"{facts.family}, {len(engines)} engine(s)",
        "licenses": [_licence(licence.name, spdx=licence.spdx)],
    }
    built = [_engine(one) for one in engines]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, f'{facts.name}/{facts.channel}/{facts.sequence}')}",
        "version": 1,
        "metadata": {
            "timestamp": facts.created,
            "tools": {
                "components": [{"type": "application", "name": "edgebound", "version": facts.edgebound}]
            },
            "component": model,
        },
        "components": [*built, data, *runtimes, *libraries],
        "dependencies": [
            {"ref": "model", "dependsOn": [*(one["bom-ref"] for one in built), data["bom-ref"]]},
            *(
                {"ref": part["bom-ref"], "dependsOn": [_runtime(one)["bom-ref"]]}
                for part, one in zip(built, engines, strict=True)
            ),
        ],
    }
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def _engine(engine: Engine) -> dict[str, Any]:
    """Give an engine, file by file."""
    target, manifest = engine.cleared.target, engine.manifest
    return {
        "type": "machine-learning-model",
        "bom-ref": f"engine:{target}",
        "name": target,
        "version": manifest.precision,
        "description": f"Runs with {manifest.runtime} {manifest.runtime_version}",
        "components": [
            {
                "type": "file",
                "bom-ref": f"engine:{target}/{name}",
                "name": f"engine/{name}",
                "hashes": [{"alg": "SHA-256", "content": file.sha256}],
            }
            for name, file in sorted(manifest.files.items())
        ],
    }


def _runtime(engine: Engine) -> dict[str, Any]:
    """Give the library that an engine needs where it runs."""
    name, version = engine.manifest.runtime, engine.manifest.runtime_version
    return {
        "type": "library",
        "bom-ref": f"runtime:{name}@{version}",
        "name": name,
        "version": version,
        "scope": "required",
    }


def _data(report: RunReport) -> dict[str, Any]:
    """Give the data set; its digest is over names and digests of files, so it is no hash of one."""
    return {
        "type": "data",
        "bom-ref": "data",
        "name": "training and validation pictures",
        "data": [{"type": "dataset", "name": "training and validation pictures"}],
        "properties": [{"name": _DIGEST, "value": report.data}],
    }


def _libraries(versions: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Give the packages that made it. They are not needed where it runs.

    A run names modules. Which package that was is known where the same version is installed here.
    """
    packages = _packages()
    for module, version in sorted(versions.items()):
        found = {"type": "library", "name": module, "version": version, "scope": "excluded"}
        package = next((one for one in packages.get(module, ()) if version_of(one) == version), "")
        if not package:
            yield {**found, "bom-ref": f"module:{module}@{version}"}
            continue
        purl = f"pkg:pypi/{package.lower().replace('_', '-')}@{version}"
        known = {**found, "name": package, "bom-ref": purl, "purl": purl}
        stated = licence_of(package)
        yield {**known, "licenses": [_licence(stated)]} if stated else known


@cache
def _packages() -> Mapping[str, Sequence[str]]:
    """Give the installed packages by the modules that they bring; a second's work."""
    return packages_distributions()


def _licence(name: str, *, spdx: bool = True) -> dict[str, Any]:
    """Give a licence; what is surely an SPDX identifier as one, all else by its name."""
    known = spdx and _SPDX_ID.fullmatch(name) and name in _KNOWN
    return {"license": {"id": name} if known else {"name": name}}


_KNOWN = {
    "AGPL-3.0", "AGPL-3.0-only", "AGPL-3.0-or-later", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause",
    "GPL-3.0-only", "GPL-3.0-or-later", "LGPL-3.0-only", "MIT", "MPL-2.0", "CC-BY-4.0", "CC0-1.0", "ISC",
    "Unlicense", "Zlib",
}  # fmt: skip
"""SPDX identifiers that occur; the schema of CycloneDX refuses an `id` that is none."""
