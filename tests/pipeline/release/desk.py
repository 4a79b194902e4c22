"""Someone who releases: keys, the command, and what lies in the registry afterwards."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.signing.keys import new_key
from pipeline.signing.policies import NewKey, trust
from targets.registry import open_source
from targets.registry.access import Access
from targets.registry.artifact import fetch, files_of, find
from targets.registry.content import Descriptor
from targets.registry.reference import parse_reference
from targets.release.facts import ReleaseFacts, chosen_by, load
from targets.trust.attached import read_signed
from targets.trust.policy import load_policy
from tests.pipeline.commands import Outcome
from tests.pipeline.release.stored_run import RUN


@dataclass(frozen=True)
class Desk:
    """A project with a run, and a key."""

    root: Path

    @property
    def key(self) -> Path:
        path = self.root / "keys" / "release.key.pem"
        if not path.exists():
            new_key(path.parent, "release")
        return path

    @property
    def policy(self) -> Path:
        """A policy that trusts the key for `stable`, and for nothing else."""
        path = self.root / "keys" / "trust.json"
        if not path.exists():
            from pipeline.signing.keys import load_public

            public = load_public(self.key.with_name("release.pub.pem"))
            trust(path, NewKey(public), ["stable"])
        return path

    def command(self, *args: object, environment: Mapping[str, str] | None = None) -> Outcome:
        result = CliRunner().invoke(app, [str(one) for one in args], obj=dict(environment or {}))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Outcome(result.exit_code, result.stdout, result.stderr)

    def release(self, *args: object, key: bool = True, run: object = RUN) -> Outcome:
        keyed = ("--key", self.key) if key else ()
        return self.command("release", run, "--root", self.root, "--json", *keyed, *args)

    def find(self, place: str = "", tag: str = "stable") -> "Shelf":
        return Shelf(place or f"oci:{self.root / '.edgebound' / 'releases'}", tag, self.policy)


@dataclass(frozen=True)
class Shelf:
    """A release, as it lies in a registry."""

    place: str
    tag: str
    policy: Path

    @property
    def children(self) -> dict[str, Descriptor]:
        """The manifests, by target; the documents by the empty name."""
        with open_source(parse_reference(self.place), Access()) as source:
            _, index = find(source, self.tag)
        return {chosen_by(one.annotations).target: one for one in index.manifests}

    @property
    def digest(self) -> str:
        with open_source(parse_reference(self.place), Access()) as source:
            return find(source, self.tag)[0].digest

    def kind(self, target: str = "") -> str:
        """Give what a manifest says that it is."""
        with open_source(parse_reference(self.place), Access()) as source:
            return find(source, self.children[target].digest)[1].artifact_type

    def facts(self, target: str = "") -> ReleaseFacts:
        return chosen_by(self.children[target].annotations)

    def names(self, target: str = "") -> set[str]:
        with open_source(parse_reference(self.place), Access()) as source:
            return set(files_of(find(source, self.children[target].digest)[1]))

    def pull(self, out: Path, target: str = "", channel: str = "stable") -> Path:
        """Fetch one manifest's files, signature first."""
        child = self.children[target]
        with open_source(parse_reference(self.place), Access()) as source:
            policy = load_policy(self.policy)
            signed = read_signed(source, child, policy, channel, datetime.now(timezone.utc))
            fetch(source, signed.manifest, out)
        said = load((out / "release.json").read_text(), out / "release.json")
        assert said == chosen_by(child.annotations)
        return out


def read(path: Path) -> Any:
    return json.loads(path.read_text())
