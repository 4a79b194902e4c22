"""A real registry on loopback: Debian's docker-registry (CNCF distribution 2.8)."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.board_fixture.sshd import answers, free_port, wait_for
from tests.registry_fixture.authority import Authority
from tests.registry_fixture.tokens import TokenServer

PROGRAM = shutil.which("docker-registry")
USER, PASSWORD = "edge", "secret"
# htpasswd -Bbn edge secret
_HTPASSWD = "edge:$2y$05$ELHb4CLgq8vvrDEhM1WMBOuq9OBmAlH5YT7lUsiuPBKnm346Dq12m\n"


class Registry:
    """A server of its own.

    Attributes:
        host: With its port.
        port: On 127.0.0.1.
        storage: Folder with its blobs.
    """

    def __init__(
        self,
        folder: Path,
        *,
        authority: Authority | None = None,
        has_passwords: bool = False,
        tokens: TokenServer | None = None,
    ) -> None:
        if PROGRAM is None:
            pytest.skip("no registry: apt-get install docker-registry")
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        # In memory where there is room: it syncs every file, and disks of CI machines are slow.
        memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
        self._storage = tempfile.TemporaryDirectory(dir=memory, prefix="edgebound-registry-")
        self.storage = Path(self._storage.name)
        self.config = folder / "config.yml"
        self.log = folder / "registry.log"
        http: dict[str, object] = {"addr": self.host, "secret": "of a test", "relativeurls": False}
        settings: dict[str, object] = {
            "version": "0.1",
            "log": {"level": "info", "accesslog": {"disabled": False}},
            "storage": {
                "filesystem": {"rootdirectory": str(self.storage)},
                "delete": {"enabled": True},
                "maintenance": {"uploadpurging": {"enabled": False}},
            },
            "http": http,
        }
        if authority:
            http["tls"] = {"certificate": str(authority.server_certificate), "key": str(authority.server_key)}
        if has_passwords:
            (folder / "htpasswd").write_text(_HTPASSWD)
            settings["auth"] = {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}
        if tokens:
            settings["auth"] = {"token": tokens.settings()}
        self.config.write_text(json.dumps(settings))  # JSON is YAML
        with self.log.open("wb") as log:
            self._process = subprocess.Popen([PROGRAM, "serve", str(self.config)], stdout=log, stderr=log)
        wait_for(lambda: answers(self.port), self.log.read_text)

    def blob(self, digest: str) -> Path:
        """Give the file of a blob."""
        hexed = digest.partition(":")[2]
        return self.storage / "docker/registry/v2/blobs/sha256" / hexed[:2] / hexed / "data"

    def collect(self) -> None:
        """Let it collect what nothing leads to, manifests without a tag too."""
        command = [str(PROGRAM), "garbage-collect", "--delete-untagged", str(self.config)]
        subprocess.run(command, check=True, capture_output=True)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._storage.cleanup()
