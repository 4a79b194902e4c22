"""Names of files in a release, where those of a run may be no names for a registry."""

import hashlib
import re

_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def evidence_name(target: str) -> str:
    """Give the folder of a target's evidence: its name, or for `orin@6.2` a safe one."""
    if _SAFE.fullmatch(target) and target != "index":
        return target
    safe = re.sub(r"[^A-Za-z0-9_.-]", "_", target).lstrip(".-")
    return f"{safe}-{hashlib.sha256(target.encode()).hexdigest()[:8]}"
