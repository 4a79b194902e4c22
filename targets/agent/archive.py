"""`agent.pyz`: the package `targets` as one file that `python3` runs."""

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Iterator, Optional, Tuple

import targets

# Runs under any Python, to say which it needs; the rest may then use what Python 3.8 has.
_MAIN = """import sys

if sys.version_info < (3, 8):
    sys.exit("The agent needs Python 3.8 or newer; this is %d.%d." % sys.version_info[:2])
from targets.agent.__main__ import main

sys.exit(main())
"""
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file can say
_LEFT_OUT = ("profiles", "operators")  # a kit has its profile with it; operators are checked on the host


def make_agent() -> bytes:
    """Give the agent; equal code gives equal bytes. An agent gives itself."""
    here = own_archive()
    if here:
        return here.read_bytes()
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name, code in (("__main__.py", _MAIN.encode()), *_package()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = 3  # Unix, whoever writes
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, code)
    return content.getvalue()


def own_archive() -> Optional[Path]:
    """Give the archive that this code runs from; None if it runs from a folder."""
    archive = getattr(targets.__spec__.loader, "archive", None)  # as zipimport's loaders have
    return Path(archive) if archive else None


def own_digest() -> str:
    """Give the sha256 of the agent that this code is."""
    return hashlib.sha256(make_agent()).hexdigest()


def _package() -> Iterator[Tuple[str, bytes]]:
    root = Path(targets.__path__[0])
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root)
        if path.suffix in (".py", ".json") and name.parts[0] not in _LEFT_OUT:
            yield f"targets/{name.as_posix()}", path.read_bytes()


if __name__ == "__main__":  # python3 -m targets.agent.archive agent.pyz, as the Dockerfile does
    import sys

    Path(sys.argv[1]).write_bytes(make_agent())
