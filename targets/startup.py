"""Start-up: how long an engine takes to its first answer, and how much memory, in a process of its own.

Run as `python -m targets.startup ENGINE PROFILE`, it is that process.
"""

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from targets.engine import open_engine
from targets.errors import EvidenceError
from targets.model import load_model_spec
from targets.profile import TargetProfile
from targets.record import dump, load
from targets.runtimes import find_runtime

_CALLS = 3  # the first ones allocate; what comes later uses that again
_PATIENCE_S = 600.0


@dataclass(frozen=True)
class Start:
    """What it takes to have a running engine.

    Attributes:
        startup_ms: From the file to the first answer, the runtime's library loaded on the way.
        memory_mib: Peak resident memory of the process, Python in it.
    """

    startup_ms: float
    memory_mib: float


def measure_start(engine: Path, profile: TargetProfile) -> Start:
    """Start an engine in a fresh process.

    Args:
        engine: Its folder.
        profile: Of its target.

    Raises:
        EvidenceError: It does not start.
    """
    arguments = [sys.executable, "-m", "targets.startup", str(engine.resolve()), dump(profile)]
    package = Path(__file__).resolve().parents[1]
    try:
        child = subprocess.run(
            arguments, cwd=package, capture_output=True, text=True, timeout=_PATIENCE_S, check=True
        )
        return load(Start, child.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as exc:
        said = str(getattr(exc, "stderr", None) or exc).strip().splitlines()
        raise EvidenceError(
            f"{engine} does not start in a process of its own: {said[-1] if said else exc}",
            hint="The machine may be out of memory; `pipeline doctor` says what is installed.",
        ) from exc


def start(engine: Path, profile: TargetProfile) -> Start:
    """Start an engine in this process.

    Raises:
        ModelError: The engine is not what its manifest says.
    """
    import numpy as np

    open_engine(engine)
    size = load_model_spec(engine).input
    images = np.zeros((1, 3, size.height, size.width), np.float32)
    begin = time.perf_counter()
    with find_runtime(profile.runtime).open(engine, profile) as infer:
        infer(images)
        startup_ms = (time.perf_counter() - begin) * 1e3
        for _ in range(_CALLS - 1):
            infer(images)
        return Start(startup_ms=startup_ms, memory_mib=peak_mib())


def peak_mib(status: Path = Path("/proc/self/status")) -> float:
    """Give the peak resident memory of this process; unlike getrusage, without that of who started it."""
    (line,) = [one for one in status.read_text(encoding="ascii").splitlines() if one.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    sys.stdout.write(dump(start(Path(sys.argv[1]), load(TargetProfile, sys.argv[2]))))
