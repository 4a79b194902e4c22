"""A real sshd on loopback, and a wire to it that can be cut: what stands in for a board in the network."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

_SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class Sshd:
    """A server for the current user, with keys of its own; `settings` are further lines for sshd_config.

    Attributes:
        port: On 127.0.0.1.
        key: Private key that it lets in.
    """

    def __init__(self, folder: Path, *, settings: str = "") -> None:
        if _SSHD is None or shutil.which("ssh") is None:
            pytest.skip("no sshd: apt-get install openssh-server openssh-client")
        self.folder = folder
        self.port = free_port()
        self.key = folder / "user_key"
        for path in (self.key, folder / "host_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
        shutil.copy(folder / "user_key.pub", folder / "authorized_keys")
        config = folder / "sshd_config"
        config.write_text(
            f"""ListenAddress 127.0.0.1
Port {self.port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
UsePAM no
StrictModes no
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 100
{settings}
"""
        )
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # sshd's own, where it has none yet
        with (folder / "sshd.log").open("wb") as log:
            self._process = subprocess.Popen([_SSHD, "-D", "-e", "-f", str(config)], stderr=log)
        wait_for(lambda: answers(self.port), (folder / "sshd.log").read_text)

    def known_hosts(self, port: int | None = None) -> Path:
        """Write the file with its host key."""
        port = port or self.port
        path = self.folder / f"known_hosts_{port}"
        kind, key = (self.folder / "host_key.pub").read_text().split()[:2]
        path.write_text(f"[127.0.0.1]:{port} {kind} {key}\n")
        return path

    def sessions(self) -> list[int]:
        """Give the processes that serve a connection each."""
        return children(self._process.pid)

    def kill_sessions(self) -> None:
        """End all connections as a crash of the server would."""
        for pid in self.sessions():
            os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        self.kill_sessions()
        self._process.terminate()
        self._process.wait()


class Wire:
    """Passes bytes on between a port of its own and a server, until it is cut.

    Attributes:
        port: On 127.0.0.1.
        carried: Bytes to the server, over all connections.
        connections: Since the beginning.
    """

    def __init__(self, to: int) -> None:
        self._to = to
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.carried = 0
        self.returned = 0
        self.connections = 0
        self.cut_after: int | None = None  # bytes to the server; then the wire is cut once
        self.cut_after_returned: int | None = None  # the same for bytes from it
        self.dead = False  # nothing passes, and nobody is told
        self.refuses = False
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def cut(self) -> None:
        """Cut all connections that there are."""
        ends, self._ends = self._ends, []
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self) -> None:
        self.refuses = True
        self._listener.close()
        self.cut()

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refuses:
                client.close()
                continue
            self.connections += 1
            server = socket.create_connection(("127.0.0.1", self._to))
            self._ends += [client, server]
            for source, sink, up in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pass_on, args=(source, sink, up), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, up: bool) -> None:
        try:
            while chunk := source.recv(16 << 10):
                while self.dead:
                    time.sleep(0.01)
                sink.sendall(chunk)
                self._count(len(chunk), up)
        except OSError:
            pass
        finally:
            for end in (source, sink):
                end.close()

    def _count(self, size: int, up: bool) -> None:
        if up:
            self.carried += size
            if self.cut_after is not None and self.carried >= self.cut_after:
                self.cut_after = None
                self.cut()
        else:
            self.returned += size
            if self.cut_after_returned is not None and self.returned >= self.cut_after_returned:
                self.cut_after_returned = None
                self.cut()


def free_port() -> int:
    """Give a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def answers(port: int) -> bool:
    """Say whether somebody listens."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def children(pid: int) -> list[int]:
    """Give the processes that a process started and that are still there."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
            if parent == pid:
                found.append(int(entry.name))
    return found


def wait_for(holds, said=lambda: "", timeout_s: float = 30) -> None:
    """Wait until something holds."""
    end = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end, said()
        time.sleep(0.01)
