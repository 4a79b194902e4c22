"""A fresh CI machine uses what another one has trained, through a real registry and the command line."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from whole_runs import TINY, Outcome, run

from pipeline.signing.keys import KeyFiles, new_key
from pipeline.signing.policies import NewKey, trust
from tests.registry_fixture.server import Registry

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    server = Registry(tmp_path_factory.mktemp("registry"))
    yield server
    server.close()


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyFiles:
    """Give the key of a CI, which the machines of this test trust for the cache."""
    files = new_key(tmp_path / "keys", "ci")
    trust(tmp_path / "trust.json", NewKey(files.key, "ci", "", ""), ["cache"])
    monkeypatch.setenv("EDGEBOUND_TRUST", str(tmp_path / "trust.json"))
    return files


def machine(folder: Path, registry: Registry, *arguments: str, **more: object) -> Outcome:
    folder.mkdir()
    return run(folder, {**TINY, "cache.remote": f"{registry.host}/cache", **more}, *arguments)


def steps(outcome: Outcome) -> set[str]:
    return {label.split()[0] for label in outcome.worked}


def test_training_is_done_once_for_all_machines(
    registry: Registry, key: KeyFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEBOUND_SIGNING_KEY", key.private.read_text())
    first = machine(tmp_path / "first", registry)
    monkeypatch.delenv("EDGEBOUND_SIGNING_KEY")
    second = machine(tmp_path / "second", registry)

    assert {"train", "export", "quantize"} <= steps(first)
    assert steps(second) == {"verify"}, second.worked  # what was measured here, and by this machine's kernels
    assert "train: fetched from" in second.said
    assert [one["map50_95"] for one in second.ladder] == [one["map50_95"] for one in first.ladder]
    assert second.document["notes"] == first.document["notes"]


def test_a_cache_filled_by_a_stranger_changes_nothing(
    registry: Registry, key: KeyFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = new_key(tmp_path / "keys", "stranger")
    monkeypatch.setenv("EDGEBOUND_SIGNING_KEY", stranger.private.read_text())
    first = machine(tmp_path / "first", registry, "--until", "train", **{"train.epochs": 1})
    monkeypatch.delenv("EDGEBOUND_SIGNING_KEY")
    second = machine(tmp_path / "second", registry, "--until", "train", **{"train.epochs": 1})

    assert "train" in steps(first)
    assert "train" in steps(second)
    assert any("is not signed for channel 'cache'" in note for note in second.document["notes"])
