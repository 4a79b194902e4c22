"""Policies: who is believed for what, and until when."""

import json
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.signing import sign_files
from pipeline.signing.keys import KeySigner
from targets.errors import TrustError
from targets.trust.policy import Policy, TrustedKey, dump_policy, find_policy, load_policy
from tests.targets.trust.conftest import FILES, digests

Signers = tuple[KeySigner, KeySigner]
NOW = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)


def trusted(signer: KeySigner, **dates: str) -> TrustedKey:
    return TrustedKey(signer.key_id, signer.public.pem, **dates)


def policy_of(*keys: TrustedKey, **channels: "tuple[str, ...]") -> Policy:
    return Policy(keys=keys, channels=channels or {"stable": tuple(key.id for key in keys)})


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(TrustError) as caught:
        call()
    assert caught.value.hint
    return caught.value.what


def test_a_signature_by_a_key_of_the_channel_is_believed(signers: Signers, bundle: bytes) -> None:
    signed = policy_of(trusted(signers[0])).check([bundle], "stable", NOW)

    assert (signed.key_id, signed.files) == (signers[0].key_id, digests(FILES))


def test_one_good_signature_among_others_is_enough(signers: Signers, bundle: bytes) -> None:
    strange = sign_files("steel", digests(FILES), signers[1])

    signed = policy_of(trusted(signers[0])).check([b"", strange, bundle], "stable", NOW)

    assert signed.key_id == signers[0].key_id


def test_without_a_good_one_the_reason_of_each_is_told(signers: Signers, bundle: bytes) -> None:
    said = refused(lambda: policy_of(trusted(signers[1])).check([b"{}", bundle], "stable", NOW))

    assert "'dsseEnvelope' is missing" in said
    assert "not trusted here" in said


def test_no_signature_is_not_enough(signers: Signers) -> None:
    assert "no signature" in refused(lambda: policy_of(trusted(signers[0])).check([], "stable", NOW))


def test_a_key_counts_for_its_channels_only(signers: Signers, bundle: bytes) -> None:
    ours, theirs = map(trusted, signers)
    policy = Policy((ours, theirs), {"stable": (theirs.id,), "*": (ours.id,), "closed": ()})

    assert policy.check([bundle], "beta", NOW)
    assert "not trusted here" in refused(lambda: policy.check([bundle], "stable", NOW))
    assert "no key for channel 'closed'" in refused(lambda: policy.check([bundle], "closed", NOW))
    only_stable = Policy((ours,), {"stable": (ours.id,)})
    assert "no key for channel 'beta'" in refused(lambda: only_stable.check([bundle], "beta", NOW))


@pytest.mark.parametrize(
    ("dates", "said"),
    [
        ({"valid_from": "2026-06-01T12:00:00Z", "valid_until": "2026-06-01T12:00:01Z"}, ""),
        ({"valid_until": "2026-06-01T12:00:00Z"}, "was valid until 2026-06-01T12:00:00Z"),
        ({"valid_from": "2026-06-01T12:00:01Z"}, "is valid from 2026-06-01T12:00:01Z on"),
    ],
)
def test_a_key_counts_from_one_date_to_another(
    dates: "dict[str, str]", said: str, signers: Signers, bundle: bytes
) -> None:
    policy = policy_of(trusted(signers[0], **dates))
    if not said:
        assert policy.check([bundle], "stable", NOW)
        return
    what = refused(lambda: policy.check([bundle], "stable", NOW))
    assert said in what
    assert "the clock here says 2026-06-01 12:00 UTC" in what


def test_a_policy_is_read_as_it_was_written(signers: Signers, tmp_path: Path) -> None:
    policy = policy_of(
        trusted(signers[0], name="ours", valid_until="2027-01-01T00:00:00Z"), trusted(signers[1])
    )
    file = tmp_path / "trust.json"
    file.write_text(dump_policy(policy))

    assert load_policy(file) == policy


Change = Callable[["dict[str, Any]"], None]
BROKEN: "dict[str, Change]" = {
    "another version": lambda p: p.update(schema=2),
    "no version": lambda p: p.pop("schema"),
    "a version that is true": lambda p: p.update(schema=True),
    "no keys": lambda p: p.pop("keys"),
    "a key that is not in it": lambda p: p["channels"].update(stable=["0" * 64]),
    "a channel that is none": lambda p: p["channels"].update({"a b": []}),
    "a channel of one text": lambda p: p["channels"].update(stable="x"),
    "a key twice": lambda p: p["keys"].append(p["keys"][0]),
    "a key under another id": lambda p: p["keys"][0].update(id="0" * 64),
    "a key that is none": lambda p: p["keys"][0].update(pem="none"),
    "a date that is none": lambda p: p["keys"][0].update(valid_until="soon"),
    "a date without a zone": lambda p: p["keys"][0].update(valid_until="2027-01-01"),
    "a date of another zone": lambda p: p["keys"][0].update(valid_from="2027-01-01T00:00:00+02:00"),
    "something unknown": lambda p: p["keys"][0].update(trusted=True),
    "keys that are one": lambda p: p.update(keys=p["keys"][0]),
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_policy_trusts_nobody(change: Change, signers: Signers, tmp_path: Path) -> None:
    table = json.loads(dump_policy(policy_of(trusted(signers[0]))))
    change(table)
    file = tmp_path / "trust.json"
    file.write_text(json.dumps(table))

    assert str(file) in refused(lambda: load_policy(file))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"NaN",
        b'{"schema": NaN}',
        b'{"schema": 1, "schema": 1, "keys": [], "channels": {}}',
        b'{"schema": 1' + b"0" * 1000 + b"}",
        b'{"schema": 1e999, "keys": [], "channels": {}}',
        b"[" * 10_000_000,
        b'{"a":' + b"[" * 1_000_000,
    ],
)
def test_what_is_no_policy_trusts_nobody(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "trust.json"
    file.write_bytes(content)

    refused(lambda: load_policy(file))


@settings(max_examples=100, deadline=None)
@given(content=st.one_of(st.binary(max_size=100), st.text(max_size=100).map(lambda text: text.encode())))
def test_noise_trusts_nobody(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.getbasetemp() / "noise.json"
    file.write_bytes(content)

    refused(lambda: load_policy(file))


@settings(max_examples=100, deadline=None)
@given(
    field=st.sampled_from(["valid_from", "valid_until", "pem", "id"]), text=st.text(min_size=1, max_size=40)
)
def test_any_text_for_a_field_is_refused(
    field: str, text: str, signers: Signers, tmp_path_factory: pytest.TempPathFactory
) -> None:
    table = json.loads(dump_policy(policy_of(trusted(signers[0]))))
    table["keys"][0][field] = text
    file = tmp_path_factory.getbasetemp() / "field.json"
    file.write_text(json.dumps(table))

    refused(lambda: load_policy(file))


@pytest.mark.parametrize("place", ["missing.json", "."])
def test_a_policy_that_cannot_be_read_trusts_nobody(place: str, tmp_path: Path) -> None:
    assert "cannot be read" in refused(lambda: load_policy(tmp_path / place))


def test_the_policy_is_looked_for_in_order(tmp_path: Path) -> None:
    machine = tmp_path / "etc" / "edgebound" / "trust.json"
    user = tmp_path / "home" / ".config" / "edgebound" / "trust.json"
    home = {"HOME": str(tmp_path / "home")}

    assert find_policy(None, home, tmp_path) is None
    for place in (machine, user):
        place.parent.mkdir(parents=True)
        place.write_text("{}")
        assert find_policy(None, home, tmp_path) == place
    assert find_policy(None, {}, tmp_path) == machine
    assert find_policy(None, {**home, "XDG_CONFIG_HOME": str(tmp_path / "none")}, tmp_path) == machine
    assert find_policy(None, {**home, "XDG_CONFIG_HOME": str(user.parents[1])}, tmp_path) == user
    assert find_policy(None, {"XDG_CONFIG_HOME": "x" * 5000}, tmp_path) == machine


def test_a_policy_that_is_named_is_not_looked_for_elsewhere(tmp_path: Path) -> None:
    machine = tmp_path / "etc" / "edgebound" / "trust.json"
    machine.parent.mkdir(parents=True)
    machine.write_text("{}")
    environment = {"EDGEBOUND_TRUST": str(tmp_path / "gone.json")}

    assert find_policy(None, environment, tmp_path) == tmp_path / "gone.json"
    assert find_policy(tmp_path / "given.json", environment, tmp_path) == tmp_path / "given.json"
    assert find_policy(None, {"EDGEBOUND_TRUST": ""}, tmp_path) == machine
