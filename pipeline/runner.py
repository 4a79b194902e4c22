"""Runner: a step is a stage with its inputs; it runs once, and from then on the store has its result."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pipeline.closure import code_of
from pipeline.codec import artifacts_in, decode, encode, result_type
from pipeline.files import explained
from pipeline.store import Entry, Store
from stages.artifact import Artifact, digest_json
from stages.stage import Stage
from targets.errors import DiskFullError, EdgeboundError

InputsT = TypeVar("InputsT")
ResultT = TypeVar("ResultT")
STAGES = ("data", "train", "prune", "export", "check", "quantize", "build", "verify")
_FULL_BYTES = 1 << 20  # less than this free, and a foreign package's failure to write needs no other reason


class StoppedError(EdgeboundError):
    """The run was asked to go no further."""

    code = 4


class Step(Protocol):
    """What a plan calls: do this stage's work on these inputs, or know already what it gives."""

    def __call__(
        self,
        stage: Stage[InputsT, ResultT],
        inputs: InputsT,
        *,
        label: str = "",
        max_age: timedelta | None = None,
    ) -> ResultT:
        """Give the stage's result.

        Args:
            stage: With its settings.
            inputs: Of this step.
            label: Distinguishes steps of one stage for people, as `openvino int8`.
            max_age: A result older than this is made again; for measurements.
        """
        ...


class Reporter(Protocol):
    """Who hears how a run goes on."""

    def started(self, title: str) -> None:
        """Hear that a step begins, and will take a while."""

    def progress(self, done: float, total: float, note: str = "") -> None:
        """Hear how far the step is."""

    def finished(self, done: Done) -> None:
        """Hear that a step is done, or that its result was there already."""

    def note(self, text: str) -> None:
        """Hear something worth knowing."""


class Shared(Protocol):
    """Where results of other machines are found, and ours are put; see `pipeline.cache`."""

    def fetch(self, key: str, title: str) -> Entry | None:
        """Give a finished step, now in the store; None if there is none."""

    def push(self, entry: Entry, title: str) -> None:
        """Put a finished step there."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """A finished step, for the report."""

    stage: str
    label: str
    key: str
    seconds: float
    cached: bool
    made: str

    @property
    def title(self) -> str:
        """The step in a few words."""
        return f"{self.stage} {self.label}".strip()


@dataclass
class Runner:
    """Calls stages, keeps what they make, and finds it again.

    Attributes:
        store: Where results are kept.
        reporter: Who hears of it.
        until: The last stage to run, or empty.
        shared: Results of other machines; None where no cache is shared.
        done: Steps so far, in order.
    """

    store: Store
    reporter: Reporter
    until: str = ""
    shared: Shared | None = None
    done: list[Done] = field(default_factory=list)
    _by_result: dict[int, tuple[Any, Done]] = field(default_factory=dict)

    def __call__(
        self,
        stage: Stage[InputsT, ResultT],
        inputs: InputsT,
        *,
        label: str = "",
        max_age: timedelta | None = None,
    ) -> ResultT:
        """Give the stage's result, from the store where it is there; see `Step`."""
        if self.until and STAGES.index(stage.name) > STAGES.index(self.until):
            raise StoppedError(
                f"Stopped after '{self.until}', as --until asked.", hint="Run without --until for a verdict."
            )
        record = key_record(stage, inputs)
        key = digest_json(record).removeprefix("sha256:")
        with self.store.lock(key, waiting=lambda who: self.reporter.note(f"waiting for {who}")):
            entry = fresh(self.store.find(key), max_age)
            shared = self.shared if may_be_shared(inputs, max_age) else None
            if entry is None and shared is not None:
                entry = shared.fetch(key, f"{stage.name} {label}".strip())
            cached = entry is not None
            if entry is None:
                entry = self._make(stage, inputs, {**record, "label": label}, key)
                if shared is not None:
                    shared.push(entry, f"{stage.name} {label}".strip())
            self.store.mark_used(key)
        result = result_of(self.store, stage, entry)
        done = Done(
            stage=stage.name,
            label=label,
            key=key,
            seconds=entry.record["seconds"],
            cached=cached,
            made=entry.record["made"],
        )
        self._remember(result, done)
        return result

    def step_of(self, result: object) -> Done:
        """Give the step that a result came from."""
        return self._by_result[id(result)][1]

    def tell(self, done: Done) -> None:
        """Take note of work that is done, by a step or on a board."""
        self.done.append(done)
        self.reporter.finished(done)

    def _remember(self, result: object, done: Done) -> None:
        self._by_result[id(result)] = (result, done)  # holding it keeps its id its own
        self.tell(done)

    def _make(self, stage: Stage[Any, Any], inputs: object, record: dict[str, Any], key: str) -> Entry:
        out = self.store.work(key)
        with explained(self.store.root):
            if not stage.resumes:
                shutil.rmtree(out, ignore_errors=True)
            out.mkdir(parents=True, exist_ok=True)
        self.reporter.started(f"{stage.name} {record['label']}".strip())
        begin = time.perf_counter()
        result = self._run(stage, inputs, out)
        seconds = time.perf_counter() - begin
        entry = self.store.commit(
            key,
            {
                **record,
                "result": encode(result, lambda one: {"path": _name(one, out), "digest": one.digest}),
                "seconds": round(seconds, 3),
                "made": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            },
            {_name(one, out): one.path for one in artifacts_in(result)},
        )
        shutil.rmtree(out, ignore_errors=True)
        return entry

    def _run(self, stage: Stage[Any, ResultT], inputs: object, out: Path) -> ResultT:
        """Run the stage; a failure on a full disk is told as one, whichever package met it first."""
        try:
            with explained(out):
                return stage.run(inputs, out, self.reporter.progress)
        except EdgeboundError:
            raise
        except Exception as exc:
            if shutil.disk_usage(out).free >= _FULL_BYTES:
                raise
            raise DiskFullError(
                f"The disk that holds {self.store.root} is full ({stage.name}: {exc}).",
                hint="Free some space (`pipeline store gc` helps) and run the same command again.",
            ) from exc


def key_record(stage: Stage[Any, Any], inputs: object) -> dict[str, Any]:
    """Give all that a step's result depends on; its digest is the step's key."""
    code = code_of(type(stage).__module__)
    return {
        "stage": stage.name,
        "class": f"{type(stage).__module__}.{type(stage).__qualname__}",
        "settings": encode(stage, _digest_only),
        "inputs": encode(inputs, _digest_only),
        "code": code.digest,
        "tools": code.tools,
    }


def fresh(entry: Entry | None, max_age: timedelta | None) -> Entry | None:
    """Give `entry` unless it is older than it may be."""
    if entry is None or max_age is None:
        return entry
    age = datetime.now(timezone.utc) - datetime.fromisoformat(entry.record["made"])
    return entry if age <= max_age else None


def may_be_shared(inputs: object, max_age: timedelta | None) -> bool:
    """Say whether other machines may have a step's result: not what was measured, or tuned to this one."""
    profile = getattr(inputs, "profile", None)
    is_tied = getattr(profile, "runtime", "") == "tensorrt" and getattr(profile, "local", False)
    return max_age is None and not getattr(inputs, "host", "") and not is_tied


def result_of(store: Store, stage: Stage[Any, ResultT], entry: Entry) -> ResultT:
    """Give a stored step's result, its artifacts as folders."""
    kind: type[ResultT] = result_type(type(stage))
    return decode(kind, entry.record["result"], lambda name, digest: store.open(entry, name, digest))


def _digest_only(artifact: Artifact) -> str:
    return artifact.digest


def _name(artifact: Artifact, out: Path) -> str:
    return artifact.path.relative_to(out).as_posix()
