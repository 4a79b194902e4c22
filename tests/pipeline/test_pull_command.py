"""`pipeline pull`, `pipeline verify`, and `pipeline detect` on what was pulled."""

import json
import re
from pathlib import Path

import pytest
from commands import invoke
from typer.testing import CliRunner

from pipeline.cli import app
from targets.registry.layout_folder import LayoutFolder
from tests.targets.release.releases import KEY, Recipe, make_engine, publish, some_facts, write_policy


@pytest.fixture(scope="module")
def lamp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_engine(tmp_path_factory.mktemp("lamp") / "engine")


@pytest.fixture
def trust(tmp_path: Path) -> Path:
    return write_policy(tmp_path / "trust.json", KEY.policy())


@pytest.fixture
def layout(tmp_path: Path, lamp: Path) -> Path:
    (tmp_path / "scratch").mkdir()
    for sequence, tag in ((100, "old"), (101, "new")):
        recipe = Recipe(lamp, some_facts(sequence=sequence, run=tag))
        publish(LayoutFolder(tmp_path / "layout"), tmp_path / "scratch", recipe, tags=(tag,))
    return tmp_path / "layout"


def test_a_release_is_pulled_verified_and_used(layout: Path, trust: Path, tmp_path: Path) -> None:
    device = tmp_path / "device"

    pulled = invoke("pull", f"oci:{layout}:old", "-o", device, "--trust", trust, "--json")
    verified = invoke("verify", device, "--trust", trust, "--seconds", "0.3", "--json")
    pictures = device / "current" / "proof" / "pictures"
    seen = invoke("detect", device, "--source", pictures, "--trust", trust, "--json")

    assert pulled.code == 0, pulled.said
    assert pulled.document["changed"] is True
    assert pulled.document["facts"]["target"] == "cpu-ort"
    assert pulled.document["signer"] == KEY.key_id
    assert re.search(r" fetch: \d+% 0\.\d of 0\.\d MiB\n", pulled.said)
    assert "lamps, stable 100: cpu-ort, fp32, onnxruntime" in pulled.said
    assert "p50 2.00 ms, mAP50-95 0.500, drift 0.10 pt" in pulled.said
    assert verified.code == 0, verified.said
    assert [check["name"] for check in verified.document["checks"]] == [
        "signature",
        "files",
        "outputs",
        "latency",
    ]
    assert verified.document["verdict"] == "pass"
    assert (seen.code, seen.document["frames"], seen.document["detections"]) == (0, 2, 1)


def test_a_second_pull_says_that_it_had_nothing_to_do(layout: Path, trust: Path, tmp_path: Path) -> None:
    arguments = ("pull", f"oci:{layout}:old", "-o", tmp_path / "device", "--trust", trust, "--json")
    invoke(*arguments)

    again = invoke(*arguments)

    assert (again.code, again.document["changed"]) == (0, False)
    assert "was current already" in again.said


def test_one_goes_back_by_hand(layout: Path, trust: Path, tmp_path: Path) -> None:
    device = tmp_path / "device"
    for tag in ("old", "new"):
        invoke("pull", f"oci:{layout}:{tag}", "-o", device, "--trust", trust)

    back = invoke("pull", "--previous", "-o", device, "--trust", trust, "--json")
    refused = invoke("pull", f"oci:{layout}:old", "-o", device, "--trust", trust)
    allowed = invoke("pull", f"oci:{layout}:old", "-o", device, "--trust", trust, "--allow-older")

    assert (back.code, back.document["facts"]["sequence"]) == (0, 100)
    assert refused.code == 1
    assert "Refused to go back: the release has sequence 100" in refused.said
    assert allowed.code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "Name a release, or --previous"),
        (("oci:x:y", "--previous"), 2, "Name a release, or --previous"),
        (("not a reference",), 2, "is no reference"),
        (("oci:/nowhere:stable",), 1, "is no OCI image layout"),
        (("--previous",), 2, "has no previous release"),
    ],
)
def test_what_cannot_be_pulled_is_told(
    arguments: tuple[str, ...], code: int, said: str, trust: Path, tmp_path: Path
) -> None:
    outcome = invoke("pull", *arguments, "-o", tmp_path / "device", "--trust", trust)

    assert outcome.code == code
    assert said in outcome.said


def test_what_does_not_fit_ends_with_5(tmp_path: Path, lamp: Path, trust: Path) -> None:
    (tmp_path / "scratch").mkdir()
    layout = tmp_path / "other"
    recipe = Recipe(lamp, some_facts(target="thor", machine="riscv64"))
    publish(LayoutFolder(layout), tmp_path / "scratch", recipe)

    auto = invoke("pull", f"oci:{layout}:stable", "-o", tmp_path / "device", "--trust", trust)
    named = invoke(
        "pull", f"oci:{layout}:stable", "--for", "thor", "-o", tmp_path / "device", "--trust", trust
    )

    assert (auto.code, named.code) == (5, 0)
    assert "not riscv64" in auto.said
    assert "thor does not run here: its CPU is" in named.said


def test_a_tampered_copy_is_refused_by_each_command(layout: Path, trust: Path, tmp_path: Path) -> None:
    device = tmp_path / "device"
    invoke("pull", f"oci:{layout}:old", "-o", device, "--trust", trust)
    model = device / "current" / "engine" / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"!")

    verified = invoke("verify", device, "--trust", trust, "--json")
    seen = invoke("detect", device, "--source", device, "--trust", trust)

    assert (verified.code, seen.code) == (1, 1)
    assert [check["verdict"] for check in verified.document["checks"]] == ["pass", "error"]
    assert "model.onnx is not the file that" in verified.said
    assert "model.onnx is not the file that" in seen.said


def test_the_policy_may_come_from_the_environment_and_without_one_nothing_is_trusted(
    layout: Path, trust: Path, tmp_path: Path
) -> None:
    arguments = ["pull", f"oci:{layout}:old", "-o", str(tmp_path / "device"), "--json"]

    named = CliRunner().invoke(app, arguments, obj={"EDGEBOUND_TRUST": str(trust)})
    gone = CliRunner().invoke(app, arguments, obj={"EDGEBOUND_TRUST": str(tmp_path / "gone.json")})

    assert json.loads(named.stdout.splitlines()[-1])["changed"] is True
    assert gone.exit_code == 1
    assert "gone.json cannot be read" in gone.stderr


def test_a_folder_that_holds_no_release_cannot_be_verified(lamp: Path, trust: Path) -> None:
    outcome = invoke("verify", lamp, "--trust", trust)

    assert outcome.code == 2
    assert "holds no release" in outcome.said
