"""Configuration: `pipeline.yaml`, one section a field, most sections a stage's own settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.limits import Gate, Limits
from pipeline.profiles import find_profile
from pipeline.resources import ExecutorSection
from pipeline.sections import (
    BuildSection,
    CacheSection,
    DistillSection,
    ModelSection,
    PruneSection,
    QuantizeSection,
    ReleaseSection,
    VerifySection,
)
from pipeline.yaml_file import Source, load_source, override, parse
from stages.data import Data
from stages.data.render import Render
from stages.export import Export
from stages.quantize.half import Halve
from stages.train import Train, check_overrides
from targets.errors import ConfigError, UsageError
from targets.kit import BoardWork

FILE_NAME = "pipeline.yaml"
_DEMO = Path(__file__).parent / "demo.yaml"


@dataclass(frozen=True, kw_only=True)
class Config:
    """One field a section."""

    model: ModelSection
    data: Data
    train: Train = field(default_factory=Train)
    distill: DistillSection | None = None
    prune: PruneSection | None = None
    export: Export = field(default_factory=Export)
    fp16: Halve = field(default_factory=Halve)
    quantize: QuantizeSection = field(default_factory=QuantizeSection)
    build: BuildSection = field(default_factory=BuildSection)
    verify: VerifySection = field(default_factory=VerifySection)
    gate: Gate = field(default_factory=Gate)
    release: ReleaseSection = field(default_factory=ReleaseSection)
    cache: CacheSection = field(default_factory=CacheSection)
    executor: ExecutorSection = field(default_factory=ExecutorSection)
    demo: Render | None = None

    @property
    def work(self) -> BoardWork:
        """What a board is asked to do."""
        return BoardWork(
            tries=self.build.tries,
            optimization_level=self.build.optimization_level,
            workspace_mib=self.build.workspace_mib,
            dla_core=self.build.dla_core,
            runs=self.verify.board_runs,
            seconds=self.verify.board_seconds,
            warmup_runs=min(BoardWork.warmup_runs, self.verify.board_runs),
            warmup_s=self.verify.board_warmup_s,
            streams=self.verify.streams,
        )


def load_config(file: Path | None, settings: Sequence[str], *, demo: bool, folder: Path) -> Config:
    """Read the configuration of a run.

    Args:
        file: As --config named it.
        settings: `section.key=value`, applied last.
        demo: Take the demo's configuration.
        folder: Where `pipeline.yaml` is looked for.

    Raises:
        UsageError: There is no configuration and no demo was asked for, or both.
        ConfigError: It is wrong; with all problems, files and lines.
    """
    source = override(_source(file, demo=demo, folder=folder), settings)
    config = parse(Config, source, hint=_HINT)
    check_overrides(config.train.overrides)
    _check_goal(config.prune)
    check_targets(config.gate, source)
    taken = [
        f"{source.place(path)}: {'.'.join(path)} follows {other}; set that"
        for path, other in _FOLLOWS.items()
        if path in source.places
    ]
    if taken:
        raise ConfigError(taken, hint=_HINT)
    return config


def check_targets(gate: Gate, source: Source) -> None:
    """See that limits for one target name a target and are limits.

    Raises:
        UsageError: There is no such target.
        ConfigError: A key is no limit, or its value is none; with file and line.
    """
    for name, limits in gate.targets.items():
        find_profile(name)
        parse(Limits, source.within(("gate", "targets", name), limits), hint=_HINT)


def _check_goal(prune: PruneSection | None) -> None:
    if prune is None:
        return
    given = {
        "ratio": prune.ratio,
        "target_gmac": prune.target_gmac,
        "target_latency_ms": prune.target_latency_ms,
        "ratios": prune.ratios or None,
        "max_drift_pt": prune.max_drift_pt,
    }
    goals = [name for name, value in given.items() if value is not None]
    if len(goals) != 1 and goals != ["ratios", "max_drift_pt"]:
        raise UsageError(
            f"`prune` needs one goal, and has {' and '.join(goals) or 'none'}.",
            hint=f"Set one of {', '.join(f'prune.{name}' for name in given)}; ratios take max_drift_pt too.",
        )


_FOLLOWS = {
    ("train", "weights"): "model.weights",
    ("data", "imgsz"): "train.imgsz",
    ("train", "int8"): "quantize.qat",
}  # the plan fills them
_HINT = "`pipeline init DATA` writes a commented file; the README lists the sections."


def _source(file: Path | None, *, demo: bool, folder: Path) -> Source:
    if demo and file is not None:
        raise UsageError("--demo and --config exclude each other.", hint="Give one of them.")
    if demo:
        return load_source(_DEMO)
    if file is None and not (folder / FILE_NAME).exists():
        raise UsageError(
            f"There is no {FILE_NAME} in {folder.resolve()}.",
            hint="`pipeline init DATA` writes one; `pipeline run --demo` tries it with rendered data.",
        )
    return load_source(file or folder / FILE_NAME)


def schema() -> dict[str, object]:
    """Give the JSON Schema of `pipeline.yaml`, for editors; it knows no other keys, as `parse` does not."""
    from pydantic import TypeAdapter

    found = TypeAdapter(Config).json_schema()
    for one in (found, *found["$defs"].values()):
        if "properties" in one:
            one["additionalProperties"] = False
    return found


if __name__ == "__main__":
    import json

    print(json.dumps(schema(), indent=1))  # noqa: T201
