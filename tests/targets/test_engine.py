"""An engine folder is what its manifest says, or it is refused."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from targets.engine import EngineFile, open_engine, write_manifest
from targets.errors import ModelError
from targets.profile import Budgets, Dialect, TargetProfile

PROFILE = TargetProfile(
    name="orin",
    device="Jetson",
    runtime="tensorrt",
    dialect=Dialect(opset=19, scale_dtype="float16"),
    budgets=Budgets(p99_ms=8.0),
    module="agx-orin",
    jetpacks=("6.1", "6.2"),
    memory_gb=64.0,
    power_modes=("15W", "MAXN"),
    confidence="high",
    sources={"sm": "deviceQuery"},
)
LATER_FIELDS = ("module", "jetpacks", "memory_gb", "power_modes", "confidence", "rates")


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    (tmp_path / "model.json").write_text("{}")
    (tmp_path / "model.plan").write_bytes(b"plan")
    write_manifest(tmp_path, profile=PROFILE, precision="int8", runtime_version="10.3.0.30")
    return tmp_path


def test_manifest_survives_the_way_to_disk_and_back(engine: Path) -> None:
    manifest = open_engine(engine)

    assert manifest.profile == PROFILE
    assert (manifest.runtime, manifest.runtime_version, manifest.precision) == (
        "tensorrt",
        "10.3.0.30",
        "int8",
    )
    assert manifest.files["model.plan"] == EngineFile(hashlib.sha256(b"plan").hexdigest(), size=4)
    assert set(manifest.files) == {"model.json", "model.plan"}


def test_manifest_from_before_a_profile_knew_its_releases_still_loads(engine: Path) -> None:
    record = json.loads((engine / "manifest.json").read_text())
    for name in LATER_FIELDS:
        del record["profile"][name]
    (engine / "manifest.json").write_text(json.dumps(record))

    profile = open_engine(engine).profile

    assert (profile.jetpacks, profile.power_modes, profile.memory_gb) == ((), (), None)
    assert (profile.name, profile.dialect) == (PROFILE.name, PROFILE.dialect)


def test_same_engine_has_the_same_manifest(engine: Path) -> None:
    before = (engine / "manifest.json").read_bytes()

    write_manifest(engine, profile=PROFILE, precision="int8", runtime_version="10.3.0.30")

    assert (engine / "manifest.json").read_bytes() == before


def _change(engine: Path) -> None:
    (engine / "model.plan").write_bytes(b"nalp")


def _cut(engine: Path) -> None:
    (engine / "model.plan").write_bytes(b"pl")


def _lose(engine: Path) -> None:
    (engine / "model.plan").unlink()


def _add(engine: Path) -> None:
    (engine / "plugin.so").write_bytes(b"code")


def _fold(engine: Path) -> None:
    (engine / "model.plan").unlink()
    (engine / "model.plan").mkdir()


@pytest.mark.parametrize(
    ("tamper", "told"),
    [
        pytest.param(_change, "not the file that the engine's manifest describes", id="changed"),
        pytest.param(_cut, "not the file that the engine's manifest describes", id="truncated"),
        pytest.param(_lose, "is listed in the engine's manifest, but is no file", id="lost"),
        pytest.param(_add, "holds plugin.so, which its manifest does not list", id="added"),
        pytest.param(_fold, "is listed in the engine's manifest, but is no file", id="a folder instead"),
    ],
)
def test_engine_that_is_not_as_built_is_refused(
    engine: Path, tamper: Callable[[Path], None], told: str
) -> None:
    tamper(engine)

    with pytest.raises(ModelError, match=told):
        open_engine(engine)


@pytest.mark.parametrize(
    "name", ["../model.plan", "/etc/passwd", "sub/model.plan", "..", "", ".hidden", "-o"]
)
def test_names_that_lead_elsewhere_are_refused_before_any_file_is_read(engine: Path, name: str) -> None:
    manifest = json.loads((engine / "manifest.json").read_text())
    manifest["files"][name] = manifest["files"].pop("model.plan")
    (engine / "manifest.json").write_text(json.dumps(manifest))

    with pytest.raises(ModelError, match="not a plain file name"):
        open_engine(engine)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"schema": 1}', '{"schema": 1, "files": []}', '{"schema": "1", "files": {}}', "\x00"],
)
def test_broken_manifest_is_a_model_error(engine: Path, text: str) -> None:
    (engine / "manifest.json").write_text(text)

    with pytest.raises(ModelError, match="cannot be read as an engine's manifest"):
        open_engine(engine)


def test_manifest_of_a_newer_program_says_update(engine: Path) -> None:
    manifest = json.loads((engine / "manifest.json").read_text())
    (engine / "manifest.json").write_text(json.dumps({**manifest, "schema": 2}))

    with pytest.raises(ModelError, match="format version 2") as caught:
        open_engine(engine)

    assert "Update" in caught.value.hint


def test_folder_without_a_manifest_is_no_engine(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"manifest\.json"):
        open_engine(tmp_path)
