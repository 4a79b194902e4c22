"""Keys, and signatures of a few files by them."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.signing import sign_files
from pipeline.signing.keys import KeySigner, load_signer, new_key
from tests.targets.registry.conftest import authority, desk, plain  # noqa: F401  # fixtures: a real registry

FILES = {
    "release.json": b'{"name": "steel"}',
    "engine/model.xml": b"<net/>",
    "engine/model.bin": bytes(range(256)),
    "engine-notes": b"sorted after the folder by parts, before it by characters",
}


def digests(files: dict[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def lay(folder: Path, files: dict[str, bytes]) -> dict[str, Path]:
    """Write files to a folder; give their paths by name."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return {name: folder / name for name in files}


@pytest.fixture(scope="session")
def signers(tmp_path_factory: pytest.TempPathFactory) -> tuple[KeySigner, KeySigner]:
    """Give two who sign; nobody trusts the second until a test says so."""
    folder = tmp_path_factory.mktemp("keys")
    pairs = [new_key(folder, name) for name in ("ours", "stranger")]
    first, second = (load_signer(pair.private.read_bytes(), str(pair.private)) for pair in pairs)
    return first, second


@pytest.fixture(scope="session")
def bundle(signers: tuple[KeySigner, KeySigner]) -> bytes:
    return sign_files("steel", digests(FILES), signers[0])


@pytest.fixture
def public_file(tmp_path: Path) -> Callable[[KeySigner], Path]:
    def written(signer: KeySigner) -> Path:
        path = tmp_path / f"{signer.key_id[:8]}.pub.pem"
        path.write_text(signer.public.pem)
        return path

    return written
