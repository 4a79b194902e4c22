"""Preview: walk the plan without doing anything, and say what would run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from pipeline.config import Config
from pipeline.forms import Made, OnBoard
from pipeline.plan import (
    check_early,
    make_candidates,
    make_shared,
    prepare_data,
    take_in,
)
from pipeline.receipts import find_receipt
from pipeline.runner import fresh, key_record, result_of
from pipeline.store import Store
from pipeline.support import refuse_impossible
from pipeline.upkeep import Listed, ls
from pipeline.verification import verify
from stages.artifact import digest_json
from stages.stage import Stage
from targets.errors import EdgeboundError
from targets.host import describe_host, fingerprint
from targets.profile import TargetProfile, technical

InputsT = TypeVar("InputsT")
ResultT = TypeVar("ResultT")


class DependsOnError(EdgeboundError):
    """The plan branches on a result that is not there yet."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A step that a run would take.

    Attributes:
        title: The step; where it is open, what it depends on.
        state: `open` stands for all that cannot be told before a result is there.
        seconds: What it took when last done with other settings or inputs; None if it never was.
    """

    title: str
    state: Literal["cached", "runs", "open"]
    seconds: float | None


class Pending:
    """Stands for a result that is not there yet: any field of it is pending, and any list of it is empty."""

    def __init__(self, step: str) -> None:
        self._step = step

    def __getattr__(self, name: str) -> Pending:
        return Pending(self._step)

    def __iter__(self) -> Iterator[object]:
        return iter(())

    def __bool__(self) -> bool:
        raise DependsOnError(f"depends on {self._step}", hint="Run the pipeline up to there.")

    def __le__(self, _other: object) -> bool:
        return bool(self)

    def __sub__(self, _other: object) -> float:
        return float(bool(self))


@dataclass
class Preview:
    """Takes the place of the runner; see `pipeline.runner.Step`."""

    store: Store
    planned: list[Planned] = field(default_factory=list)
    _done: list[Listed] | None = None

    def __call__(
        self,
        stage: Stage[InputsT, ResultT],
        inputs: InputsT,
        *,
        label: str = "",
        max_age: timedelta | None = None,
    ) -> ResultT:
        """Give the stage's result if the store has it, and a stand-in if not."""
        title = f"{stage.name} {label}".strip()
        if not _is_pending(inputs):
            key = digest_json(key_record(stage, inputs)).removeprefix("sha256:")
            entry = fresh(self.store.find(key), max_age)
            if entry is not None:
                self.planned.append(Planned(title=title, state="cached", seconds=entry.record["seconds"]))
                return result_of(self.store, stage, entry)
        self.planned.append(Planned(title=title, state="runs", seconds=self._last_seconds(stage, label)))
        return cast("ResultT", Pending(title))

    def _last_seconds(self, stage: Stage[Any, Any], label: str) -> float | None:
        taken = [one.seconds for one in self._listed() if (one.stage, one.label) == (stage.name, label)]
        return taken[-1] if taken else None

    def _listed(self) -> list[Listed]:
        if self._done is None:
            self._done = ls(self.store)
        return self._done


def _is_pending(value: object) -> bool:
    """Say whether a step's inputs hang on a result that is not there yet."""
    if isinstance(value, Pending):
        return True
    if is_dataclass(value):
        return any(_is_pending(getattr(value, one.name)) for one in fields(value))
    return isinstance(value, (tuple, list)) and any(map(_is_pending, value))


def _on_board(made: Made, profile: TargetProfile, step: Preview) -> OnBoard | None:
    """Go on with the receipt of a board if there is one; its own work is no step."""
    if made.packed is None:
        return None
    found = None if isinstance(made.packed, Pending) else find_receipt(step.store, made.packed.id)
    if found is None:
        title = f"what follows for {profile.name} depends on the work on its board"
        step.planned.append(Planned(title=title, state="open", seconds=None))
        return None
    return take_in(made, profile, found[0], step)


def preview(config: Config, profiles: Mapping[str, TargetProfile], folder: Path) -> list[Planned]:
    """Walk the whole plan.

    Args:
        config: Of the run.
        profiles: Of the targets, by the names that they were asked for.
        folder: Of the project.
    """
    step = Preview(Store(folder / ".edgebound"))
    host = fingerprint(describe_host())
    refuse_impossible(config, profiles.values())
    data, pictures = prepare_data(config, step, folder=folder)
    check_early(config, profiles, data, pictures=pictures, step=step, folder=folder)
    try:
        shared = make_shared(config, profiles, (data, pictures), step=step, host=host, folder=folder)
    except DependsOnError as exc:
        step.planned.append(Planned(title=f"what follows {exc.what}", state="open", seconds=None))
        return list(dict.fromkeys(step.planned))
    for name, profile in profiles.items():
        try:
            made = make_candidates(config, profile, shared, step=step, host=host, target=name)
            on_board = _on_board(made, profile, step)
            verify(
                config,
                technical(profile),
                shared,
                (*made.variants, *(on_board.variants if on_board else ())),
                step=step,
                host=host,
            )
        except DependsOnError as exc:
            title = f"what follows for {profile.name} {exc.what}"
            step.planned.append(Planned(title=title, state="open", seconds=None))
    return list(dict.fromkeys(step.planned))
