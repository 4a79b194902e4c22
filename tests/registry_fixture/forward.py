"""A forward proxy, as companies have them: the only one that can resolve names."""

import base64
import select
import socket
from contextlib import closing, suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit


class ForwardProxy:
    """Leads every name to this machine.

    Attributes:
        url: For HTTP_PROXY and HTTPS_PROXY.
        asked: What for: `CONNECT host:port`, or method and URL.
    """

    def __init__(self, user: str = "", password: str = "") -> None:
        self.asked: list[str] = []
        self.wanted = f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}" if user else ""
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        Thread(target=lambda: self._server.serve_forever(0.01), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    owner: ForwardProxy
    protocol_version = "HTTP/1.1"

    def do_CONNECT(self) -> None:
        if not self._may():
            return
        with socket.create_connection(("127.0.0.1", int(self.path.rpartition(":")[2]))) as server:
            self.send_response_only(200)
            self.end_headers()
            _carry({self.connection: server, server: self.connection})
        self.close_connection = True

    def _do(self) -> None:
        if not self._may():
            return
        url = urlsplit(self.path)
        with closing(HTTPConnection("127.0.0.1", url.port or 80)) as server:
            self._pass_on(server, f"{url.path}?{url.query}")

    def _pass_on(self, server: HTTPConnection, path: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name: value for name, value in self.headers.items() if not name.startswith("Proxy")}
        server.request(self.command, path, body, headers)
        answer = server.getresponse()
        content = answer.read()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = _do  # noqa: N815 - http.server's

    def _may(self) -> bool:
        self.owner.asked.append(f"{self.command} {self.path}")
        if self.owner.wanted and self.headers.get("Proxy-Authorization") != self.owner.wanted:
            self.send_response_only(407)
            self.send_header("Content-Length", "0")
            self.end_headers()
            self.close_connection = True
            return False
        return True

    def log_message(self, *_: object) -> None:
        pass


def _carry(ends: dict[socket.socket, socket.socket]) -> None:
    with suppress(OSError):
        while True:
            for end in select.select(list(ends), [], [])[0]:
                chunk = end.recv(64 << 10)
                if not chunk:
                    return
                ends[end].sendall(chunk)
