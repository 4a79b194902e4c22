"""A device's Python: an interpreter that has the base install, the engine's runtime, and nothing else."""

import importlib.metadata
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement

CHECKOUT = Path(__file__).resolve().parents[2]


def make_device_python(folder: Path, runtime: str = "openvino") -> Path:
    """Give the interpreter of a new virtual environment.

    Its packages are links to those installed here: of edgebound's requirements without extras and of the
    engine's runtime, and of theirs, as their metadata say; what nobody of these requires is not there.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    place = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.run(place, check=True, capture_output=True, text=True).stdout.strip())
    for name in _required([*_requirements("edgebound"), runtime]):
        distribution = importlib.metadata.distribution(name)
        tops = {Path(str(file)).parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}
        for top in tops:
            (site / top).symlink_to(distribution.locate_file(top))
    for own in ("pipeline", "stages", "targets", "edgebound.py"):
        (site / own).symlink_to(CHECKOUT / own)
    return python


def _requirements(name: str) -> list[str]:
    found = [Requirement(text) for text in importlib.metadata.requires(name) or ()]
    return [one.name for one in found if one.marker is None or one.marker.evaluate({"extra": ""})]


def _required(names: Iterable[str]) -> set[str]:
    queue, found = list(names), set[str]()
    while queue:
        name = queue.pop().lower().replace("_", "-")
        if name not in found:
            found.add(name)
            queue += _requirements(name)
    return found
