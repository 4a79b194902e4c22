"""P-256: ECDSA signatures over SHA-256 verified with the standard library, for boards that have nothing else.

SEC 1 v2, section 4.1.4; the curve is secp256r1 of SEC 2. Nothing is secret here, so times may differ.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import Optional, Tuple

P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
GENERATOR = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
MAX_SIGNATURE = 72  # bytes: two integers of at most 33
_SPKI = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")  # RFC 5480, up to the point
_PEM = re.compile(r"\s*-----BEGIN PUBLIC KEY-----\s+([A-Za-z0-9+/=\s]{1,1000})-----END PUBLIC KEY-----\s*")
_Jacobian = Tuple[int, int, int]  # x = X/Z², y = Y/Z³; infinity has Z = 0
_INFINITY = (1, 1, 0)


@dataclass(frozen=True)
class PublicKey:
    """A point of the curve; whoever knows its logarithm signs.

    Attributes:
        x: Affine coordinate.
        y: Likewise.
    """

    x: int
    y: int

    def __post_init__(self) -> None:
        """Refuse what is no point: signatures by it could be forged."""
        if not (0 <= self.x < P and 0 <= self.y < P):
            raise ValueError("a coordinate is out of range")
        if (self.y * self.y - (self.x * self.x - 3) * self.x - B) % P:
            raise ValueError("the point is not on the curve P-256")

    @property
    def der(self) -> bytes:
        """It as SubjectPublicKeyInfo."""
        return _SPKI + b"\x04" + self.x.to_bytes(32, "big") + self.y.to_bytes(32, "big")

    @property
    def pem(self) -> str:
        """It as OpenSSL writes it."""
        text = base64.b64encode(self.der).decode()
        lines = "\n".join(text[start : start + 64] for start in range(0, len(text), 64))
        return f"-----BEGIN PUBLIC KEY-----\n{lines}\n-----END PUBLIC KEY-----\n"

    @property
    def id(self) -> str:
        """SHA-256 of `der`, as hex digits."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def hint(self) -> str:
        """SHA-256 of `pem`: what a bundle of OpenSSF model signing names a key by."""
        return hashlib.sha256(self.pem.encode()).hexdigest()


def read_der(content: bytes) -> PublicKey:
    """Read a SubjectPublicKeyInfo: named curve, uncompressed point, as OpenSSL and `cryptography` write it.

    Raises:
        ValueError: It is none, or of another curve or form.
    """
    start = len(_SPKI)
    if content[:start] != _SPKI or len(content) != start + 65:
        raise ValueError("it is no public key of the curve P-256")
    if content[start] != 4:
        raise ValueError(
            "its point is compressed; `openssl ec -conv_form uncompressed` writes the other form"
        )
    return PublicKey(
        int.from_bytes(content[start + 1 : start + 33], "big"), int.from_bytes(content[start + 33 :], "big")
    )


def read_pem(text: str) -> PublicKey:
    """Read a public key in PEM; there is one, and nothing else.

    Raises:
        ValueError: It is none, or of another curve or form.
    """
    found = _PEM.fullmatch(text)
    if not found:
        raise ValueError("it has no single PUBLIC KEY in PEM")
    try:
        content = base64.b64decode("".join(found.group(1).split()), validate=True)
    except binascii.Error as exc:
        raise ValueError(f"its base64 is broken: {exc}") from exc
    return read_der(content)


def verify(key: PublicKey, message: bytes, signature: bytes) -> bool:
    """Say whether a signature, in DER, of the SHA-256 of a message is of a key."""
    pair = read_signature(signature)
    if pair is None or not (0 < pair[0] < N and 0 < pair[1] < N):
        return False
    r, s = pair
    digest = int.from_bytes(hashlib.sha256(message).digest(), "big")
    inverse = pow(s, N - 2, N)
    x, _, z = _sum(digest * inverse % N, r * inverse % N, (key.x, key.y))
    if z == 0:
        return False
    return x * pow(z, 2 * (P - 2), P) % P % N == r


def read_signature(content: bytes) -> Optional[Tuple[int, int]]:
    """Give the two integers of a signature; None where it is not the one DER spelling of two that fit."""
    if (
        len(content) < 2
        or len(content) > MAX_SIGNATURE
        or content[0] != 0x30
        or content[1] != len(content) - 2
    ):
        return None
    first = _integer(content, 2)
    second = _integer(content, first[1]) if first else None
    if first is None or second is None or second[1] != len(content):
        return None
    return first[0], second[0]


def _integer(content: bytes, start: int) -> Optional[Tuple[int, int]]:
    """Give a positive integer and where it ends."""
    head, body = content[start : start + 2], content[start + 2 :]
    if len(head) != 2 or head[0] != 2 or not 1 <= head[1] <= min(33, len(body)):
        return None
    digits = body[: head[1]]
    is_negative = digits[0] >= 0x80
    is_padded = len(digits) > 1 and digits[0] == 0 and digits[1] < 0x80
    return None if is_negative or is_padded else (int.from_bytes(digits, "big"), start + 2 + len(digits))


def _sum(u: int, v: int, point: Tuple[int, int]) -> _Jacobian:
    """Give u·G + v·point (Shamir's trick)."""
    first, second = (*GENERATOR, 1), (*point, 1)
    table = (_INFINITY, first, second, _add(first, second))
    total: _Jacobian = _INFINITY
    for place in range(255, -1, -1):
        total = _double(total)
        digit = (u >> place & 1) + 2 * (v >> place & 1)
        if digit:
            total = _add(total, table[digit])
    return total


def _double(point: _Jacobian) -> _Jacobian:
    x, y, z = point
    if not z or not y:
        return _INFINITY
    square = y * y % P
    slope = 3 * (x - z * z) * (x + z * z) % P  # a = -3
    middle = 4 * x * square % P
    x_new = (slope * slope - 2 * middle) % P
    return x_new, (slope * (middle - x_new) - 8 * square * square) % P, 2 * y * z % P


def _add(one: _Jacobian, other: _Jacobian) -> _Jacobian:
    if not one[2]:
        return other
    if not other[2]:
        return one
    z1, z2 = one[2] * one[2] % P, other[2] * other[2] % P
    x1, x2 = one[0] * z2 % P, other[0] * z1 % P
    y1, y2 = one[1] * other[2] * z2 % P, other[1] * one[2] * z1 % P
    if x1 == x2:
        return _double(one) if y1 == y2 else _INFINITY
    width, height = (x2 - x1) % P, (y2 - y1) % P
    square = width * width % P
    cube, middle = square * width % P, x1 * square % P
    x_new = (height * height - cube - 2 * middle) % P
    return x_new, (height * (middle - x_new) - y1 * cube) % P, one[2] * other[2] * width % P
