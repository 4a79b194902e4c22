"""Real registries on loopback, and files to carry."""

import base64
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from targets.registry import open_repository
from targets.registry.access import Access
from targets.registry.content import Descriptor, describe
from targets.registry.patience import Retry
from targets.registry.reference import parse_reference
from targets.registry.repository import Repository
from tests.registry_fixture.authority import Authority
from tests.registry_fixture.faults import FaultyProxy
from tests.registry_fixture.server import PASSWORD, USER, Registry
from tests.registry_fixture.tokens import TokenServer

HASTE = Retry(attempts=4, first_s=0.01, most_s=0.02)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Give a registry without TLS and without passwords."""
    server = Registry(tmp_path_factory.mktemp("plain"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Registry]:
    """Give a registry with TLS and a password."""
    server = Registry(tmp_path_factory.mktemp("guarded"), authority=authority, has_passwords=True)
    yield server
    server.close()


@pytest.fixture(scope="session")
def token_server(authority: Authority) -> Iterator[TokenServer]:
    server = TokenServer(authority)
    yield server
    server.close()


@pytest.fixture(scope="session")
def tokened(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority, token_server: TokenServer
) -> Iterator[Registry]:
    """Give a registry with TLS that wants tokens."""
    server = Registry(tmp_path_factory.mktemp("tokened"), authority=authority, tokens=token_server)
    yield server
    server.close()


@pytest.fixture
def proxy(plain: Registry) -> Iterator[FaultyProxy]:
    server = FaultyProxy(plain.port)
    yield server
    server.close()


@dataclass(frozen=True)
class Desk:
    """Someone who works with registries.

    Attributes:
        home: Where their `.docker/config.json` is.
        access: What they bring along.
        open: Opens what a reference names, until the test ends.
    """

    home: Path
    access: Access
    open: Callable[..., Repository]

    def log_in(self, host: str, user: str = USER, password: str = PASSWORD, **entry: str) -> None:
        """Do what `docker login` does."""
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        path = self.home / ".docker" / "config.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"auths": {host: entry or {"auth": pair}}}))


@pytest.fixture
def desk(tmp_path: Path, authority: Authority) -> Iterator[Desk]:
    home = tmp_path / "home"
    home.mkdir()
    access = Access(
        {"HOME": str(home), "PATH": os.environ["PATH"]}, ca=authority.certificate, retry=HASTE, idle_s=5.0
    )
    with ExitStack() as stack:

        def opened(text: str, **changes: object) -> Repository:
            changed = replace(access, **changes)  # type: ignore[arg-type]
            return stack.enter_context(open_repository(parse_reference(text), changed))

        yield Desk(home, access, opened)


@pytest.fixture
def big(tmp_path: Path) -> tuple[Path, Descriptor]:
    """Give a file of 5 MB, never the same twice."""
    path = tmp_path / "big.bin"
    content = os.urandom(5_000_000)
    path.write_bytes(content)
    return path, describe(content, "application/octet-stream")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of 12 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a tmpfs needs root")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def small(text: str = "") -> tuple[bytes, Descriptor]:
    """Give a few bytes, never the same twice unless they are given."""
    content = text.encode() or os.urandom(1000)
    return content, describe(content, "application/octet-stream")


def skopeo(*arguments: "str | Path") -> subprocess.CompletedProcess[str]:
    """Run skopeo."""
    command = ["skopeo", "--insecure-policy", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)
