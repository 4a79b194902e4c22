"""`state.json`: what a device remembers of its pulls, so that no old release passes for a new one."""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Mapping

from targets.errors import ModelError, TrustError
from targets.record import dump, load, refuse_schema
from targets.registry.disk import explained
from targets.release.facts import ReleaseFacts

SCHEMA = 1
FILE_NAME = "state.json"
_MAX_STATE = 1 << 20  # bytes
_HINT = (
    "Somebody changed it, or the disk is damaged. If you take the file away, what was pulled before is "
    "forgotten, and an older release is taken for a new one."
)


@dataclass(frozen=True)
class State:
    """What is remembered in a folder.

    Attributes:
        sequences: Highest sequence that was ever put in place, by `name/channel`; never lowered.
        name: Of the model that the folder is for; empty before the first pull.
        channel: Of the last pull.
        reference: Likewise, as it was written.
        schema: Version of the file's format.
    """

    sequences: Mapping[str, int] = field(default_factory=dict)
    name: str = ""
    channel: str = ""
    reference: str = ""
    schema: int = SCHEMA

    def highest(self, facts: ReleaseFacts) -> int:
        """Give the highest sequence that was seen of a release's model and channel; 0 if none was."""
        return self.sequences.get(f"{facts.name}/{facts.channel}", 0)

    def with_release(self, facts: ReleaseFacts, reference: str) -> "State":
        """Give what is remembered once a release is in place."""
        known = {f"{facts.name}/{facts.channel}": max(self.highest(facts), facts.sequence)}
        return replace(
            self,
            sequences=dict(self.sequences, **known),
            name=facts.name,
            channel=facts.channel,
            reference=reference,
        )


def load_state(folder: Path) -> State:
    """Read what a folder remembers; nothing in a new one.

    Raises:
        TrustError: It cannot be read: then nobody knows what was there before.
    """
    path = folder / FILE_NAME
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_STATE).decode()
        refuse_schema(text, path, SCHEMA, older=_HINT, newer="Update edgebound on this machine.")
        return load(State, text)
    except FileNotFoundError:
        return State()
    except (OSError, ValueError) as exc:
        raise TrustError(f"{path} cannot be read: {exc}.", hint=_HINT) from exc
    except ModelError as exc:
        raise TrustError(exc.what, hint=exc.hint) from exc


def save_state(folder: Path, state: State) -> None:
    """Write what a folder remembers; a power cut leaves the old or the new.

    Raises:
        DiskFullError: There is no room.
        RegistryError: The folder cannot be written.
    """
    temporary = folder / f".{FILE_NAME}.new"
    with explained(folder):
        with temporary.open("wb") as file:
            file.write(dump(state).encode())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / FILE_NAME)
