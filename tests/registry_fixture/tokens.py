"""A token server, as `docs/spec/auth/token.md` of distribution wants one; signs by openssl."""

import base64
import json
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.registry_fixture.authority import Authority

ISSUER, SERVICE = "test-issuer", "test-registry"
USER, PASSWORD, IDENTITY = "edge", "secret", "an-identity-token"


class TokenServer:
    """Gives everybody the right to pull, and user `edge` to push too, but nobody any to `closed/`.

    Attributes:
        asked: Scopes of each token, in order, and who asked.
        life_s: What tokens say of how long they last.
        fails: How many requests are to be answered with 503.
    """

    def __init__(self, authority: Authority, *, is_encrypted: bool = True) -> None:
        self._authority = authority
        self._certificate = authority.folder / "tokens.pem"
        self._key = authority.folder / "tokens.key"
        if not self._key.exists():
            # distribution 2.8 takes RSA keys in x5c
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(self._key),
                 "-out", str(self._certificate), "-days", "2", "-subj", "/CN=tokens"],
                check=True, capture_output=True,
            )  # fmt: skip
        self.asked: list[tuple[list[str], str]] = []
        self.life_s = 300
        self.fails = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        if is_encrypted:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(authority.server_certificate, authority.server_key)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        scheme = "https" if is_encrypted else "http"
        self.realm = f"{scheme}://127.0.0.1:{self._server.server_address[1]}/token"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def settings(self) -> dict[str, str]:
        """Give what a registry's configuration says of it."""
        return {
            "realm": self.realm,
            "service": SERVICE,
            "issuer": ISSUER,
            "rootcertbundle": str(self._certificate),
        }

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, query: dict[str, list[str]], credential: str) -> tuple[int, dict[str, Any]]:
        """Give a token for what may be had of what is asked for."""
        if self.fails:
            self.fails -= 1
            return 503, {}
        basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        is_known = credential == f"Basic {basic}" or query.get("refresh_token") == [IDENTITY]
        if credential and not is_known:
            return 401, {"errors": [{"code": "UNAUTHORIZED", "message": "wrong password"}]}
        scopes = [one for scope in query.get("scope", []) for one in scope.split()]
        self.asked.append((scopes, USER if is_known else ""))
        access = [given for scope in scopes if (given := _grant(scope, is_known))]
        return 200, {"token": self._sign(access), "expires_in": self.life_s}

    def _sign(self, access: list[dict[str, Any]]) -> str:
        der = "".join(self._certificate.read_text().splitlines()[1:-1])
        now = int(time.time())
        claims = {
            "iss": ISSUER, "sub": USER, "aud": SERVICE, "exp": now + 300, "nbf": now - 10, "iat": now,
            "jti": str(len(self.asked)), "access": access,
        }  # fmt: skip
        header = {"typ": "JWT", "alg": "RS256", "x5c": [der]}
        signed = f"{_encode(json.dumps(header).encode())}.{_encode(json.dumps(claims).encode())}"
        command = ["openssl", "dgst", "-sha256", "-sign", str(self._key)]
        done = subprocess.run(command, input=signed.encode(), capture_output=True, check=True)
        return f"{signed}.{_encode(done.stdout)}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        tokens = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._reply(parse_qs(urlsplit(self.path).query))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                self._reply(parse_qs(body))

            def _reply(self, query: dict[str, list[str]]) -> None:
                status, table = tokens.answer(query, self.headers.get("Authorization", ""))
                content = json.dumps(table).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def _grant(scope: str, is_known: bool) -> dict[str, Any] | None:
    kind, name, actions = scope.split(":")
    if name.startswith("closed/"):
        return None
    allowed = {"pull", "push"} if is_known else {"pull"}
    return {"type": kind, "name": name, "actions": sorted(allowed & set(actions.split(",")))}


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
