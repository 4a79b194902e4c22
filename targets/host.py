"""The machine a measurement belongs to."""

import hashlib
import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Dict, Tuple

# What decides which kernels a runtime picks: Intel and AMD as Linux names them, then Arm.
_KERNEL_FLAGS = (
    "avx2",
    "avx512f",
    "avx_vnni",
    "avx512_vnni",
    "avx512_bf16",
    "amx_int8",
    "amx_bf16",
    "asimd",
    "asimddp",
    "i8mm",
    "sve",
)


@dataclass(frozen=True)
class Host:
    """What changes the latency of an engine.

    Attributes:
        cpu: Model name.
        cores: Logical cores that this process may use.
        flags: Instruction sets that the runtimes have kernels for.
        governor: Frequency governor of the first core; empty where the system does not say.
        os: Kernel's name, release and machine.
        python: Version.
    """

    cpu: str
    cores: int
    flags: Tuple[str, ...]
    governor: str
    os: str
    python: str


def describe_host(root: Path = Path("/")) -> Host:
    """Describe this machine.

    Args:
        root: Where `proc` and `sys` are found.
    """
    cpuinfo = _read_cpuinfo(root / "proc/cpuinfo")
    present = set(cpuinfo.get("flags", cpuinfo.get("Features", "")).split())
    governor = root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
    return Host(
        cpu=cpuinfo.get("model name") or platform.processor() or platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        flags=tuple(flag for flag in _KERNEL_FLAGS if flag in present),
        governor=_read(governor).strip(),
        os=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
    )


def fingerprint(host: Host) -> str:
    """Give a short name for the host: two with the same one have latencies that may be compared."""
    text = json.dumps(asdict(host), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _read_cpuinfo(path: Path) -> Dict[str, str]:
    """Read the entries of the first core."""
    first_core = _read(path).split("\n\n")[0]
    pairs = (line.partition(":") for line in first_core.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:  # containers hide parts of /sys
        return ""
