"""Authentication: what a registry wants to see, and how it is had.

Specifications: RFC 7235 (challenges), RFC 7617 (basic), distribution `docs/spec/auth/token.md`, `oauth.md`.
"""

import re
import time
from base64 import b64encode
from dataclasses import dataclass
from typing import Dict, FrozenSet, List, Mapping, Optional, Tuple
from urllib.parse import urlencode, urlsplit

from targets.errors import RegistryError
from targets.registry.answer import Answer
from targets.registry.body import whole
from targets.registry.content import load_json
from targets.registry.credentials import Credential
from targets.registry.patience import TransientError
from targets.registry.wire import Request, Wire

Scopes = FrozenSet[str]
"""What a token is to allow, as `repository:name:pull,push`."""

_CLIENT = "edgebound"
_TOKEN_LIMIT = 256 << 10  # bytes of a token server's answer
_DEFAULT_LIFE_S = (
    60  # token.md: "For compatibility with older clients, a token should never be returned with less"
)
_SAFE_LIFE = 0.8  # of a token's life; a request under way is not to outlive it
_PART = re.compile(r"""([A-Za-z0-9!#$%&'*+.^_`|~-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+)))?""")


@dataclass(frozen=True)
class Challenge:
    """What a server wants to see.

    Attributes:
        scheme: `basic`, `bearer` or one that is not known here.
        realm: URL of the token server.
        service: What the token server calls the registry.
        scopes: What the token is to allow.
    """

    scheme: str
    realm: str = ""
    service: str = ""
    scopes: Scopes = frozenset()


class Authenticator:
    """Gives the header that says who one is, for one registry."""

    def __init__(self, wire: Wire, base: str, credential: Credential) -> None:
        self._wire = wire
        self._base = base
        self._credential = credential
        self._challenge: Optional[Challenge] = None
        self._tokens: Dict[Scopes, Tuple[str, float]] = {}

    def headers(self, scopes: Scopes) -> Dict[str, str]:
        """Give what is known to be wanted; nothing before the first challenge."""
        if self._credential.registry_token:
            return {"Authorization": f"Bearer {self._credential.registry_token}"}
        if self._challenge is None:
            return {}
        if self._challenge.scheme == "basic":
            return self._basic()
        return {"Authorization": f"Bearer {self._token(scopes)}"}

    def learn(self, said: str, scopes: Scopes) -> bool:
        """Take in why a request was refused.

        Args:
            said: The header `WWW-Authenticate`.
            scopes: What the request was for.

        Returns:
            Whether there is something to try that was not tried yet.

        Raises:
            RegistryError: The server wants what cannot be given, or safely given.
        """
        known = {one.scheme: one for one in parse_challenges(said)}
        challenge = known.get("bearer") or known.get("basic")
        if challenge is None:
            return False
        if challenge.scheme == "basic" and not self._credential.user:
            return False
        if challenge.scheme == "bearer" and not challenge.realm.startswith(
            self._base.partition("/")[0] + "//"
        ):
            raise RegistryError(
                f"{self._base} sends us to {challenge.realm} for a token, which is not safe.",
                hint="The token server of a registry that speaks TLS has to speak it too.",
            )
        self._challenge = challenge
        self._tokens.pop(scopes, None)
        return True

    @property
    def is_known(self) -> bool:
        """Whether there is a credential."""
        return self._credential != Credential()

    def _basic(self) -> Dict[str, str]:
        pair = f"{self._credential.user}:{self._credential.password}".encode()
        return {"Authorization": f"Basic {b64encode(pair).decode()}"}

    def _token(self, scopes: Scopes) -> str:
        token, until = self._tokens.get(scopes, ("", 0.0))
        if time.monotonic() >= until:
            token, life_s = self._fetch_token(scopes)
            self._tokens[scopes] = token, time.monotonic() + _SAFE_LIFE * life_s
        return token

    def _fetch_token(self, scopes: Scopes) -> Tuple[str, float]:
        assert self._challenge is not None
        # What the server names is added: some call a repository otherwise than its path says.
        wanted = sorted(scopes or self._challenge.scopes)
        with self._wire.ask(self._token_request(self._challenge, wanted)) as answer:
            table = self._read_token(answer)
        token = table.get("token") or table.get("access_token")
        life_s = table.get("expires_in") or _DEFAULT_LIFE_S
        if not isinstance(token, str) or not isinstance(life_s, int):
            raise RegistryError(
                f"{self._challenge.realm} gives no token.", hint="Is this registry set up rightly?"
            )
        return token, float(life_s)

    def _token_request(self, challenge: Challenge, scopes: List[str]) -> Request:
        if self._credential.identity_token:
            form = {
                "grant_type": "refresh_token",
                "service": challenge.service,
                "client_id": _CLIENT,
                "scope": " ".join(scopes),
                "refresh_token": self._credential.identity_token,
            }
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            return Request("POST", challenge.realm, headers, whole(urlencode(form).encode()))
        query = urlencode([("service", challenge.service), *(("scope", scope) for scope in scopes)])
        joint = "&" if urlsplit(challenge.realm).query else "?"
        headers = self._basic() if self._credential.user else {}
        return Request("GET", f"{challenge.realm}{joint}{query}", headers)

    def _read_token(self, answer: Answer) -> Mapping[str, object]:
        if answer.status >= 500 or answer.status in (408, 429):
            raise TransientError(
                f"The token server of {self._base} is not well: HTTP {answer.status}.", wait_s=answer.wait_s
            )
        if answer.status != 200:
            who = f"user {self._credential.user!r}" if self._credential.user else "this login"
            raise RegistryError(
                f"The token server of {self._base} refuses {who if self.is_known else 'strangers'}: "
                f"HTTP {answer.status} {answer.said()}",
                hint=f"Log in anew: docker login {urlsplit(self._base).netloc}",
            )
        try:
            return load_json(answer.read(_TOKEN_LIMIT))
        except ValueError as exc:
            raise RegistryError(
                f"The token server of {self._base} gives no JSON.", hint="Is it one?"
            ) from exc


def parse_challenges(said: str) -> List[Challenge]:
    """Read the header `WWW-Authenticate`, which may hold several challenges."""
    found: List[Tuple[str, Dict[str, str]]] = []
    for name, quoted, plain in _PART.findall(said):
        if quoted or plain:
            if found:
                found[-1][1][name.lower()] = re.sub(r"\\(.)", r"\1", quoted) or plain
        else:
            found.append((name.lower(), {}))
    return [
        Challenge(scheme, of.get("realm", ""), of.get("service", ""), frozenset(of.get("scope", "").split()))
        for scheme, of in found
    ]
