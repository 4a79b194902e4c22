"""The section `cache:`, the trust policy and the environment together."""

from collections.abc import Callable
from pathlib import Path

import pytest
from toys import Sow, SowInputs

from pipeline.cache import SharedCache, find_cache, shared
from pipeline.fetched import Ways
from pipeline.sections import CacheSection
from pipeline.signing.keys import KeySigner, new_key
from pipeline.store import Store
from targets.errors import TrustError, UsageError
from targets.registry.access import Access
from targets.trust.policy import dump_policy
from tests.pipeline.cache.conftest import Machine, Signers, trusting

Find = Callable[..., "SharedCache | None"]


@pytest.fixture
def find(tmp_path: Path, signers: Signers) -> Find:
    policy = tmp_path / "trust.json"
    policy.write_text(dump_policy(trusting(signers[0])))

    def found(
        policy: "Path | None" = policy, environment: "dict[str, str] | None" = None, **section: object
    ) -> "SharedCache | None":
        ways = Ways(
            access=Access(environment=environment or {}, plain_http=("other.example",)), policy=policy
        )
        settings = CacheSection(**{"remote": "registry.example/cache", **section})  # type: ignore[arg-type]
        store = Store(tmp_path / ".edgebound")
        return find_cache(settings, store, ways, folder=tmp_path, note=lambda _: None)

    return found


def signing(cache: "SharedCache | None") -> "KeySigner":
    assert cache is not None
    assert isinstance(cache.signer, KeySigner)
    return cache.signer


def test_without_a_remote_there_is_none(find: Find) -> None:
    assert find(remote="") is None


def test_without_a_key_it_is_read_only(find: Find) -> None:
    cache = find()

    assert cache is not None
    assert cache.signer is None
    assert cache.policy is not None
    assert cache.notes == []


def test_a_key_of_the_environment_signs(find: Find, tmp_path: Path) -> None:
    files = new_key(tmp_path, "ci")
    environment = {"EDGEBOUND_SIGNING_KEY": files.private.read_text()}

    assert signing(find(environment=environment)).key_id == files.key.id
    assert getattr(find(environment=environment, push=False), "signer", 1) is None


def test_a_key_file_of_the_project_signs(find: Find, tmp_path: Path) -> None:
    files = new_key(tmp_path / "keys", "ci")

    assert signing(find(key="keys/ci.key.pem")).key_id == files.key.id


def test_pushing_that_is_asked_for_wants_a_key(find: Find) -> None:
    with pytest.raises(UsageError, match="no key to sign with"):
        find(push=True)


def test_without_a_policy_nothing_is_believed_and_that_is_told(find: Find) -> None:
    cache = find(policy=None)

    assert cache is not None
    assert cache.policy is None
    assert "nothing is fetched: there is no trust policy here" in cache.notes[0]


def test_a_policy_without_a_key_for_the_cache_is_told(find: Find, tmp_path: Path, signers: Signers) -> None:
    (tmp_path / "releases.json").write_text(dump_policy(trusting(signers[0], "stable")))

    cache = find(policy=tmp_path / "releases.json")

    assert cache is not None
    assert cache.policy is None
    assert "no key for channel 'cache'" in cache.notes[0]


def test_a_policy_that_cannot_be_read_is_an_error(find: Find, tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")

    with pytest.raises(TrustError, match=r"broken\.json"):
        find(policy=tmp_path / "broken.json")


@pytest.mark.parametrize("remote", ["registry.example/cache:v1", "oci-archive:cache.tar", "cache"])
def test_a_remote_is_a_repository(find: Find, remote: str) -> None:
    with pytest.raises(UsageError):
        find(remote=remote)


def test_a_folder_is_the_project_s_own(find: Find, tmp_path: Path) -> None:
    cache = find(remote="oci:shared")

    assert cache is not None
    assert cache.place.place == str(tmp_path / "shared")


def test_hosts_in_the_clear_add_to_those_of_the_command_line(find: Find) -> None:
    cache = find(plain_http=("registry.example",), ca="ca.pem")

    assert cache is not None
    assert cache.access.plain_http == ("other.example", "registry.example")
    assert cache.access.ca is not None
    assert cache.access.ca.name == "ca.pem"


def test_a_step_of_too_many_files_is_not_shared_and_that_is_told(
    machine: Callable[..., Machine], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "MOST_FILES", 2)
    maker = machine(place)
    maker.runner(Sow(files=3), SowInputs())
    machine(place).runner(Sow(files=3), SowInputs())

    assert "it has 3 files, and 2 are the most" in maker.said
    assert Sow.calls == ["seed"] * 2
