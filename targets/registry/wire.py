"""Wire: one HTTP request and its answer, over connections that are kept; nothing here waits for ever."""

import contextlib
import http.client
import re
import select
import socket
import ssl
import threading
from base64 import b64encode
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Dict, Iterator, Mapping, NoReturn, Optional, Tuple
from urllib.parse import SplitResult, unquote, urlsplit

from targets.errors import RegistryError
from targets.registry.access import Access
from targets.registry.answer import Answer
from targets.registry.body import Body
from targets.registry.patience import TransientError
from targets.registry.proxies import find_proxy

_AGENT = "edgebound"
_REFUSED_BY_PROXY = re.compile(r"Tunnel connection failed: (\d{3})")
_NOT_TLS = (
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "UNKNOWN_PROTOCOL",
    "RECORD_LAYER_FAILURE",
)  # OpenSSL's names
_LAST_WORD_S = 1.0  # how long to listen for why a server has hung up


class NotTlsError(RegistryError):
    """The server does not speak TLS."""


@dataclass(frozen=True)
class Request:
    """What is asked of a server.

    Attributes:
        method: As `GET`.
        url: Absolute.
        headers: Beside those that every request has.
        body: What is sent along.
        answer_s: Longest wait for the answer to begin; None: as everything else.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Optional[Body] = None
    answer_s: Optional[float] = None


class Wire:
    """Connections to servers, one each, kept from one request to the next. For one thread at a time."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._idle: Dict[Tuple[str, str, int], HTTPConnection] = {}
        self._context: Optional[ssl.SSLContext] = None

    @contextlib.contextmanager
    def ask(self, request: Request) -> Iterator[Answer]:
        """Ask, and give the answer while it lasts.

        Raises:
            TransientError: The connection could not be made or was cut.
            NotTlsError: There is a server, but it does not speak TLS.
            RegistryError: The server cannot be trusted, or there is none of that name.
        """
        url = urlsplit(request.url)
        key = _origin(url)
        connection = self._idle.pop(key, None)
        if connection and _is_stale(connection.sock):
            connection.close()
            connection = None
        connection = connection or self._connect(url)
        response = self._exchange(connection, request, url)
        answer = Answer(response, self._access.idle_s, url.netloc)
        try:
            yield answer
        finally:
            is_read = response.isclosed() or response.length == 0
            response.close()
            ends = response.will_close or request.headers.get("Connection") == "close"
            if is_read and not ends:
                self._idle[key] = connection
            else:
                connection.close()

    def speaks_tls(self, url: str) -> bool:
        """Say whether a server speaks TLS. It is told nothing, and not trusted for it.

        Raises:
            TransientError: It cannot be reached.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            self._connect(urlsplit(url), context).close()
        except NotTlsError:
            return False
        return True

    def close(self) -> None:
        """Close all connections."""
        while self._idle:
            self._idle.popitem()[1].close()

    def _exchange(self, connection: HTTPConnection, request: Request, url: SplitResult) -> HTTPResponse:
        answer_s = request.answer_s or self._access.idle_s
        with contextlib.ExitStack() as failed:
            failed.callback(connection.close)
            try:
                self._send(connection, request, url)
                sock = connection.sock
                sock.settimeout(answer_s)
                with _deadline(sock, answer_s):
                    response = connection.getresponse()
                sock.settimeout(self._access.idle_s)
            except (OSError, HTTPException) as exc:
                self._explain(exc, url)
            failed.pop_all()
        return response

    def _send(self, connection: HTTPConnection, request: Request, url: SplitResult) -> None:
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        proxy = find_proxy(url, self._access.environment)
        through = proxy if url.scheme == "http" else None  # HTTPS has a tunnel instead
        connection.putrequest(
            request.method, f"http://{url.netloc}{path}" if through else path, skip_accept_encoding=True
        )
        headers = {
            "User-Agent": _AGENT,
            "Accept-Encoding": "identity",  # digests and ranges are those of the bytes themselves
            **(_proxy_credentials(through) if through else {}),
            **request.headers,
        }
        if request.body or request.method in ("POST", "PUT", "PATCH"):
            headers["Content-Length"] = str(request.body.size if request.body else 0)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        if request.body:
            _send_body(connection, request.body)

    def _connect(self, url: SplitResult, context: Optional[ssl.SSLContext] = None) -> HTTPConnection:
        _, host, port = _origin(url)
        proxy = find_proxy(url, self._access.environment)
        place, place_port = (proxy.hostname or "", proxy.port or 80) if proxy else (host, port)
        connect_s = self._access.connect_s
        if url.scheme == "http":
            connection = HTTPConnection(place, place_port, timeout=connect_s)
        else:
            connection = HTTPSConnection(
                place, place_port, timeout=connect_s, context=context or self._trust()
            )
            if proxy:
                connection.set_tunnel(host, port, headers=_proxy_credentials(proxy))
        try:
            connection.connect()
            connection.sock.settimeout(self._access.idle_s)
        except (OSError, HTTPException) as exc:
            connection.close()
            self._explain(exc, url)
        return connection

    def _trust(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = ssl.create_default_context()
            if self._access.ca:
                try:
                    self._context.load_verify_locations(cafile=str(self._access.ca))
                except OSError as exc:  # ssl.SSLError is one
                    raise RegistryError(
                        f"{self._access.ca} cannot be read as certificates: {exc}.",
                        hint="Name a PEM file that holds the certificate of the authority.",
                    ) from exc
        return self._context

    def _explain(self, exc: Exception, url: SplitResult) -> NoReturn:
        """Raise what an error of the network means."""
        if isinstance(exc, ssl.SSLCertVerificationError):
            raise RegistryError(
                f"The certificate of {url.netloc} is not trusted: {exc.verify_message}.",
                hint="If it is signed by an authority of your own, name its certificate with --ca.",
            ) from exc
        if isinstance(exc, ssl.SSLError) and exc.reason in _NOT_TLS:
            raise NotTlsError(
                f"{url.netloc} does not speak TLS.",
                hint="If it may be spoken to in the clear, say so with --plain-http.",
            ) from exc
        if isinstance(exc, socket.gaierror) and exc.errno == socket.EAI_NONAME:
            raise RegistryError(
                f"There is no host {url.hostname}.", hint="Is the name right, and the network's DNS at hand?"
            ) from exc
        refused = _REFUSED_BY_PROXY.search(str(exc))
        if refused and refused.group(1) in ("403", "407"):
            raise RegistryError(
                f"The proxy refuses to connect to {url.netloc}: HTTP {refused.group(1)}.",
                hint="Write its user and password into HTTPS_PROXY, or the host into NO_PROXY.",
            ) from exc
        raise TransientError(f"{url.netloc} cannot be reached: {_said(exc)}.") from exc


def _origin(url: SplitResult) -> Tuple[str, str, int]:
    port = url.port or {"http": 80, "https": 443}[url.scheme]
    return url.scheme, url.hostname or "", port


def _is_stale(sock: socket.socket) -> bool:
    """Say whether the other side has closed a kept connection, or says what nobody asked for."""
    return bool(select.select([sock], [], [], 0)[0])


def _proxy_credentials(proxy: SplitResult) -> Dict[str, str]:
    if not proxy.username:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(pair.encode()).decode()}"}


def _send_body(connection: HTTPConnection, body: Body) -> None:
    for chunk in body.chunks():
        try:
            connection.send(chunk)
        except ConnectionError:
            # It has hung up, perhaps after saying why; if not, reading fails with a better error than this.
            connection.sock.settimeout(_LAST_WORD_S)
            return


@contextlib.contextmanager
def _deadline(sock: socket.socket, seconds: float) -> Iterator[None]:
    """Cut a connection whose answer comes byte by byte: a socket's own timeout begins anew with each."""
    # The plain socket's method: that of a TLS socket is not for another thread to call.
    timer = threading.Timer(seconds, lambda: socket.socket.shutdown(sock, socket.SHUT_RDWR))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _said(exc: Exception) -> str:
    if isinstance(exc, http.client.RemoteDisconnected):
        return "it closed the connection without an answer"
    if isinstance(exc, socket.timeout):
        return "it does not answer"
    return str(exc) or type(exc).__name__
