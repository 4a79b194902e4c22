"""`pipeline release`: what is published, by whom, in which order, and what never is."""

import shutil
import stat
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.baseline import EVIDENCE
from pipeline.ladder import RunReport
from targets.engine import open_engine
from targets.registry import open_repository
from targets.registry.access import Access
from targets.registry.artifact import Package, push
from targets.registry.reference import parse_reference
from targets.release.expected import load as load_expected
from targets.release.facts import DOCUMENTS_TYPE, ENGINE_TYPE, Override
from tests.pipeline.release.desk import Desk, read
from tests.pipeline.release.stored_run import RUN, stored_run, write_engine
from tests.registry_fixture.server import Registry

LOST = {"loss_pt": 2.9, "step_pt": 0.1}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


# ---------------------------------------------------------------------------------- what is published


def test_a_release_is_an_index_of_signed_engines_and_documents(desk: Desk, tmp_path: Path) -> None:
    folder = stored_run(tmp_path)

    done = desk.release()

    shelf = desk.find()
    assert done.code == 0, done.said
    assert " push cpu: " in done.said
    assert done.document["digest"] == shelf.digest == desk.find(tag=RUN).digest
    assert {target: shelf.kind(target) for target in shelf.children} == {
        "cpu": ENGINE_TYPE,
        "": DOCUMENTS_TYPE,
    }
    engine = shelf.pull(tmp_path / "engine", "cpu") / "engine"
    assert open_engine(engine).files == open_engine(folder / "cpu").files
    assert shelf.names("") == {
        "release.json", "report.json", "report.html", "summary.md", "sbom.cdx.json", "provenance.json",
        "LICENSE", "MODEL_CARD.md", "evidence/index/dataset.json", "evidence/cpu/detections.npz",
    }  # fmt: skip


def test_the_facts_are_those_that_the_gate_judged(desk: Desk, tmp_path: Path) -> None:
    stored_run(tmp_path)

    desk.release("--expires", "2199-01-01", "--set", "release.name=steel line 4")

    facts = desk.find().facts("cpu")
    assert (facts.name, facts.channel, facts.run, facts.target) == ("steel-line-4", "stable", RUN, "cpu")
    assert (facts.runtime, facts.runtime_version, facts.precision) == ("openvino", "2026.4.1", "int8")
    assert (facts.machine, facts.module, facts.input) == ("x86_64", "", (96, 96))
    assert facts.expires == "2199-01-01T00:00:00+00:00"
    assert facts.drift_pt == pytest.approx(0.59)
    assert facts.p50_ms == pytest.approx(3.9, rel=0.1)
    assert facts.overrides == ()


def test_the_pictures_go_along_with_what_was_found_on_them(desk: Desk, tmp_path: Path) -> None:
    stored_run(tmp_path)
    desk.release("--set", "release.pictures=2")

    folder = desk.find().pull(tmp_path / "out", "cpu")

    expected = load_expected((folder / "proof/expected.json").read_text(), folder)
    assert [one.name for one in expected.pictures] == ["01.png", "02.png"]
    assert sorted(box.class_id for box in expected.pictures[0].boxes) == [0, 1]
    shown = (folder / "proof/pictures/01.png").read_bytes()
    assert shown == (tmp_path / "pictures" / "val 2.png").read_bytes()


def test_without_pictures_none_leaves_the_house(desk: Desk, tmp_path: Path) -> None:
    stored_run(tmp_path)
    desk.release("--set", "release.pictures=0")

    shelf = desk.find()
    assert not any("pictures" in name for name in shelf.names("cpu"))
    page = (shelf.pull(tmp_path / "out") / "report.html").read_text()
    assert "data:image/jpeg" not in page


def test_pictures_that_are_gone_or_changed_stay_behind(desk: Desk, tmp_path: Path) -> None:
    stored_run(tmp_path)
    (tmp_path / "pictures" / "val 2.png").write_bytes(b"another picture")
    (tmp_path / "pictures" / "val 0.png").unlink()

    assert desk.release().code == 0

    folder = desk.find().pull(tmp_path / "out", "cpu")
    expected = load_expected((folder / "proof/expected.json").read_text(), folder)
    assert [len(one.boxes) for one in expected.pictures] == [1, 0]


def test_neither_paths_nor_passwords_nor_training_pictures_are_published(desk: Desk, tmp_path: Path) -> None:
    stored_run(tmp_path)
    desk.release()

    out = desk.find().pull(tmp_path / "out")
    desk.find().pull(tmp_path / "out" / "engine-of-cpu", "cpu")

    texts = [path.read_bytes() for path in out.rglob("*") if path.is_file()]
    assert len(texts) > 15
    for secret in (b"secret-project", b"hunter22", b"a-training-picture", str(tmp_path).encode()):
        assert not any(secret in text for text in texts), secret


def test_the_card_says_what_it_is_and_how_to_get_it(desk: Desk, tmp_path: Path) -> None:
    stored_run(tmp_path)
    desk.release("--to", f"oci:{tmp_path / 'shop'}")

    card = (desk.find(f"oci:{tmp_path / 'shop'}").pull(tmp_path / "out", "cpu") / "MODEL_CARD.md").read_text()

    assert "2 classes: hole, scratch" in card
    assert "pipeline pull oci:shop:stable" in card
    assert "**openvino int8** | 0.535 | 0.59 | 0.29 to 0.89" in card
    assert "AGPL-3.0-or-later" in card
    assert "no rule was overruled" in card


@pytest.mark.parametrize(
    ("given", "name", "text"),
    [("", "AGPL", "GNU AFFERO"), ("MIT", "MIT", "License: MIT"), ("TERMS.txt", "TERMS.txt", "Pay me.")],
)
def test_the_licence_is_what_follows_from_ultralytics_or_what_is_set(
    desk: Desk, tmp_path: Path, given: str, name: str, text: str
) -> None:
    stored_run(tmp_path)
    (tmp_path / "TERMS.txt").write_text("Pay me.")
    desk.release("--set", f"release.license='{given}'")

    out = desk.find().pull(tmp_path / "out")

    assert text in (out / "LICENSE").read_text()
    assert name in str(read(out / "sbom.cdx.json")["metadata"]["component"]["licenses"])


def test_settings_of_the_release_are_those_that_pipeline_yaml_has_now(desk: Desk, tmp_path: Path) -> None:
    stored_run(tmp_path)
    (tmp_path / "pipeline.yaml").write_text("release: {name: from-the-file, pictures: 1}\n")

    assert desk.release().code == 0

    assert desk.find().facts().name == "from-the-file"
    assert len([name for name in desk.find().names("cpu") if "pictures" in name]) == 1


def test_a_wrong_section_is_refused_with_its_line(desk: Desk, tmp_path: Path) -> None:
    stored_run(tmp_path)
    (tmp_path / "pipeline.yaml").write_text("model: {}\nrelease:\n  picturs: 1\n")

    done = desk.release()

    assert done.code == 2
    assert "pipeline.yaml:3" in done.what
    assert "pictures" in done.what


# --------------------------------------------------------------------------------------- again


def test_a_release_is_not_made_twice_unless_asked(desk: Desk, tmp_path: Path) -> None:
    stored_run(tmp_path)
    first = desk.release().document

    same = desk.release()
    again = desk.release("--again")

    assert (same.code, same.document["already"], same.document["digest"]) == (0, True, first["digest"])
    assert again.document["sequence"] > first["sequence"]
    assert desk.find().digest == again.document["digest"] != first["digest"]


def test_a_release_of_another_channel_leaves_the_first_alone(desk: Desk, tmp_path: Path) -> None:
    stored_run(tmp_path)
    first = desk.release().document

    beta = desk.release("--channel", "beta")

    assert (beta.code, beta.document["already"]) == (0, False)
    assert desk.find().digest == first["digest"]
    assert desk.find(tag="beta").facts().channel == "beta"


def test_an_older_run_may_be_released_again_with_a_higher_sequence(desk: Desk, tmp_path: Path) -> None:
    folder = stored_run(tmp_path)
    newer = folder.with_name("20260505-000000-bbbb")
    shutil.copytree(folder, newer)
    text = (newer / "report.json").read_text()
    (newer / "report.json").write_text(text.replace(RUN, newer.name))

    sequences = [desk.release(run=run).document["sequence"] for run in (RUN, newer.name, RUN)]

    assert sequences == sorted(set(sequences))
    assert desk.find().facts().run == RUN


# ------------------------------------------------------------------------------------- overrules


def test_an_override_is_signed_and_told_everywhere(desk: Desk, tmp_path: Path) -> None:
    stored_run(tmp_path, int8=LOST, wish="int8")
    why = "lamps of line 4 were changed"

    refused = desk.release()
    done = desk.release("--override", f"drift={why}")

    assert refused.code == 3
    assert "--override 'drift=WHY'" in refused.hint
    assert done.code == 0, done.said
    assert f"overruled: drift: {why}" in done.said
    shelf = desk.find()
    assert shelf.facts("cpu").overrides == shelf.facts().overrides == (Override("drift", why),)
    out = shelf.pull(tmp_path / "out")
    assert f"limit 1.50 pt. Why: {why}" in (out / "MODEL_CARD.md").read_text()
    target = read(out / "report.json")["targets"]["cpu"]
    assert (target["verdict"], target["ships"]) == ("refuse", "openvino-int8")
    assert target["reasons"][-1] == f"released all the same: drift is overruled ({why})"
    engine = shelf.pull(tmp_path / "engine", "cpu")
    assert (engine / "engine" / "model.bin").read_bytes() == b"weights in int8"


def test_an_engine_of_which_only_the_store_knew_is_gone_with_the_store(desk: Desk, tmp_path: Path) -> None:
    stored_run(tmp_path, int8=LOST, wish="int8")
    shutil.rmtree(tmp_path / ".edgebound" / "store")

    done = desk.release("--override", "drift=known")

    assert done.code == 4
    assert "engine for cpu" in done.what
    assert "gone" in done.what


def test_an_override_ships_its_engine_and_not_the_one_that_the_run_handed_out(
    desk: Desk, tmp_path: Path
) -> None:
    folder = stored_run(tmp_path, int8=LOST, wish="int8")
    write_engine(folder / "cpu", "fp32")

    done = desk.release("--override", "drift=known")

    assert done.code == 0, done.said
    engine = desk.find().pull(tmp_path / "engine", "cpu")
    assert (engine / "engine" / "model.bin").read_bytes() == b"weights in int8"


# -------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        pytest.param({"int8": LOST, "wish": "int8"}, 3, "drift 2.90 pt", id="refused"),
        pytest.param({"age": timedelta(days=2)}, 4, "latency is stale", id="stale"),
        pytest.param({"simulated": True}, 4, "simulated", id="simulated"),
        pytest.param({"change": lambda one: replace(one, data="demo")}, 3, "demo", id="demo"),
    ],
)
def test_a_run_that_does_not_pass_is_not_released(
    desk: Desk, tmp_path: Path, given: dict[str, object], code: int, said: str
) -> None:
    stored_run(tmp_path, **given)

    done = desk.release()

    assert (done.code, said in done.what) == (code, True), done.said
    assert not (tmp_path / ".edgebound" / "releases").exists()


def test_a_changed_engine_is_not_released(desk: Desk, tmp_path: Path) -> None:
    folder = stored_run(tmp_path)
    (folder / "cpu" / "model.bin").write_bytes(b"other weights")

    done = desk.release()

    assert done.code == 4
    assert "is not the one that run" in done.what


def test_an_engine_that_is_not_what_its_manifest_says_is_not_released(desk: Desk, tmp_path: Path) -> None:
    """Not even where the report was changed to match."""
    from stages.artifact import Artifact

    folder = stored_run(tmp_path)
    before = Artifact.of(folder / "cpu").digest
    (folder / "cpu" / "model.bin").write_bytes(b"other weights")
    text = (folder / "report.json").read_text()
    (folder / "report.json").write_text(text.replace(before, Artifact.of(folder / "cpu").digest))

    done = desk.release()

    assert done.code == 1
    assert "is not the file that the engine's manifest describes" in done.what


@pytest.mark.parametrize("part", ["cpu", "index"])
def test_evidence_that_is_gone_is_missed(desk: Desk, tmp_path: Path, part: str) -> None:
    folder = stored_run(tmp_path)
    shutil.rmtree(folder / EVIDENCE / part)

    done = desk.release()

    assert done.code in {2, 4}
    assert "evidence" in done.what
    assert "gone" in done.what


def test_a_target_that_does_not_pass_is_left_out_by_name(desk: Desk, tmp_path: Path) -> None:
    def with_orin(report: RunReport) -> RunReport:
        cpu = report.targets["cpu"]
        orin = replace(cpu, ladder=(), verdict="unsupported", ships=None, reasons=("no kernel for Mish",))
        return replace(report, targets={"cpu": cpu, "orin@6.2": orin})

    stored_run(tmp_path, change=with_orin)

    done = desk.release()

    assert done.code == 0, done.said
    assert done.document["left_out"] == {
        "orin@6.2": {"verdict": "unsupported", "reasons": ["no kernel for Mish"]}
    }
    card = (desk.find().pull(tmp_path / "out") / "MODEL_CARD.md").read_text()
    assert "not released for orin&#64;6.2: no kernel for Mish" in card
    assert read(tmp_path / "out" / "report.json")["targets"]["orin@6.2"]["ships"] is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--channel", "../stable"), "cannot be a tag"),
        (("--channel", "sha256-abc"), "cannot be a tag"),
        (("--expires", "2001-01-01"), "is past"),
        (("--expires", "next year"), "is no date"),
        (("--to", "oci:shop:stable"), "names a tag"),
        (("--to", "oci-archive:shop.tar"), "can only be read"),
        (("--to", "nothing"), "is no reference"),
        (("--override", "drift"), "does not say which rule"),
        (("--override", "drift=known"), "overrules nothing"),
        (("--set", "train.epochs=3"), "only gate, build and verify matter"),
        (("--set", "release.pictures=-1"), "pictures"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    desk: Desk, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    stored_run(tmp_path)

    done = desk.release(*options)

    assert (done.code, said in done.what) == (2, True), done.said


def test_an_unknown_run_and_a_missing_key_are_told(desk: Desk, tmp_path: Path) -> None:
    stored_run(tmp_path)

    assert (desk.release(run="20990101-000000-0000").code, desk.release(key=False).code) == (2, 2)
    assert "pipeline key new" in desk.release(key=False).hint


def test_the_key_may_come_from_the_environment_as_in_ci(desk: Desk, tmp_path: Path) -> None:
    stored_run(tmp_path)
    secret = {"EDGEBOUND_SIGNING_KEY": desk.key.read_text()}

    done = desk.command("release", RUN, "--root", tmp_path, "--json", environment=secret)

    assert done.code == 0, done.said
    assert desk.find().pull(tmp_path / "out", "cpu").is_dir()


def test_a_tag_that_leads_to_something_else_is_not_overwritten(desk: Desk, tmp_path: Path) -> None:
    stored_run(tmp_path)
    (tmp_path / "file").write_text("x")
    place = f"oci:{tmp_path / 'shop'}"
    with open_repository(parse_reference(place), Access()) as shop:
        before = push(shop, Package("application/vnd.other", {"file": tmp_path / "file"}), "stable")

    done = desk.release("--to", place)

    assert done.code == 1
    assert "not to a release" in done.what
    with open_repository(parse_reference(place), Access()) as shop:
        assert shop.read_manifest("stable")[0].digest == before.digest


# ------------------------------------------------------------------------------------ half way


def test_a_release_that_fails_half_way_moves_no_tag(desk: Desk, tmp_path: Path) -> None:
    """The signing service signs the engine, and is away when the documents come."""
    folder = stored_run(tmp_path)
    first = desk.release().document
    newer = folder.with_name("20260505-000000-bbbb")
    shutil.copytree(folder, newer)
    text = (newer / "report.json").read_text()
    (newer / "report.json").write_text(text.replace(RUN, newer.name))
    program = _once(tmp_path, desk.key)
    public = desk.key.with_name("release.pub.pem")

    done = desk.release("--sign-cmd", program, "--public-key", public, key=False, run=newer.name)

    assert done.code != 0
    assert "service is away" in done.said
    assert desk.find().digest == first["digest"]
    assert newer.name not in str(list((tmp_path / ".edgebound" / "releases").glob("index.json")))
    whole = desk.release(run=newer.name)
    assert whole.code == 0, whole.said
    assert desk.find().facts().run == newer.name


def _once(folder: Path, key: Path) -> str:
    """Write a program that signs one message, and then fails."""
    program = folder / "sign.py"
    program.write_text(
        f"import sys, pathlib\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[3])!r})\n"
        f"from pipeline.signing.keys import load_signer\n"
        f"mark = pathlib.Path({str(folder / 'signed')!r})\n"
        f"if mark.exists(): sys.exit('the service is away')\n"
        f"mark.touch()\n"
        f"signer = load_signer(pathlib.Path({str(key)!r}).read_bytes(), 'key')\n"
        f"sys.stdout.buffer.write(signer.sign(sys.stdin.buffer.read()))\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return f"{sys.executable} {program}"


# ---------------------------------------------------------------------------------- real registry


def test_a_release_in_a_real_registry_is_found_and_verified(desk: Desk, tmp_path: Path) -> None:
    stored_run(tmp_path)
    with closing(Registry(tmp_path / "server")) as server:
        done = desk.release("--to", f"{server.host}/team/steel")
        same = desk.release("--to", f"{server.host}/team/steel")
        server.collect()
        out = desk.find(f"{server.host}/team/steel").pull(tmp_path / "out", "cpu")

    assert (done.code, same.document["already"]) == (0, True), done.said
    assert read(out / "release.json")["name"] == "steel"
    assert open_engine(out / "engine").precision == "int8"


def test_a_repository_that_skopeo_mirrors_is_as_good_as_the_first(desk: Desk, tmp_path: Path) -> None:
    """Signatures have tags, so they go along; digests stay."""
    if shutil.which("skopeo") is None:
        pytest.skip("no skopeo: apt-get install skopeo")
    stored_run(tmp_path)
    command = ["skopeo", "--insecure-policy", "sync", "--all", "--src", "docker", "--dest", "docker"]
    command += ["--src-tls-verify=false", "--dest-tls-verify=false"]
    with closing(Registry(tmp_path / "mirror")) as mirror:
        with closing(Registry(tmp_path / "first")) as first:
            done = desk.release("--to", f"{first.host}/steel")
            copied = [*command, f"{first.host}/steel", f"{mirror.host}/"]
            subprocess.run(copied, check=True, capture_output=True)
        shelf = desk.find(f"{mirror.host}/steel")
        out = shelf.pull(tmp_path / "out", "cpu")

        assert shelf.digest == done.document["digest"]
    assert open_engine(out / "engine").precision == "int8"
