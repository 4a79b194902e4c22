"""The phases of a job: build, measure, verify. What is done is kept, so a killed job goes on where it was."""

import contextlib
import hashlib
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

from targets.agent.child import CrashedError, run_step
from targets.agent.job import Journal, keep, kept
from targets.agent.measure import Measurement
from targets.agent.steps import Place
from targets.engine import open_engine
from targets.errors import DiskFullError, EdgeboundError, EvidenceError, ModelError, UnsupportedError
from targets.folder import describe_file
from targets.kit import AGENT_NAME, Kit, KitModel
from targets.receipt import BuildFacts, EngineReceipt
from targets.record import load


@dataclass(frozen=True)
class Phases:
    """Does the work of a kit, step by step.

    Attributes:
        kit: What is to be done.
        place: Where.
        journal: Told how it goes on.
        key: What results depend on beside the kit: board, runtime and its version. Others are not taken up.
        lease: File descriptor of the board's lease, which children hold on to.
        options: Of the command line, for children.
    """

    kit: Kit
    place: Place
    journal: Journal
    key: str
    lease: int
    options: Sequence[str]

    def build(self) -> List[EngineReceipt]:
        """Build each model that has no engine yet."""
        self.journal.write("phase", phase="build")
        return [self._build(model) for model in self.kit.models]

    def measure(self, engines: Sequence[EngineReceipt]) -> Optional[Measurement]:
        """Time all engines side by side; None if there are none."""
        ids = [one.id for one in engines if not one.failed]
        if not ids:
            return None
        path = self.place.job.folder / "measure.json"
        key = digest({"key": self.key, "engines": self._digests(ids)})
        done, what = kept(path, key)
        if not done:
            what = self.step("measure", *ids)
            keep(path, key, what)
        return load(Measurement, json.dumps(what))

    def start(self, one: EngineReceipt) -> Dict[str, Any]:
        """Give startup time and memory of an engine, or why it does not run."""
        path = self.place.job.folder / "start" / f"{one.id}.json"
        key = digest({"key": self.key, "engines": self._digests([one.id])})
        done, what = kept(path, key)
        if not done:
            begin = time.monotonic()
            what = self._attempt("start", one.id)
            if "failed" not in what:
                what = {"startup_s": what["ready_s"] - begin, "memory_mib": what["memory_mib"]}
                keep(path, key, what)
        return dict(what)

    def verify(self, one: EngineReceipt) -> Dict[str, Any]:
        """Let an engine look at all pictures, or say why it cannot."""
        path = self.place.job.folder / "verify" / f"{one.id}.json"
        key = digest({"key": self.key, "engines": self._digests([one.id])})
        done, what = kept(path, key)
        found = path.with_suffix(".npz")
        if not done or not found.exists() or describe_file(found).sha256 != what["sha256"]:
            what = self._attempt("verify", one.id)
            if "failed" not in what:
                keep(path, key, what)
        return dict(what)

    def step(self, name: str, *ids: str) -> Any:
        """Run a step in a child, and pass on how it goes on."""
        model = ids[0] if len(ids) == 1 else ""

        def progress(done: float, total: float, text: str) -> None:
            self.journal.write("progress", phase=name, id=model, done=done, total=total, text=text)

        return run_step(
            self.place.kit_folder / AGENT_NAME,
            [name, *ids, *self.options],
            log=self.place.job.log,
            progress=progress,
            keep=(self.lease,),
        )

    def _attempt(self, name: str, model: str) -> Dict[str, Any]:
        """Run a step whose failure concerns one engine and not the others."""
        try:
            return dict(self.step(name, model))
        except (DiskFullError, EvidenceError):
            raise
        except EdgeboundError as exc:
            self.journal.write("warning", phase=name, id=model, text=exc.what, hint=exc.hint)
            unsupported = isinstance(exc, UnsupportedError)
            lasting = not isinstance(exc, CrashedError)
            return {"failed": f"{exc.what} {exc.hint}", "unsupported": unsupported, "lasting": lasting}

    def _build(self, model: KitModel) -> EngineReceipt:
        folder = self.place.job.folder / "build" / model.id
        done, what = kept(folder / "made.json", self.key)
        if not done or not self._is_whole(folder, what):
            what = self._build_anew(model, folder)
        if "failed" in what:
            return EngineReceipt(
                id=model.id,
                precision=model.precision,
                failed=what["failed"],
                unsupported=what["unsupported"],
                crashed=not what["lasting"],
            )
        facts = load(BuildFacts, json.dumps(what))
        return EngineReceipt(id=model.id, precision=model.precision, build=facts)

    def _build_anew(self, model: KitModel, folder: Path) -> Dict[str, Any]:
        fresh = folder.with_name(f".{model.id}.part")
        for one in (fresh, folder):
            if one.exists():
                shutil.rmtree(str(one))
        (fresh / "engine").mkdir(parents=True)
        what = self._attempt("build", model.id)
        if "failed" in what and not what["lasting"]:
            return what
        keep(fresh / "made.json", self.key, what)
        fresh.rename(folder)
        self.journal.write(
            "note", phase="build", id=model.id, text="built" if "failed" not in what else "failed"
        )
        return what

    @staticmethod
    def _is_whole(folder: Path, what: Mapping[str, Any]) -> bool:
        if "failed" in what:
            return True
        with contextlib.suppress(ModelError):  # a power cut may have taken what was written last
            open_engine(folder / "engine")
            return True
        return False

    def _digests(self, ids: Sequence[str]) -> List[str]:
        """Give the digests of engines' manifests, which a measurement belongs to."""
        manifests = (self.place.job.folder / "build" / one / "engine" / "manifest.json" for one in ids)
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in manifests]


def digest(record: Mapping[str, Any]) -> str:
    """Give a short name for what a result depends on."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
