"""Which engine is meant by a folder, and who has to stand for it before it is loaded."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from targets.detector import Detector
from targets.errors import ModelError, TrustError
from targets.release.place import find_place
from tests.targets.release.conftest import Shelf
from tests.targets.release.releases import KEY, NOW, STRANGER, write_policy

ROOT = Path(__file__).parents[3]


@pytest.fixture
def trust(tmp_path: Path) -> Path:
    return write_policy(tmp_path / "trust.json", KEY.policy())


def opens(folder: Path, **more: object) -> bool:
    with Detector.open(folder, **more) as detector:  # type: ignore[arg-type]
        return detector.spec.family == "toy"


@pytest.mark.parametrize("part", ["", "current", "releases/*", "releases/*/engine"])
def test_a_pulled_folder_opens_by_any_of_its_parts(shelf: Shelf, trust: Path, part: str) -> None:
    shelf.release(shelf.recipe())
    shelf.pull()
    (folder,) = shelf.device.glob(part) if part else [shelf.device]

    assert opens(folder, trust=trust)
    with pytest.raises(TrustError, match="not trusted here"):
        opens(folder, trust=write_policy(trust.with_name("other.json"), STRANGER.policy()))


def test_an_engine_of_a_run_opens_as_ever_and_a_copy_of_it_does_not(
    lamp_engine: Path, tmp_path: Path
) -> None:
    local = tmp_path / ".edgebound" / "runs" / "1" / "cpu"
    shutil.copytree(lamp_engine, local)
    copied = shutil.copytree(lamp_engine, tmp_path / "copied")

    assert opens(local)
    with pytest.raises(TrustError, match="not signed"):
        opens(copied)
    assert opens(copied, allow_unsigned=True)
    with pytest.raises(ModelError, match="cannot be read as an engine's manifest"):
        opens(tmp_path)


def test_a_pulled_engine_without_its_signature_does_not_open(shelf: Shelf, trust: Path) -> None:
    shelf.release(shelf.recipe())
    folder = shelf.pull().folder
    (folder / "signature.json").unlink()

    with pytest.raises(TrustError, match="not signed"):
        opens(folder / "engine", trust=trust)


@pytest.mark.parametrize(
    "name",
    ["engine/model.onnx", "engine/model.json", "engine/manifest.json", "release.json", "manifest.json"],
)
def test_a_pulled_engine_that_was_tampered_with_does_not_open(
    shelf: Shelf, trust: Path, name: str, change: Callable[[Path], None]
) -> None:
    shelf.release(shelf.recipe())
    change(shelf.pull().folder / name)

    with pytest.raises((TrustError, ModelError)):
        opens(shelf.device, trust=trust)


def test_an_engine_with_a_manifest_of_its_own_does_not_open(shelf: Shelf, trust: Path) -> None:
    """Somebody changed the weights and the engine's manifest, so that the two agree."""
    from targets.engine import open_engine, write_manifest

    shelf.release(shelf.recipe())
    engine = shelf.pull().folder / "engine"
    (engine / "model.onnx").write_bytes(b"another")
    profile = replace(open_engine(shelf.engine).profile)
    write_manifest(engine, profile=profile, precision="fp32", runtime_version="1")

    with pytest.raises(TrustError, match=r"engine/manifest\.json is not the one that was signed"):
        opens(shelf.device, trust=trust)


def test_the_engine_of_another_release_under_this_ones_signature_does_not_open(
    shelf: Shelf, trust: Path
) -> None:
    shelf.release(shelf.recipe())
    first = shelf.pull().folder
    shelf.release(shelf.recipe(sequence=101))
    second = shelf.pull().folder
    shutil.copy(first / "signature.json", second / "signature.json")

    with pytest.raises(TrustError, match="not the one that was signed"):
        opens(shelf.device, trust=trust)


def test_an_engine_goes_on_working_when_its_key_expires_but_not_when_it_is_distrusted(
    shelf: Shelf, tmp_path: Path
) -> None:
    shelf.release(shelf.recipe(expires="2026-12-01T00:00:00Z"))
    shelf.pull(now=NOW)
    expired = write_policy(tmp_path / "expired.json", KEY.policy(until="2026-11-01T00:00:00Z"))
    empty = write_policy(tmp_path / "empty.json", replace(KEY.policy(), keys=(), channels={}))

    assert opens(shelf.device, trust=expired)
    with pytest.raises(TrustError, match="no key for channel"):
        opens(shelf.device, trust=empty)


def test_a_link_that_leads_elsewhere_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to("/etc")

    with pytest.raises(ModelError, match="no release"):
        find_place(tmp_path)


def test_where_nobody_is_trusted_nothing_pulled_opens(shelf: Shelf, tmp_path: Path) -> None:
    """In a process whose home has no policy; this machine's own would count."""
    shelf.release(shelf.recipe())
    shelf.pull()
    lines = f"from edgebound import Detector\nDetector.open({str(shelf.device)!r})"
    done = subprocess.run(
        [sys.executable, "-c", lines],
        env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    if Path("/etc/edgebound/trust.json").exists():
        pytest.skip("this machine has a trust policy")

    assert "This machine has no trust policy" in done.stderr
    policy = tmp_path / ".config" / "edgebound" / "trust.json"
    policy.parent.mkdir(parents=True)
    write_policy(policy, KEY.policy())
    again = subprocess.run(
        [sys.executable, "-c", lines], env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    )
    assert again.returncode == 0
