"""The registry client against skopeo, with a real registry on loopback.

```
python -m benchmarks.registry [--quick]
```
Keys and what is wanted of them; an artifact of 100 MB of random bytes, each side a process of its own:
- `push_vs_skopeo`: wall time to the registry, ours from the file, digest included, over skopeo's from an OCI
  layout, at most 1.3
- `pull_vs_skopeo`: wall time from the registry to a new folder, ours over skopeo's to `dir:`, at most 1.3
- `memory_mib`: the most that our process has resident while it pushes or pulls, at most 64
- `repush_seconds`: pushing what is there already, digest included, the start of Python not, at most 0.2

The medians of interleaved turns are compared, each with fresh bytes. Where other work shares the cores, look
at the time on the CPU beside the wall time, which is what our process itself needs.
`--quick` takes 3 turns instead of 9.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.form import show
from targets.registry import artifact
from targets.registry.artifact import Package
from targets.registry.layout_folder import LayoutFolder

_BYTES = 100_000_000
_TURNS, _QUICK_TURNS = 9, 3
_KEYS = ("push_vs_skopeo", "pull_vs_skopeo", "memory_mib", "repush_seconds")
_OURS = """
import sys, time
from pathlib import Path
from targets.registry import artifact, open_repository, remote  # the last is loaded late otherwise
from targets.registry.access import Access
from targets.registry.reference import parse_reference

begin, cpu = time.perf_counter(), time.process_time()
reference = parse_reference(sys.argv[2])
with open_repository(reference, Access()) as repository:
    if sys.argv[1] == "push":
        package = artifact.Package("application/vnd.edgebound.benchmark", {"engine.plan": Path(sys.argv[3])})
        artifact.push(repository, package, reference.tag)
    else:
        artifact.fetch(repository, artifact.find(repository, reference.target)[1], Path(sys.argv[3]))
status = Path("/proc/self/status").read_text()  # getrusage also counts what the parent had before exec
print(
    int(status.split("VmHWM:")[1].split()[0]) / 1024, time.perf_counter() - begin, time.process_time() - cpu
)
"""
_SKOPEO = ["skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", "--dest-tls-verify=false"]
Figures = dict[str, list[float]]


def main(arguments: list[str]) -> None:
    """Measure, and print the result."""
    program = shutil.which("docker-registry")
    lacking = [name for name in ("docker-registry", "skopeo") if shutil.which(name) is None]
    if program is None or lacking:
        why = f"apt-get install {' '.join(lacking)}"
        show("registry", [], dict.fromkeys(_KEYS), dict.fromkeys(_KEYS, why))
        return
    turns = _QUICK_TURNS if "--quick" in arguments else _TURNS
    with tempfile.TemporaryDirectory(prefix="edgebound-registry-") as name:
        found = _measure(Path(name), program, turns)
    median = {what: statistics.median(figures) for what, figures in found.items()}
    ratios: dict[str, float | None] = {
        "push_vs_skopeo": median["push, ours"] / median["push, skopeo"],
        "pull_vs_skopeo": median["pull, ours"] / median["pull, skopeo"],
        "memory_mib": max(found["memory"]),
        "repush_seconds": median["push again, ours without start-up"],
    }
    rows = [
        {"what": what, "unit": "MiB" if what == "memory" else "s", "median": median[what], "turns": figures}
        for what, figures in found.items()
    ]
    show("registry", rows, ratios, {})


def _measure(folder: Path, program: str, turns: int) -> Figures:
    """Push, push again and pull, one side after the other, beginning with each in turn."""
    found: Figures = {}
    with _registry(folder, program) as host:
        for turn in range(turns):
            file, layout = _fresh(folder / f"turn{turn}")
            sides = ["ours", "skopeo"] if turn % 2 else ["skopeo", "ours"]
            for what in ("push", "push again", "pull"):
                for side in sides:
                    place = f"{host}/{side}{turn}:v1"
                    measure = _ours if side == "ours" else _skopeo
                    source = (file if side == "ours" else layout) if what != "pull" else folder / f"out{side}"
                    measure(found, what, place, source)
                    shutil.rmtree(folder / f"out{side}", ignore_errors=True)
            shutil.rmtree(folder / f"turn{turn}")
    return found


def _fresh(folder: Path) -> tuple[Path, Path]:
    """Give a file of bytes that no registry has, and a layout with it as an artifact."""
    folder.mkdir()
    file = folder / "engine.plan"
    file.write_bytes(os.urandom(_BYTES))
    package = Package("application/vnd.edgebound.benchmark", {"engine.plan": file})
    artifact.push(LayoutFolder(folder / "layout"), package, "v1")
    return file, folder / "layout"


def _ours(found: Figures, what: str, place: str, path: Path) -> None:
    command = [sys.executable, "-c", _OURS, what.split(maxsplit=1)[0], place, str(path)]
    begin = time.perf_counter()
    done = subprocess.run(
        command, cwd=Path(__file__).resolve().parent.parent, capture_output=True, text=True, check=True
    )
    found.setdefault(f"{what}, ours", []).append(time.perf_counter() - begin)
    memory, inside, cpu = map(float, done.stdout.split())
    found.setdefault("memory", []).append(memory)
    found.setdefault(f"{what}, ours without start-up", []).append(inside)
    found.setdefault(f"{what}, ours on the CPU", []).append(cpu)


def _skopeo(found: Figures, what: str, place: str, path: Path) -> None:
    registry = f"docker://{place}"
    ends = [registry, f"dir:{path}"] if what == "pull" else [f"oci:{path}:v1", registry]
    begin = time.perf_counter()
    subprocess.run([*_SKOPEO, *ends], capture_output=True, check=True)
    found.setdefault(f"{what}, skopeo", []).append(time.perf_counter() - begin)


@contextlib.contextmanager
def _registry(folder: Path, program: str) -> Iterator[str]:
    """Give the host of a registry that keeps what it has in a folder."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        host = f"127.0.0.1:{free.getsockname()[1]}"
    storage = {"filesystem": {"rootdirectory": str(folder / "storage")}}
    config = {"version": "0.1", "log": {"level": "error"}, "storage": storage, "http": {"addr": host}}
    (folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML
    command = [program, "serve", str(folder / "config.yml")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            _wait(host)
            yield host
        finally:
            server.terminate()


def _wait(host: str) -> None:
    name, _, port = host.partition(":")
    for _ in range(500):
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection((name, int(port))).close()
            return
        time.sleep(0.02)
    raise RuntimeError("the registry does not start")


if __name__ == "__main__":
    main(sys.argv[1:])
