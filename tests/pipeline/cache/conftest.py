"""Machines with a store each, a real registry between them, and who signs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from toys import Listener, Shout, Sow

from pipeline.cache import CHANNEL, SharedCache
from pipeline.runner import Runner
from pipeline.signing.keys import KeySigner, load_signer, new_key
from pipeline.store import Store
from targets.registry.reference import parse_reference
from targets.registry.repository import Repository
from targets.trust.policy import Policy, TrustedKey
from tests.registry_fixture.server import Registry
from tests.targets.registry.conftest import (  # noqa: F401  # fixtures: a real registry
    Desk,
    authority,
    desk,
    guarded,
    plain,
    proxy,
)

Signers = tuple[KeySigner, KeySigner]


@pytest.fixture(scope="session")
def signers(tmp_path_factory: pytest.TempPathFactory) -> Signers:
    """Give two who sign; nobody trusts the second."""
    folder = tmp_path_factory.mktemp("keys")
    pairs = [new_key(folder, name) for name in ("ours", "stranger")]
    first, second = (load_signer(pair.private.read_bytes(), str(pair.private)) for pair in pairs)
    return first, second


def trusting(signer: KeySigner, channel: str = CHANNEL) -> Policy:
    """Give a policy that trusts one signer, for one channel."""
    return Policy((TrustedKey(signer.key_id, signer.public.pem),), {channel: (signer.key_id,)})


@dataclass(frozen=True)
class Machine:
    """One that works on steps."""

    runner: Runner
    cache: SharedCache
    open: Callable[..., Repository]

    @property
    def repository(self) -> Repository:
        """The shared one, as whoever may push has it."""
        return self.open(str(self.cache.place))

    @property
    def said(self) -> str:
        return "\n".join(self.cache.notes)


@pytest.fixture(params=["registry", "folder"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return f"oci:{tmp_path / 'shared'}"
    return f"{request.getfixturevalue('plain').host}/{tmp_path.name}"


@pytest.fixture
def machine(tmp_path: Path, desk: Desk, signers: Signers) -> Callable[..., Machine]:  # noqa: F811
    """Give a function that makes machines."""
    Sow.calls.clear()
    Shout.calls.clear()
    count = iter(range(100))

    def made(place: str, **changes: object) -> Machine:
        store = Store(tmp_path / f"machine{next(count)}" / ".edgebound")
        store.prepare()
        listener = Listener()
        cache = SharedCache(
            store=store,
            place=parse_reference(place),
            access=desk.access,
            policy=trusting(signers[0]),
            signer=signers[0],
            note=listener.note,
        )
        cache = replace(cache, **changes)  # type: ignore[arg-type]
        return Machine(Runner(store, listener, shared=cache), cache, desk.open)

    return made


@pytest.fixture
def registry_place(plain: Registry, tmp_path: Path) -> str:  # noqa: F811
    return f"{plain.host}/{tmp_path.name}"
