"""A release as the baseline of a run: believed if it is signed, and then a run like any other."""

import json
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.baseline import find_index, load_baseline
from pipeline.fetched import Ways, local_baseline
from pipeline.report.load import load_report
from pipeline.signing.keys import load_public, new_key
from pipeline.signing.policies import NewKey, trust
from targets.errors import DigestError, NotFoundError, RegistryError, TrustError, UsageError
from targets.registry import open_repository
from targets.registry.access import Access
from targets.registry.artifact import Package, find, push, push_index
from targets.registry.reference import parse_reference
from targets.registry.repository import Repository
from targets.release.facts import DOCUMENTS_TYPE, PREFIX, is_engine
from tests.pipeline.release.desk import Desk
from tests.pipeline.release.stored_run import RUN, stored_run
from tests.registry_fixture.server import Registry


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Give someone who has released a run to the project's own folder."""
    stored_run(tmp_path)
    desk = Desk(tmp_path)
    assert desk.release().code == 0
    return desk


def place(desk: Desk, tag: str = ":stable") -> str:
    return f"oci:{desk.root / '.edgebound' / 'releases'}{tag}"


def fetched(desk: Desk, name: str, policy: Path | None = None) -> Path:
    """Fetch to a project that has never seen the run."""
    project = desk.root / "elsewhere"
    project.mkdir(exist_ok=True)
    return Path(local_baseline(project, name, Ways(access=Access(), policy=policy or desk.policy)))


def test_a_release_stands_for_the_run_that_it_was_made_of(desk: Desk) -> None:
    folder = fetched(desk, place(desk))

    baseline = load_baseline(desk.root / "elsewhere", str(folder), {"cpu": None})
    report = load_report(folder)
    assert baseline.run == RUN
    assert baseline.shipped["cpu"].rung.label == "openvino int8"
    assert find_index(report, folder).path == folder / "evidence" / "index"


def test_it_can_be_fetched_again_and_named_by_version_or_digest(desk: Desk) -> None:
    digest = desk.find().digest

    folders = {fetched(desk, place(desk, tag)) for tag in (":stable", ":stable", f":{RUN}", f"@{digest}")}

    assert len(folders) == 1


def test_what_was_overruled_is_a_baseline_too(tmp_path: Path) -> None:
    stored_run(tmp_path, int8={"loss_pt": 2.9, "step_pt": 0.1}, wish="int8")
    desk = Desk(tmp_path)
    assert desk.release("--override", "drift=known").code == 0

    baseline = load_baseline(tmp_path, str(fetched(desk, place(desk))), {"cpu": None})

    assert baseline.shipped["cpu"].rung.id == "openvino-int8"


def test_targets_whose_names_no_registry_takes_come_back_under_their_own(tmp_path: Path) -> None:
    folder = stored_run(tmp_path)
    text = (folder / "report.json").read_text().replace('"cpu": {"verdict"', '"orin@6.2": {"verdict"')
    (folder / "report.json").write_text(text)
    for part in (folder / "cpu", folder / "evidence" / "cpu"):
        part.rename(part.with_name("orin@6.2"))
    desk = Desk(tmp_path)
    assert desk.release().code == 0

    baseline = load_baseline(tmp_path, str(fetched(desk, place(desk))), {"orin@6.2": None})

    assert baseline.shipped["orin@6.2"].detections.path.name == "orin@6.2"


def test_a_run_is_still_a_run(desk: Desk) -> None:
    ways = Ways(access=Access(), policy=None)

    for name in (RUN, str(desk.root / ".edgebound" / "runs" / RUN), "no-such-run", "runs/no-such-run"):
        assert local_baseline(desk.root, name, ways) == name


# --------------------------------------------------------------------------------- not believed


def test_without_a_policy_nobody_is_believed(desk: Desk) -> None:
    with pytest.raises(TrustError, match="no trust policy"):
        local_baseline(desk.root, place(desk), Ways(access=Access(), policy=None))


def test_a_release_that_somebody_else_signed_is_refused(desk: Desk, tmp_path: Path) -> None:
    new_key(tmp_path / "theirs", "theirs")
    theirs = tmp_path / "theirs" / "trust.json"
    trust(theirs, NewKey(load_public(tmp_path / "theirs" / "theirs.pub.pem")), ["stable"])

    with pytest.raises(TrustError, match="not signed for channel 'stable'"):
        fetched(desk, place(desk), theirs)


def test_a_key_of_another_channel_is_no_key_for_this_one(desk: Desk) -> None:
    assert desk.release("--channel", "beta").code == 0

    with pytest.raises(TrustError, match="no key for channel 'beta'"):
        fetched(desk, place(desk, ":beta"))


def test_a_beta_under_the_tag_of_stable_is_refused(desk: Desk, tmp_path: Path) -> None:
    trust(desk.policy, NewKey(load_public(desk.key.with_name("release.pub.pem"))), ["beta"])
    assert desk.release("--channel", "beta").code == 0
    with shop(desk) as repository:
        found, content = repository.read_manifest("beta")
        repository.write_manifest(content, found.media_type, "stable")

    with pytest.raises(TrustError, match="is a release for channel 'beta'"):
        fetched(desk, place(desk))


@pytest.mark.parametrize(("name", "value"), [("run", "20990101-000000-0000"), ("sequence", "9999999999")])
def test_annotations_that_were_changed_are_held_against_what_was_signed(
    desk: Desk, name: str, value: str
) -> None:
    with shop(desk) as repository:
        _, index = find(repository, "stable")
        children = tuple(
            replace(one, annotations={**one.annotations, f"{PREFIX}{name}": value}) for one in index.manifests
        )
        push_index(repository, replace(index, manifests=children), "stable")

    with pytest.raises(TrustError, match="not what was signed"):
        fetched(desk, place(desk))


def test_documents_that_nobody_signed_are_refused(desk: Desk, tmp_path: Path) -> None:
    """Somebody who may push puts a report of their own under the same facts."""
    out = desk.find().pull(tmp_path / "out")
    report = json.loads((out / "report.json").read_text())
    report["targets"]["cpu"]["ladder"] = report["targets"]["cpu"]["ladder"][:1]
    (out / "report.json").write_text(json.dumps(report))
    with shop(desk) as repository:
        _, index = find(repository, "stable")
        engine, documents = sorted(index.manifests, key=lambda one: not is_engine(one.annotations))
        files = {path.relative_to(out).as_posix(): path for path in out.rglob("*") if path.is_file()}
        forged = push(repository, Package(DOCUMENTS_TYPE, files))
        forged = replace(documents, digest=forged.digest, size=forged.size)
        push_index(repository, replace(index, manifests=(engine, forged)), "stable")

    with pytest.raises(TrustError, match="there is no signature"):
        fetched(desk, place(desk))


def test_a_changed_blob_is_not_used(desk: Desk) -> None:
    server = Registry(desk.root / "server")
    try:
        name = f"{server.host}/steel"
        assert desk.release("--to", name).code == 0
        with open_repository(parse_reference(name), Access()) as repository:
            _, manifest = find(repository, desk.find(name).children[""].digest)
        blob = next(one for one in manifest.layers if "detections" in str(one.annotations))
        path = server.blob(blob.digest)
        path.write_bytes(b"x" + path.read_bytes()[1:])

        with pytest.raises(DigestError):
            fetched(desk, f"{name}:stable")
    finally:
        server.close()


def test_what_is_no_release_is_no_baseline(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with shop(desk) as repository:
        push(repository, Package("application/vnd.other", {"file": tmp_path / "file"}), "other")

    with pytest.raises(RegistryError, match="is no release"):
        fetched(desk, place(desk, ":other"))
    with pytest.raises(NotFoundError):
        fetched(desk, place(desk, ":nothing"))
    with pytest.raises(UsageError):
        fetched(desk, "oci:")


def shop(desk: Desk) -> AbstractContextManager[Repository]:
    return open_repository(parse_reference(place(desk, "")), Access())
