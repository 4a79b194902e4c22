"""Signatures beside artifacts, in a folder and in a real registry, and what those who may push could do."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from pipeline.signing import attach, sign_files
from pipeline.signing.keys import KeySigner
from targets.errors import RegistryError, TrustError
from targets.registry.artifact import Package, copy, find, push, push_index
from targets.registry.content import INDEX_TYPE, TITLE, Descriptor, Manifest, describe
from targets.registry.layout_folder import LayoutFolder
from targets.registry.repository import Repository
from targets.trust.attached import MOST, read_signed
from targets.trust.bundle import BUNDLE_TYPE
from targets.trust.policy import Policy, TrustedKey
from tests.registry_fixture.server import Registry
from tests.targets.registry.conftest import Desk
from tests.targets.trust.conftest import FILES, digests, lay

Signers = tuple[KeySigner, KeySigner]
NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)
ENGINE = "application/vnd.example.engine.v1"


@pytest.fixture(params=["folder", "registry"])
def repository(request: pytest.FixtureRequest, tmp_path: Path, desk: Desk, plain: Registry) -> Repository:
    if request.param == "folder":
        return LayoutFolder(tmp_path / "layout")
    return desk.open(f"{plain.host}/signed/{tmp_path.name}")


@pytest.fixture
def policy(signers: Signers) -> Policy:
    ours = signers[0]
    return Policy((TrustedKey(ours.key_id, ours.public.pem),), {"stable": (ours.key_id,)})


@pytest.fixture
def put(repository: Repository, tmp_path: Path) -> Callable[..., Descriptor]:
    def done(files: "dict[str, bytes]" = FILES, **more: object) -> Descriptor:
        package = Package(ENGINE, lay(tmp_path / "files", files), **more)  # type: ignore[arg-type]
        return push(repository, package, "v1")

    return done


def why(repository: Repository, artifact: Descriptor, policy: Policy, channel: str = "stable") -> str:
    with pytest.raises(TrustError) as caught:
        read_signed(repository, artifact, policy, channel, NOW)
    assert caught.value.hint
    return caught.value.what


def changed_copy(repository: Repository, artifact: Descriptor, **change: object) -> Descriptor:
    """Push what an artifact's manifest becomes by a change, as somebody who may push could."""
    _, manifest = find(repository, artifact.digest)
    other = replace(manifest, **change)  # type: ignore[arg-type]
    return repository.write_manifest(other.encode(), other.media_type)


def test_a_signed_artifact_is_read(
    repository: Repository, put: Callable[..., Descriptor], policy: Policy, bundle: bytes
) -> None:
    artifact = put()
    attach(repository, artifact, bundle)

    manifest, signed, found = read_signed(repository, artifact, policy, "stable", NOW)

    assert manifest == find(repository, "v1")[1]
    assert dict(signed.files) == digests(FILES)
    assert found == bundle


def test_a_signature_travels_with_a_copy(
    repository: Repository, put: Callable[..., Descriptor], policy: Policy, bundle: bytes, tmp_path: Path
) -> None:
    attach(repository, put(), bundle)
    (tmp_path / "scratch").mkdir()
    other = LayoutFolder(tmp_path / "other")

    copied = copy(repository, other, "v1", tag="v1", scratch=tmp_path / "scratch")

    assert read_signed(other, copied, policy, "stable", NOW).bundle == bundle


def test_without_a_signature_it_is_refused(
    repository: Repository, put: Callable[..., Descriptor], policy: Policy
) -> None:
    assert "there is no signature" in why(repository, put(), policy)


def test_only_referrers_that_are_bundles_count(
    repository: Repository, put: Callable[..., Descriptor], policy: Policy, bundle: bytes, tmp_path: Path
) -> None:
    artifact = put()
    note = tmp_path / "note"
    note.write_bytes(bundle)
    push(repository, Package("application/vnd.example.note", {"signature.json": note}, subject=artifact))

    assert "there is no signature" in why(repository, artifact, policy)


def test_a_stranger_is_refused_and_does_not_stand_in_the_way(
    repository: Repository, put: Callable[..., Descriptor], policy: Policy, bundle: bytes, signers: Signers
) -> None:
    artifact = put()
    attach(repository, artifact, sign_files("steel", digests(FILES), signers[1]))
    attach(repository, artifact, b"noise")
    said = why(repository, artifact, policy)
    assert "not trusted here" in said
    assert "cannot be read" in said

    attach(repository, artifact, bundle)

    assert read_signed(repository, artifact, policy, "stable", NOW).bundle == bundle


def test_another_channel_is_refused(
    repository: Repository, put: Callable[..., Descriptor], policy: Policy, bundle: bytes
) -> None:
    artifact = put()
    attach(repository, artifact, bundle)

    assert "no key for channel 'beta'" in why(repository, artifact, policy, "beta")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({**FILES, "release.json": b"{}"}, "changed release.json"),
        ({**FILES, "engine/evil.so": b""}, "added engine/evil.so"),
        ({name: FILES[name] for name in list(FILES)[1:]}, "removed release.json"),
    ],
)
def test_the_signature_of_another_artifact_is_refused(
    files: "dict[str, bytes]",
    said: str,
    repository: Repository,
    put: Callable[..., Descriptor],
    policy: Policy,
    bundle: bytes,
) -> None:
    artifact = put(files)
    attach(repository, artifact, bundle)

    assert f"signed other files ({said})" in why(repository, artifact, policy)


def test_files_that_swap_names_are_refused(
    repository: Repository, put: Callable[..., Descriptor], policy: Policy, bundle: bytes
) -> None:
    artifact = put()
    first, second, *others = find(repository, artifact.digest)[1].layers
    swapped = (
        replace(first, annotations={TITLE: second.annotations[TITLE]}),
        replace(second, annotations={TITLE: first.annotations[TITLE]}),
        *others,
    )
    other = changed_copy(repository, artifact, layers=swapped)
    attach(repository, other, bundle)

    assert "signed other files (changed" in why(repository, other, policy)


def test_a_config_is_refused_since_nobody_signs_it(
    repository: Repository, put: Callable[..., Descriptor], policy: Policy, bundle: bytes
) -> None:
    artifact = put(config=(b'{"key": "of another step"}', "application/json"))
    attach(repository, artifact, bundle)

    assert "no signature speaks of" in why(repository, artifact, policy)


def test_an_index_is_refused(repository: Repository, put: Callable[..., Descriptor], policy: Policy) -> None:
    index = push_index(repository, Manifest(INDEX_TYPE, manifests=(put(),)), "all")

    assert "no signature speaks of" in why(repository, index, policy)


def test_a_name_that_leads_out_is_refused(
    repository: Repository, put: Callable[..., Descriptor], policy: Policy
) -> None:
    artifact = put()
    layers = find(repository, artifact.digest)[1].layers
    bad = replace(layers[0], annotations={TITLE: "../../etc/cron.d/evil"})
    other = changed_copy(repository, artifact, layers=(bad, *layers[1:]))

    with pytest.raises(RegistryError, match="not unpacked"):
        read_signed(repository, other, policy, "stable", NOW)


def test_a_signature_whose_bytes_are_gone_is_refused(tmp_path: Path, policy: Policy, bundle: bytes) -> None:
    repository = LayoutFolder(tmp_path / "layout")
    artifact = push(repository, Package(ENGINE, lay(tmp_path / "files", FILES)), "v1")
    attach(repository, artifact, bundle)
    blob = tmp_path / "layout" / "blobs" / "sha256" / describe(bundle, "").hex
    blob.write_bytes(bundle.replace(b"dsse", b"DSSE"))
    assert "A signature is damaged" in why(repository, artifact, policy)

    blob.unlink()

    assert "A signature is damaged" in why(repository, artifact, policy)


def test_a_huge_signature_is_not_read(tmp_path: Path, policy: Policy) -> None:
    repository = LayoutFolder(tmp_path / "layout")
    artifact = push(repository, Package(ENGINE, lay(tmp_path / "files", FILES)), "v1")
    huge = tmp_path / "huge"
    huge.write_bytes(b'{"a":' + b"[" * 10_000_000)
    package = Package(BUNDLE_TYPE, {"signature.json": huge}, subject=artifact)
    push(repository, package)

    assert "more than 4 MiB" in why(repository, artifact, policy)


def test_no_more_than_some_signatures_are_looked_at(
    tmp_path: Path, policy: Policy, signers: Signers, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = LayoutFolder(tmp_path / "layout")
    artifact = push(repository, Package(ENGINE, lay(tmp_path / "files", FILES)), "v1")
    for number in range(MOST + 8):
        attach(repository, artifact, f"noise {number}".encode())
    read = []
    real = repository.read_blob
    monkeypatch.setattr(repository, "read_blob", lambda blob: read.append(blob) or real(blob))

    assert "cannot be read" in why(repository, artifact, policy)
    assert len(read) == MOST
