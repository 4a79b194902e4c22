"""References: where an artifact is, as people write it.

```
host[:port]/name[:tag][@sha256:…]        in a registry
oci:folder[:tag][@sha256:…]              in an OCI image layout
oci-archive:file.tar[:tag][@sha256:…]    in a tar archive of one; read only
```
Grammar: OCI distribution-spec v1.1, "Pulling manifests", and docker's rule for hosts. No host is assumed:
a name that other tools would look up at Docker Hub is refused.
"""

import re
from dataclasses import dataclass, replace
from typing import Literal, Optional, Tuple

from targets.errors import UsageError

Kind = Literal["registry", "folder", "archive"]

_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")
_LONGEST_NAME = 255  # characters, host included: distribution-spec, "many clients impose a limit"
_FOLDER, _ARCHIVE = "oci:", "oci-archive:"
_HINT = "Write host/name:tag or host/name@sha256:…, or oci:folder:tag for a folder."


@dataclass(frozen=True)
class Reference:
    """Where an artifact is.

    Attributes:
        kind: `registry`, `folder` or `archive`.
        place: Host with its port, or the path of the folder or archive.
        name: Repository; empty in a folder or archive.
        tag: Empty where none is named.
        digest: What the tag must lead to, `sha256:…`; empty where none is named.
    """

    kind: Kind
    place: str
    name: str = ""
    tag: str = ""
    digest: str = ""

    @property
    def target(self) -> str:
        """What to ask for: the digest if there is one, else the tag, else `latest`."""
        return self.digest or self.tag or "latest"

    def at(self, *, tag: str = "", digest: str = "") -> "Reference":
        """Give a reference to something else in the same repository."""
        return replace(self, tag=tag, digest=digest)

    def __str__(self) -> str:
        prefix = {"registry": "", "folder": _FOLDER, "archive": _ARCHIVE}[self.kind]
        name = f"/{self.name}" if self.name else ""
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{prefix}{self.place}{name}{tag}{digest}"


def is_digest(text: str) -> bool:
    """Say whether a text is a digest of the one kind that is used here."""
    return bool(_DIGEST.fullmatch(text))


def is_tag(text: str) -> bool:
    """Say whether a text may be a tag."""
    return bool(_TAG.fullmatch(text))


def parse_reference(text: str) -> Reference:
    """Read a reference.

    Raises:
        UsageError: It is none; says which part is wrong.
    """
    if text.startswith(_ARCHIVE):
        return _parse_path(text, text[len(_ARCHIVE) :], "archive")
    if text.startswith(_FOLDER):
        return _parse_path(text, text[len(_FOLDER) :], "folder")
    return _parse_registry(text)


def _parse_path(text: str, rest: str, kind: Kind) -> Reference:
    rest, digest = _cut_digest(text, rest)
    path, _, tag = rest.partition(":")
    if not path or "\0" in path:
        raise _wrong(text, "no path is named")
    if ":" in rest and not is_tag(tag):
        raise _wrong(text, f"{tag!r} is no tag, and a path cannot have a colon")
    return Reference(kind, path, tag=tag, digest=digest)


def _parse_registry(text: str) -> Reference:
    rest, digest = _cut_digest(text, text)
    host, slash, path = rest.partition("/")
    if not slash or not _is_host(host):
        raise _wrong(text, "it names no registry")
    name, colon, tag = path.partition(":")
    if not _NAME.fullmatch(name) or len(host) + len(name) > _LONGEST_NAME:
        raise _wrong(text, f"{name!r} is no name of a repository (lower case, digits, . _ - and /)")
    if colon and not is_tag(tag):
        raise _wrong(text, f"{tag!r} is no tag")
    return Reference("registry", host, name, tag, digest)


def _cut_digest(text: str, rest: str) -> Tuple[str, str]:
    before, at, digest = rest.rpartition("@")
    if not at or (text != rest and "sha" not in digest):  # a path may have an @
        return rest, ""
    if not is_digest(digest):
        raise _wrong(text, f"{digest!r} is no sha256 digest")
    return before, digest


def _is_host(host: str) -> bool:
    """Say whether the first part is a host, and not a part of a name at Docker Hub, by docker's rule."""
    found = _HOST.fullmatch(host)
    if not found or not (host.lower() == "localhost" or set(host) & set(".:")):
        return False
    port: Optional[str] = found.group(1)
    return port is None or 0 < int(port) < 1 << 16


def _wrong(text: str, why: str) -> UsageError:
    return UsageError(f"{text!r} is no reference: {why}.", hint=_HINT)
