"""A reverse proxy before a registry that does what bad networks and bad proxies do."""

import contextlib
import http.client
import re
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.registry_fixture.authority import Authority

_CHUNK = 16 << 10
ALWAYS = 1 << 30


@dataclass
class Fault:
    """What goes wrong with requests whose method and path match.

    Attributes:
        method: Regular expression.
        path: Regular expression, found anywhere.
        times: How often.
        status: Answer this, without asking the registry.
        headers: Of the answer; replaces those of the registry.
        body: Of an answer with a status.
        cut_request: Bytes of the request's body after which the connection is cut.
        keeps: What came before the cut is kept, and the registry says so when asked; Debian's does not.
        cut_answer: Bytes of the answer's body after which the connection is cut.
        stall_answer: … after which nothing comes any more.
        flip_request: Byte of the request's body that has a bit flipped.
        flip_answer: Byte of the answer's body that has a bit flipped.
        lie: Added to the length of the answer.
        loses_answer: The registry does it, and nobody hears.
        drips: The answer comes byte by byte, with so many seconds between.
        forgets_range: The registry does not get to see what part is wanted.
    """

    method: str = ".*"
    path: str = ""
    times: int = 1
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut_request: int | None = None
    keeps: bool = False
    cut_answer: int | None = None
    stall_answer: int | None = None
    flip_request: int | None = None
    flip_answer: int | None = None
    lie: int = 0
    loses_answer: bool = False
    drips: float = 0.0
    forgets_range: bool = False


@dataclass(frozen=True)
class Seen:
    """A request that came by.

    Attributes:
        method: HTTP's.
        path: With its query.
        headers: As sent, names in small letters.
        size: Bytes of its body.
    """

    method: str
    path: str
    headers: dict[str, str]
    size: int


class FaultyProxy:
    """Passes requests on to a registry on this machine.

    Attributes:
        host: With its port.
        faults: What goes wrong, the first that matches.
        seen: All requests.
    """

    def __init__(self, port: int, authority: Authority | None = None) -> None:
        self.to = port
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self.kept: dict[str, dict[str, str]] = {}  # headers that say where an upload is, by its old path
        self.is_over = threading.Event()
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if authority:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(authority.server_certificate, authority.server_key)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        threading.Thread(target=lambda: self._server.serve_forever(0.01), daemon=True).start()

    def fault(self, method: str, path: str) -> Fault:
        """Give what goes wrong with a request."""
        for fault in self.faults:
            if fault.times and re.fullmatch(fault.method, method) and re.search(fault.path, path):
                fault.times -= 1
                return fault
        return Fault()

    def requests(self, method: str, path: str = "") -> list[Seen]:
        """Give the requests of a kind."""
        return [one for one in self.seen if one.method == method and re.search(path, one.path)]

    def close(self) -> None:
        self.is_over.set()
        self._server.shutdown()
        self._server.server_close()


class _CutError(Exception):
    pass


class _Handler(BaseHTTPRequestHandler):
    owner: FaultyProxy
    protocol_version = "HTTP/1.1"

    def _do(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.owner.seen.append(Seen(self.command, self.path, headers, size))
        fault = self.owner.fault(self.command, self.path)
        try:
            if self.command == "GET" and self.path in self.owner.kept:
                self._say(Fault(status=204, headers=self.owner.kept.pop(self.path)))
            elif fault.status:
                self._say(fault)
            else:
                self._pass_on(fault, size)
        except (_CutError, OSError, http.client.HTTPException):
            self.close_connection = True
            self._hang_up()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = _do  # noqa: N815 - http.server's

    def _say(self, fault: Fault) -> None:
        """Answer at once; whatever body there is stays unread, as with real proxies."""
        self.send_response(fault.status)
        for name, value in {
            "Content-Length": str(len(fault.body)),
            "Connection": "close",
            **fault.headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(fault.body)
        self.close_connection = True

    def _pass_on(self, fault: Fault, size: int) -> None:
        server = http.client.HTTPConnection("127.0.0.1", self.owner.to, timeout=30)
        if fault.keeps and fault.cut_request is not None and fault.cut_request < size:
            self._keep(server, fault.cut_request)
        try:
            self._pass_request(server, fault, size)
            self._pass_answer(server.getresponse(), fault)
        finally:
            server.close()

    def _keep(self, server: http.client.HTTPConnection, size: int) -> None:
        """Pass on the beginning of a chunk as if it were all, and cut the connection."""
        headers = {
            "Host": self.owner.host,
            "Content-Type": self.headers["Content-Type"],
            "Content-Length": str(size),
        }
        server.request(self.command, self.path, self.rfile.read(size), headers)
        answer = server.getresponse()
        self.owner.kept[self.path] = {name: answer.headers[name] for name in ("Location", "Range")}
        server.close()
        raise _CutError

    def _pass_request(self, server: http.client.HTTPConnection, fault: Fault, size: int) -> None:
        server.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() != "connection" and not (fault.forgets_range and name.lower() == "range"):
                server.putheader(name, value)
        server.putheader("Connection", "close")
        server.endheaders()
        done = 0
        while done < size:
            chunk = self.rfile.read(min(_CHUNK, size - done))
            if not chunk:
                raise _CutError
            chunk = _flipped(chunk, done, fault.flip_request)
            if fault.cut_request is not None and done + len(chunk) > fault.cut_request:
                server.send(chunk[: fault.cut_request - done])
                time.sleep(0.05)  # the registry writes what it has
                raise _CutError
            server.send(chunk)
            done += len(chunk)

    def _pass_answer(self, answer: http.client.HTTPResponse, fault: Fault) -> None:
        if fault.loses_answer:
            answer.read()
            raise _CutError
        self.send_response_only(answer.status)
        given = {name: value for name, value in answer.getheaders() if name.lower() != "connection"}
        if fault.lie:
            given["Content-Length"] = str(int(given["Content-Length"]) + fault.lie)
        for name, value in {**given, **fault.headers}.items():
            self.send_header(name, value)
        if fault.drips:
            self._drip(fault.drips)
        self.end_headers()
        if self.command != "HEAD":
            self._pass_content(answer, fault)

    def _pass_content(self, answer: http.client.HTTPResponse, fault: Fault) -> None:
        done = 0
        while chunk := answer.read(_CHUNK):
            chunk = _flipped(chunk, done, fault.flip_answer)
            for limit in (fault.cut_answer, fault.stall_answer):
                if limit is not None and done + len(chunk) > limit:
                    self.wfile.write(chunk[: limit - done])
                    if limit == fault.stall_answer:
                        self.owner.is_over.wait(20)
                    raise _CutError
            self.wfile.write(chunk)
            done += len(chunk)

    def _drip(self, pause_s: float) -> None:
        while not self.owner.is_over.wait(pause_s):
            self.wfile.write(b"X")

    def _hang_up(self) -> None:
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.connection, socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        pass


def _flipped(chunk: bytes, begin: int, at: int | None) -> bytes:
    if at is None or not begin <= at < begin + len(chunk):
        return chunk
    changed = bytearray(chunk)
    changed[at - begin] ^= 1
    return bytes(changed)
