"""Credentials: what `docker login` and `podman login` have left, in their files or their helpers.

Format: docker/cli `cli/config/configfile`, docker-credential-helpers `credentials/credentials.go`, and
containers-auth.json(5) for the order of files and keys with a path.
"""

import binascii
import json
import re
import subprocess
from base64 import b64decode
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping, Optional, Tuple

from targets.errors import RegistryError

_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HELPER_S = 60  # a helper may ask a person to unlock a key ring
_TOKEN_USER = "<token>"  # noqa: S105 - how helpers say that the secret is an identity token
_NOT_FOUND = "credentials not found"  # how helpers say that there are none


@dataclass(frozen=True)
class Credential:
    """How to say who one is; all empty for nobody.

    Attributes:
        user: Name.
        password: Its secret.
        identity_token: Exchanged for access tokens, in place of a password.
        registry_token: An access token itself.
    """

    user: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""

    def __repr__(self) -> str:
        """Show no secret, wherever this is printed."""
        return f"Credential(user={self.user!r})"


def find_credential(host: str, name: str, environment: Mapping[str, str]) -> Credential:
    """Find the credential for a repository.

    Args:
        host: Of the registry, with its port.
        name: Of the repository.
        environment: The process's.

    Raises:
        RegistryError: A file or a helper is broken.
    """
    for path in _files(environment):
        found = _find_in(path, host, name, environment) if path.is_file() else None
        if found:
            return found
    return Credential()


def _files(environment: Mapping[str, str]) -> Iterator[Path]:
    """Give the files to look into, first those that a person has named."""
    if environment.get("REGISTRY_AUTH_FILE"):
        yield Path(environment["REGISTRY_AUTH_FILE"])
    if environment.get("DOCKER_CONFIG"):
        yield Path(environment["DOCKER_CONFIG"]) / "config.json"
    if environment.get("XDG_RUNTIME_DIR"):
        yield Path(environment["XDG_RUNTIME_DIR"]) / "containers" / "auth.json"
    if environment.get("HOME"):
        home = Path(environment["HOME"])
        yield home / ".config" / "containers" / "auth.json"
        yield home / ".docker" / "config.json"


def _find_in(path: Path, host: str, name: str, environment: Mapping[str, str]) -> Optional[Credential]:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        helper = table.get("credHelpers", {}).get(host) or table.get("credsStore")
        if helper:
            found = _ask_helper(helper, host, environment)
            if found:
                return found
        auths: Dict[str, Dict[str, Any]] = {
            _bare(key): entry for key, entry in table.get("auths", {}).items()
        }
        entry = next((auths[key] for key in _keys(host, name) if auths.get(key)), None)
        return _read(entry) if entry else None
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as exc:
        raise RegistryError(
            # The kind of error alone: its text may quote a secret.
            f"{path} cannot be read as a file of credentials: {type(exc).__name__}.",
            hint=f"Write it again with `docker login {host}`.",
        ) from exc


def _keys(host: str, name: str) -> Iterator[str]:
    """Give the keys under which a credential may lie, that for most of the path first."""
    parts = [host, *name.split("/")]
    for end in range(len(parts), 0, -1):
        yield "/".join(parts[:end])
    if host == "docker.io":
        yield "index.docker.io"


def _bare(key: str) -> str:
    """Give a key without what old clients wrote around the host."""
    return re.sub(r"^https?://|/v[12]/?$|/$", "", re.sub(r"^https?://", "", key))


def _read(entry: Mapping[str, Any]) -> Optional[Credential]:
    user, password = _pair(entry)
    found = Credential(
        user=str(user),
        password=str(password),
        identity_token=str(entry.get("identitytoken", "")),
        registry_token=str(entry.get("registrytoken", "")),
    )
    return found if found != Credential() else None


def _pair(entry: Mapping[str, Any]) -> Tuple[str, str]:
    if not entry.get("auth"):
        return entry.get("username", ""), entry.get("password", "")
    try:
        user, _, password = b64decode(entry["auth"], validate=True).decode().partition(":")
    except binascii.Error as exc:
        raise ValueError("no base64") from exc
    return user, password.rstrip("\0")


def _ask_helper(helper: str, host: str, environment: Mapping[str, str]) -> Optional[Credential]:
    """Ask a program `docker-credential-…`.

    Raises:
        RegistryError: It is not there, hangs, or fails.
    """
    program = f"docker-credential-{helper}"
    hint = f"Does `echo {host} | {program} get` work here?"
    if not _HELPER.fullmatch(helper):
        raise RegistryError(
            f"{helper!r} is no name of a credential helper.", hint="Mend docker's config.json."
        )
    key = "https://index.docker.io/v1/" if host == "docker.io" else host
    try:
        # Not by our own PATH: the environment is a parameter.
        command = ["/usr/bin/env", program, "get"]
        done = subprocess.run(
            command,
            input=key.encode(),
            stdout=subprocess.PIPE,
            env=dict(environment),
            timeout=_HELPER_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise RegistryError(f"{program} does not answer: {exc}.", hint=hint) from exc
    if done.returncode:
        if _NOT_FOUND in done.stdout.decode("utf-8", "replace").lower():
            return None
        raise RegistryError(f"{program} failed with exit code {done.returncode}.", hint=hint)
    answer = json.loads(done.stdout.decode())
    user, secret = str(answer.get("Username", "")), str(answer["Secret"])
    return Credential(identity_token=secret) if user == _TOKEN_USER else Credential(user, secret)
