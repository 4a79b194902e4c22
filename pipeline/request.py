"""A run: what it is asked for, and how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from pipeline.baseline import Baseline
from pipeline.config import Config
from pipeline.fetched import Ways
from pipeline.forms import Shared
from pipeline.kits import Order
from pipeline.ladder import Conditions, TargetResult
from pipeline.runner import Runner
from stages.artifact import Artifact
from stages.data import Prepared
from targets.profile import TargetProfile
from targets.registry.access import Access

NO_WAYS = Ways(access=Access(), policy=None)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a run is asked for.

    Attributes:
        config: Settings.
        profiles: Targets by the names they were asked by.
        folder: Relative paths start here, and `.edgebound` is here.
        until: Last stage to run, or empty.
        order: How it was asked for, which a kit's receipt is judged by; its target is filled in.
        receipts: Folders of receipts that a person brought, by target.
        baseline: An earlier run whose release candidates are held against as well.
        ways: To registries, for the shared cache, and whom to believe there.
    """

    config: Config
    profiles: Mapping[str, TargetProfile]
    folder: Path
    until: str = ""
    order: Order = field(default_factory=Order)
    receipts: Mapping[str, Path] = field(default_factory=dict)
    baseline: Baseline | None = None
    ways: Ways = field(default_factory=lambda: NO_WAYS)


@dataclass
class Run:
    """A run under way."""

    request: Request
    runner: Runner
    directory: Path
    host: str
    data: Prepared | None = None
    pictures: Artifact | None = None
    shared: Shared | None = None
    conditions: Conditions | None = None
    targets: dict[str, TargetResult] = field(default_factory=dict)

    @property
    def now(self) -> datetime:
        """The time, with its zone."""
        return datetime.now(timezone.utc)
