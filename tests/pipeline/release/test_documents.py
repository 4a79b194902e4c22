"""SBOM, provenance, card: what is in them, in the forms that others read."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.release.card import plain
from targets.folder import describe_file
from tests.pipeline.release.desk import Desk, read
from tests.pipeline.release.stored_run import RUN, stored_run

SERIAL = re.compile(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
"""Pattern of `serialNumber` in bom-1.6.schema.json."""
KINDS = {"application", "library", "file", "machine-learning-model", "data"}
KEYS = {
    "type", "bom-ref", "name", "version", "description", "licenses", "components", "hashes", "data",
    "properties", "scope", "purl",
}  # fmt: skip
"""Of components; the schema forbids others."""


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """Give the documents of a release, and its engine in `cpu`."""
    stored_run(tmp_path)
    desk = Desk(tmp_path)
    assert desk.release().code == 0
    desk.find().pull(tmp_path / "out" / "cpu", "cpu")
    return desk.find().pull(tmp_path / "out")


def components(document: Any) -> list[Any]:
    found = [document["metadata"]["component"], *document["components"]]
    return [*found, *(inner for one in found for inner in one.get("components", []))]


def test_the_sbom_is_cyclonedx(released: Path) -> None:
    document = read(released / "sbom.cdx.json")

    assert (document["bomFormat"], document["specVersion"], document["version"]) == ("CycloneDX", "1.6", 1)
    assert SERIAL.fullmatch(document["serialNumber"])
    references = [one["bom-ref"] for one in components(document)]
    assert len(set(references)) == len(references)
    for one in components(document):
        assert one["type"] in KINDS
        assert one["name"]
        assert set(one) <= KEYS
    for one in document["dependencies"]:
        assert {one["ref"], *one["dependsOn"]} <= set(references)


def test_the_sbom_has_every_file_of_the_engine_by_its_hash(released: Path) -> None:
    document = read(released / "sbom.cdx.json")

    files = {one["name"]: one["hashes"][0] for one in components(document) if one["type"] == "file"}
    there = [path for path in (released / "cpu" / "engine").iterdir() if path.name != "manifest.json"]
    assert files == {
        f"engine/{path.name}": {"alg": "SHA-256", "content": describe_file(path).sha256} for path in there
    }


def test_the_sbom_tells_what_a_device_needs_from_what_made_the_engine(released: Path) -> None:
    libraries = [one for one in components(read(released / "sbom.cdx.json")) if one["type"] == "library"]

    needed = [(one["name"], one["version"]) for one in libraries if one["scope"] == "required"]
    assert needed == [("openvino", "2026.4.1")]
    assert {"torch", "ultralytics"} <= {one["name"] for one in libraries if one["scope"] == "excluded"}


def test_a_package_is_named_only_where_it_is_known_which_one_it_was(tmp_path: Path) -> None:
    import numpy as np

    versions = {"numpy": np.__version__, "cv2": "0.0.1", "no_such_module": "1"}
    stored_run(tmp_path, change=lambda report: replace(report, versions=versions))
    desk = Desk(tmp_path)
    desk.release()

    parts = components(read(desk.find().pull(tmp_path / "out") / "sbom.cdx.json"))
    found = {one["name"]: one.get("purl") for one in parts if one.get("scope") == "excluded"}
    assert found == {"numpy": f"pkg:pypi/numpy@{np.__version__}", "cv2": None, "no_such_module": None}


def test_the_provenance_is_a_statement_about_the_engines_manifests(released: Path, tmp_path: Path) -> None:
    statement = read(released / "provenance.json")

    child = Desk(tmp_path).find().children["cpu"]
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert statement["subject"] == [{"name": "cpu", "digest": {"sha256": child.hex}}]
    build, details = statement["predicate"]["buildDefinition"], statement["predicate"]["runDetails"]
    assert build["externalParameters"]["model"] == {"weights": "yolo11n.pt"}
    assert {"buildType", "externalParameters", "internalParameters", "resolvedDependencies"} == set(build)
    assert build["resolvedDependencies"][0] == {"name": "data", "digest": {"edgebound.artifact": "d1" * 32}}
    assert details["metadata"]["invocationId"] == RUN
    assert details["metadata"]["startedOn"] < details["metadata"]["finishedOn"]
    assert set(details["builder"]) == {"id", "version"}


def test_the_weights_are_named_by_digest_where_the_store_knows_them(tmp_path: Path) -> None:
    from pipeline.ladder import Step
    from pipeline.store import Store

    step = Step(stage="train", label="", key="7" * 64, seconds=1.0, cached=False)
    stored_run(tmp_path, change=lambda report: replace(report, steps=(step,)))
    store = Store(tmp_path / ".edgebound")
    store.prepare()
    store.commit("7" * 64, {"stage": "train", "inputs": {"weights": "sha256:" + "aa" * 32}, "result": {}}, {})
    desk = Desk(tmp_path)
    desk.release()

    materials = read(desk.find().pull(tmp_path / "out") / "provenance.json")["predicate"]["buildDefinition"]
    assert materials["resolvedDependencies"][1] == {
        "name": "weights yolo11n.pt", "digest": {"edgebound.artifact": "aa" * 32}
    }  # fmt: skip


def test_the_cards_tables_are_tables(released: Path) -> None:
    lines = (released / "MODEL_CARD.md").read_text().splitlines()

    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 2 + 4 + 2 + 2  # heads, the forms from the trained model to the engine, two classes
    widths = {tuple(line.count("|") for line in group) for group in (rows[:6], rows[6:])}
    assert all(len(set(width)) == 1 for width in widths)


@pytest.mark.parametrize("name", ["<script>", "a|b", "@everyone", "`x`\n# head", "&lt;", "[a](b)"])
def test_names_of_classes_are_no_markup(name: str) -> None:
    said = plain(name)

    assert "\n" not in said
    assert not re.search(r"(?<!\\)[|`\[#]|<|@", said.replace("&#64;", "").replace("&#", ""))
