"""Gather what a job made into the receipt's folder, and into one archive."""

import os
import shutil
from pathlib import Path

from targets.agent.job import Job
from targets.archives import pack
from targets.receipt import EngineReceipt, Receipt, write_receipt


def write_up(job: Job, receipt: Receipt, key: str) -> None:
    """Write the receipt's folder and its archive; the folder is there whole or not at all."""
    fresh = job.folder / ".receipt.part"
    for old in (fresh, job.receipt):
        if old.exists():
            shutil.rmtree(str(old))
    fresh.mkdir()
    for one in receipt.engines:
        _gather(job, one, fresh)
    write_receipt(fresh, receipt, key=key)
    fresh.rename(job.receipt)
    pack(job.receipt, job.folder / "receipt.zip")


def _gather(job: Job, one: EngineReceipt, out: Path) -> None:
    built = job.folder / "build" / one.id
    pairs = [
        (built / "build.log", f"engines/{one.id}.log"),
        (built / "layers.json", f"engines/{one.id}.layers.json"),
    ]
    if not one.failed:
        pairs.append((job.folder / "verify" / f"{one.id}.npz", f"detections/{one.id}.npz"))
        pairs.extend((path, f"engines/{one.id}/{path.name}") for path in (built / "engine").iterdir())
    for source, name in pairs:
        if source.exists():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            _link(source, out / name)


def _link(source: Path, path: Path) -> None:
    """Take a file without writing it again, where the file system can."""
    try:
        os.link(str(source), str(path))
    except OSError:
        shutil.copyfile(str(source), str(path))
