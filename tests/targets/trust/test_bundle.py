"""Bundles against `model_signing` and plain openssl, in both directions, and against forgers."""

import base64
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_signing import signing, verifying

from pipeline.signing import sign_files
from pipeline.signing.keys import KeySigner, load_signer, new_key
from targets.errors import TrustError
from targets.registry.content import canonical
from targets.trust.bundle import (
    MAX_BUNDLE,
    Signed,
    envelop,
    pre_authentication,
    statement,
    verify_bundle,
)
from targets.trust.p256 import PublicKey
from tests.targets.trust.conftest import FILES, digests, lay

Signers = tuple[KeySigner, KeySigner]
Change = Callable[[dict[str, Any]], None]


def judge(folder: Path, bundle: bytes, public: Path) -> None:
    """Have `model_signing verify key` look at a folder; it raises ValueError where something is wrong."""
    file = folder.with_name("judged.json")
    file.write_bytes(bundle)
    verifying.Config().use_elliptic_key_verifier(public_key=public).verify(folder, file)


def parts(bundle: bytes) -> tuple[bytes, bytes]:
    """Give the payload and the signature."""
    envelope = json.loads(bundle)["dsseEnvelope"]
    return base64.b64decode(envelope["payload"]), base64.b64decode(envelope["signatures"][0]["sig"])


def resigned(signer: KeySigner, change: Change) -> bytes:
    """Give a bundle whose statement was changed before it was signed."""
    table = json.loads(statement("steel", digests(FILES)))
    change(table)
    payload = canonical(table)
    return envelop(payload, signer.sign(pre_authentication(payload)), signer.public)


def refused(bundle: bytes, keys: "list[PublicKey]") -> str:
    with pytest.raises(TrustError) as caught:
        verify_bundle(bundle, keys)
    assert caught.value.hint
    return caught.value.what


def test_what_is_signed_is_read_back(signers: Signers, bundle: bytes) -> None:
    keys = [signers[1].public, signers[0].public]

    assert verify_bundle(bundle, keys) == Signed(signers[0].key_id, "steel", digests(FILES))


def test_model_signing_verifies_ours_and_sees_every_change(
    signers: Signers, bundle: bytes, tmp_path: Path, public_file: Callable[[KeySigner], Path]
) -> None:
    folder, public = tmp_path / "got", public_file(signers[0])
    lay(folder, FILES)
    judge(folder, bundle, public)

    (folder / "added.so").write_bytes(b"evil")
    with pytest.raises(ValueError, match=r"Extra files found.*added\.so"):
        judge(folder, bundle, public)
    (folder / "added.so").unlink()
    (folder / "release.json").write_bytes(b"{}")
    with pytest.raises(ValueError, match="Hash mismatch"):
        judge(folder, bundle, public)
    lay(folder, FILES)
    with pytest.raises(ValueError, match="Key mismatch"):
        judge(folder, bundle, public_file(signers[1]))


def test_ours_verifies_what_model_signing_signs(tmp_path: Path) -> None:
    pair = new_key(tmp_path, "theirs")
    lay(tmp_path / "model", FILES)
    file = tmp_path / "model.sig"
    signing.Config().use_elliptic_key_signer(private_key=pair.private).sign(tmp_path / "model", file)

    signed = verify_bundle(file.read_bytes(), [pair.key])

    assert signed == Signed(pair.key.id, "model", digests(FILES))


def test_our_statement_is_theirs_but_for_what_they_ignore(tmp_path: Path) -> None:
    pair = new_key(tmp_path, "theirs")
    lay(tmp_path / "model", FILES)
    file = tmp_path / "model.sig"
    signing.Config().use_elliptic_key_signer(private_key=pair.private).sign(tmp_path / "model", file)
    theirs = json.loads(parts(file.read_bytes())[0])
    ignored = theirs["predicate"]["serialization"].pop("ignore_paths")

    ours = sign_files("model", digests(FILES), load_signer(pair.private.read_bytes(), "key"))
    statement_of_ours = json.loads(parts(ours)[0])

    assert statement_of_ours["predicate"]["serialization"].pop("ignore_paths") == []
    assert statement_of_ours == theirs
    assert all(path.startswith(".git") for path in ignored)
    outer, theirs_outer = json.loads(ours), json.loads(file.read_bytes())
    outer["dsseEnvelope"].update(payload="", signatures=[])
    theirs_outer["dsseEnvelope"].update(payload="", signatures=[])
    assert outer == theirs_outer


def test_plain_openssl_verifies_it(
    signers: Signers, bundle: bytes, tmp_path: Path, public_file: Callable[[KeySigner], Path]
) -> None:
    payload, signature = parts(bundle)
    (tmp_path / "message").write_bytes(pre_authentication(payload))
    (tmp_path / "signature").write_bytes(signature)
    command = ["openssl", "dgst", "-sha256", "-signature", tmp_path / "signature", "-verify"]

    good = subprocess.run([*command, public_file(signers[0]), tmp_path / "message"], capture_output=True)
    bad = subprocess.run([*command, public_file(signers[1]), tmp_path / "message"], capture_output=True)

    assert good.stdout == b"Verified OK\n"
    assert bad.returncode != 0


def test_the_key_of_somebody_else_is_not_believed(signers: Signers, bundle: bytes) -> None:
    assert "not trusted here" in refused(bundle, [signers[1].public])
    assert "not trusted here" in refused(bundle, [])


def test_a_stranger_who_names_our_key_is_not_believed(signers: Signers) -> None:
    payload = statement("steel", digests(FILES))
    forged = envelop(payload, signers[1].sign(pre_authentication(payload)), signers[0].public)

    assert "is not by it" in refused(forged, [signers[0].public, signers[1].public])


OUTER: "dict[str, Change]" = {
    "another media type": lambda b: b.update(mediaType="application/vnd.dev.sigstore.bundle.v0.2+json"),
    "another payload type": lambda b: b["dsseEnvelope"].update(payloadType="application/json"),
    "no signature": lambda b: b["dsseEnvelope"].update(signatures=[]),
    "two signatures": lambda b: b["dsseEnvelope"].update(signatures=b["dsseEnvelope"]["signatures"] * 2),
    "signatures that are no list": lambda b: b["dsseEnvelope"].update(signatures={"sig": ""}),
    "no envelope": lambda b: b.pop("dsseEnvelope"),
    "no material": lambda b: b.pop("verificationMaterial"),
    "an envelope that is a text": lambda b: b.update(dsseEnvelope="x"),
    "a hint that is a number": lambda b: b["verificationMaterial"].update(publicKey={"hint": 1}),
    "a payload that is no base64": lambda b: b["dsseEnvelope"].update(payload="%%%%"),
    "an empty signature": lambda b: b["dsseEnvelope"]["signatures"][0].update(sig=""),
    "a certificate for a key": lambda b: b.update(verificationMaterial={"certificate": {"rawBytes": "AA=="}}),
}


@pytest.mark.parametrize("change", OUTER.values(), ids=OUTER.keys())
def test_a_changed_bundle_is_refused(change: Change, signers: Signers, bundle: bytes) -> None:
    table = json.loads(bundle)
    change(table)

    assert refused(json.dumps(table).encode(), [signers[0].public])


INNER: "dict[str, Change]" = {
    "another statement": lambda s: s.update(_type="https://in-toto.io/Statement/v0.1"),
    "another predicate": lambda s: s.update(predicateType="https://slsa.dev/provenance/v1"),
    "the predicate of v0.2": lambda s: s.update(predicateType="https://model_signing/Digests/v0.1"),
    "two subjects": lambda s: s.update(subject=s["subject"] * 2),
    "no subject": lambda s: s.update(subject=[]),
    "another root": lambda s: s["subject"][0]["digest"].update(sha256="0" * 64),
    "shards": lambda s: s["predicate"]["serialization"].update(method="shards"),
    "another hash": lambda s: s["predicate"]["serialization"].update(hash_type="blake2b"),
    "another algorithm": lambda s: s["predicate"]["resources"][0].update(algorithm="blake2b"),
    "a name that leads out": lambda s: s["predicate"]["resources"][0].update(name="../../etc/passwd"),
    "an absolute name": lambda s: s["predicate"]["resources"][0].update(name="/etc/passwd"),
    "a name twice": lambda s: s["predicate"]["resources"].append(s["predicate"]["resources"][0]),
    "a digest in capitals": lambda s: s["predicate"]["resources"][0].update(digest="A" * 64),
    "a digest with a blank": lambda s: s["predicate"]["resources"][0].update(digest=" " + "a" * 63),
    "no name of the whole": lambda s: s["subject"][0].pop("name"),
    "resources that are none": lambda s: s["predicate"].update(resources=[1, None]),
}


@pytest.mark.parametrize("change", INNER.values(), ids=INNER.keys())
def test_a_signed_statement_of_another_kind_is_refused(change: Change, signers: Signers) -> None:
    said = refused(resigned(signers[0], change), [signers[0].public])

    assert "signed something that is no list of files" in said


def test_a_key_that_is_there_twice_is_refused(signers: Signers, bundle: bytes) -> None:
    twice = bundle.replace(b'{"dsseEnvelope":', b'{"dsseEnvelope":{},"dsseEnvelope":', 1)

    assert json.loads(twice) == json.loads(bundle)
    assert "a key is there twice" in refused(twice, [signers[0].public])


def test_deep_and_huge_bundles_are_refused(signers: Signers) -> None:
    keys = [signers[0].public]

    assert "more than 4 MiB" in refused(b'{"a":' + b"[" * 10_000_000, keys)
    assert "nested too deeply" in refused(b'{"a":' + b"[" * (MAX_BUNDLE - 10), keys)
    payload = b'{"a":' + b"[" * 1_000_000
    deep = envelop(payload, signers[0].sign(pre_authentication(payload)), signers[0].public)
    assert "nested too deeply" in refused(deep, keys)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_every_flipped_byte_is_refused_or_changes_nothing(
    data: st.DataObject, signers: Signers, bundle: bytes
) -> None:
    place = data.draw(st.integers(0, len(bundle) - 1))
    value = data.draw(st.integers(0, 255))
    changed = bundle[:place] + bytes([value]) + bundle[place + 1 :]
    try:
        signed = verify_bundle(changed, [signers[0].public])
    except TrustError:
        return

    assert signed.files == digests(FILES)
    assert signed.key_id == signers[0].key_id


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=80, deadline=None)
@given(where=st.integers(0, 13), value=JSON)
def test_any_value_at_any_place_is_read_or_refused(
    where: int, value: object, signers: Signers, bundle: bytes
) -> None:
    table = json.loads(bundle)
    inner = json.loads(parts(bundle)[0])
    holders = [
        *((table, key) for key in ("mediaType", "verificationMaterial", "dsseEnvelope")),
        *((table["dsseEnvelope"], key) for key in ("payload", "signatures")),
        (table["verificationMaterial"], "publicKey"),
        *((inner, key) for key in ("_type", "subject", "predicate", "predicateType")),
        *((inner["predicate"], key) for key in ("serialization", "resources")),
        (inner["subject"], 0),
        (inner["predicate"]["resources"], 1),
    ]
    holder, key = holders[where]
    holder[key] = value
    payload = json.dumps(inner).encode()
    if where >= 6:
        made = envelop(payload, signers[0].sign(pre_authentication(payload)), signers[0].public)
    else:
        made = json.dumps(table).encode()

    refused(made, [signers[0].public])


@settings(max_examples=100, deadline=None)
@given(noise=st.one_of(st.binary(max_size=300), JSON.map(lambda value: json.dumps(value).encode())))
def test_noise_is_refused(noise: bytes, signers: Signers) -> None:
    refused(noise, [signers[0].public])


def test_a_name_that_no_device_would_take_is_not_signed(signers: Signers) -> None:
    with pytest.raises(TrustError, match="leads elsewhere"):
        sign_files("steel", {"../up": "0" * 64}, signers[0])
