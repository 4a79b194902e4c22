"""Session: requests to one registry, with credentials, redirects, and what a status means."""

import contextlib
from dataclasses import replace
from typing import Dict, Iterator, NoReturn, Optional, Tuple
from urllib.parse import urljoin, urlsplit

from targets.errors import NotFoundError, RegistryError
from targets.registry.access import Access
from targets.registry.answer import Answer
from targets.registry.auth import Authenticator, Scopes
from targets.registry.credentials import find_credential
from targets.registry.patience import TransientError, patiently
from targets.registry.proxies import is_loopback
from targets.registry.wire import Request, Wire

_MOST_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
_DOCKER_HUB = {"docker.io": "registry-1.docker.io"}


class Session:
    """Requests to one repository of a registry. For one thread at a time.

    Attributes:
        access: What one brings along.
        name: Of the repository.
    """

    def __init__(self, host: str, name: str, access: Access) -> None:
        self.access = access
        self.name = name
        self._host = host
        self._wire = Wire(access)
        self._found_base = ""
        self._found_authenticator: Optional[Authenticator] = None

    def close(self) -> None:
        """Close all connections."""
        self._wire.close()

    def scopes(self, actions: str, *others: str) -> Scopes:
        """Say what a request is for: actions here, as `pull,push`, and pulling from other repositories."""
        here = f"repository:{self.name}:{actions}"
        return frozenset((here, *(f"repository:{other}:pull" for other in others)))

    def url(self, path: str) -> str:
        """Give the URL of something in the repository."""
        return f"{self._base()}/v2/{self.name}/{path}"

    def absolute(self, base: str, location: str) -> str:
        """Give the URL that a header `Location` means.

        Raises:
            RegistryError: It leads out of the web, or from TLS into the clear.
        """
        url = urljoin(base, location)
        scheme, before = urlsplit(url).scheme, urlsplit(base).scheme
        if (
            scheme not in ("http", "https")
            or not urlsplit(url).hostname
            or (before, scheme) == ("https", "http")
        ):
            raise RegistryError(
                f"{self._host} sends us to {location[:200]!r}, which is not safe.",
                hint="A registry that speaks TLS may only lead to places that speak it too.",
            )
        return url

    @contextlib.contextmanager
    def ask(self, request: Request, scopes: Scopes, accept: Tuple[int, ...]) -> Iterator[Answer]:
        """Ask; answers with another status are errors.

        Args:
            request: What; credentials are added where they belong.
            scopes: What it is for.
            accept: Statuses that the caller knows what to do with.

        Raises:
            NotFoundError: 404.
            TransientError: It may work the next time.
            RegistryError: It will not.
        """
        with contextlib.ExitStack() as stack:
            answer = stack.enter_context(self._authorized(request, scopes))
            url = request.url
            for _ in range(_MOST_REDIRECTS):
                if answer.status not in _REDIRECTS or request.method not in ("GET", "HEAD"):
                    break
                url = self.absolute(url, answer.header("Location"))
                stack.close()  # of a redirect nobody wants to read more
                answer = stack.enter_context(self._authorized(replace(request, url=url), scopes))
            if answer.status not in accept:
                self._refuse(answer, url)
            yield answer

    @contextlib.contextmanager
    def _authorized(self, request: Request, scopes: Scopes) -> Iterator[Answer]:
        """Ask with credentials, as far as the registry wants them; no other server gets to see them."""
        if _origin(request.url) != _origin(self._base()):
            with self._wire.ask(request) as answer:
                yield answer
            return
        with contextlib.ExitStack() as stack:
            answer = stack.enter_context(self._wire.ask(self._signed(request, scopes)))
            if answer.status == 401:
                said = answer.header("WWW-Authenticate")
                if self._authenticator().learn(said, scopes):
                    answer.said()
                    stack.close()
                    answer = stack.enter_context(self._wire.ask(self._signed(request, scopes)))
            yield answer

    def _signed(self, request: Request, scopes: Scopes) -> Request:
        known = self._found_authenticator
        headers: Dict[str, str] = known.headers(scopes) if known else {}
        return replace(request, headers={**request.headers, **headers})

    def _authenticator(self) -> Authenticator:
        """Look for credentials when they are first asked for: a helper may bother a person."""
        if self._found_authenticator is None:
            credential = find_credential(self._host, self.name, self.access.environment)
            self._found_authenticator = Authenticator(self._wire, self._base(), credential)
        return self._found_authenticator

    def _base(self) -> str:
        if not self._found_base:
            self._found_base = patiently(self.access.retry, self._find_base)
        return self._found_base

    def _find_base(self) -> str:
        host = _DOCKER_HUB.get(self._host, self._host)
        is_plain = self._may_be_plain() and not self._wire.speaks_tls(f"https://{host}")
        return f"http://{host}" if is_plain else f"https://{host}"

    def _may_be_plain(self) -> bool:
        return self._host in self.access.plain_http or is_loopback(urlsplit(f"//{self._host}").hostname or "")

    def _refuse(self, answer: Answer, url: str) -> NoReturn:
        status, where = answer.status, f"{self._host}/{self.name}"
        said = f"HTTP {status} {answer.said()}".strip()
        host = urlsplit(url).netloc
        if status == 404:
            raise NotFoundError(
                f"{where} does not have it: {said}",
                hint="Is the name right, is it pushed, and may this login see it?",
            )
        if status in _TRANSIENT:
            raise TransientError(f"{host} cannot serve now: {said}", wait_s=answer.wait_s)
        if status in (401, 403):
            known = self._found_authenticator is not None and self._found_authenticator.is_known
            raise RegistryError(
                f"{host} does not allow this for {where}: {said}",
                hint="The login has not the right to; is it the right one?"
                if known
                else f"It wants a login, and there is none here: docker login {self._host}",
            )
        if status == 413:
            raise RegistryError(
                f"{host} refuses so large a file: {said}",
                hint="A proxy before the registry limits it: nginx by client_max_body_size.",
            )
        raise RegistryError(f"{host} refuses: {said}", hint="Is this an OCI registry?")


def _origin(url: str) -> Tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.rpartition("@")[2].lower()
