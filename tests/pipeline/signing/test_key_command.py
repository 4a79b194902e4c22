"""`pipeline key`: keys made, trusted, rotated, distrusted."""

import stat
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from commands import invoke
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.signing import KeySource, find_signer, sign_files
from pipeline.signing.policies import as_moment
from targets.errors import TrustError, UsageError
from targets.trust.policy import Policy, load_policy

FILES = {"release.json": "0" * 64}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made(name: str = "release") -> str:
    """Make a key; give its id."""
    done = invoke("key", "new", "--name", name, "--json")
    assert done.code == 0, done.said
    return str(done.document["id"])


def ids(policy: Policy, channel: str) -> "tuple[str, ...]":
    return policy.channels[channel]


def believed(name: str, channel: str, at: datetime) -> bool:
    """Say whether a device with `trust.json` believes a key at a time."""
    bundle = sign_files("steel", FILES, find_signer(KeySource(file=Path(f"{name}.key.pem"))))
    try:
        load_policy(Path("trust.json")).check([bundle], channel, at)
    except TrustError:
        return False
    return True


def test_a_new_key_can_be_read_by_its_owner_only_and_is_named(here: Path) -> None:
    done = invoke("key", "new", "--out", "keys", "--name", "release-2027", "--json")

    private, public = here / "keys" / "release-2027.key.pem", here / "keys" / "release-2027.pub.pem"
    assert done.code == 0
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert done.document["pem"] == public.read_text()
    assert done.document["id"] in done.said
    assert "not encrypted" in done.said
    assert find_signer(KeySource(file=private)).key_id == done.document["id"]


def test_with_a_password_in_the_environment_the_key_is_encrypted(here: Path) -> None:
    environment = {"EDGEBOUND_KEY_PASSWORD": "correct horse"}

    done = CliRunner().invoke(app, ["key", "new"], obj=environment)

    assert done.exit_code == 0
    assert "ENCRYPTED" in (here / "release.key.pem").read_text()
    assert "correct horse" not in done.output
    assert find_signer(KeySource(file=here / "release.key.pem", environment=environment))


@pytest.mark.parametrize("which", ["release.key.pem", "release.pub.pem"])
def test_no_key_is_overwritten(which: str, here: Path) -> None:
    (here / which).write_text("precious")

    done = invoke("key", "new", "--json")

    assert done.code == 2
    assert which in done.what
    assert (here / which).read_text() == "precious"
    assert [path.name for path in here.iterdir()] == [which]


@pytest.mark.parametrize("name", ["../up", "a/b", "", "-x"])
def test_a_key_is_not_named_out_of_its_folder(name: str, here: Path) -> None:
    done = invoke("key", "new", f"--name={name}", "--json")

    assert done.code == 2
    assert "no name for files" in done.what
    assert list(here.iterdir()) == []


def test_a_key_is_trusted_for_channels(here: Path) -> None:
    ours, other = made(), made("ci")

    assert invoke("key", "trust", "release.pub.pem").code == 0
    assert invoke("key", "trust", "ci.pub.pem", "--channel", "cache", "--channel", "beta").code == 0

    policy = load_policy(here / "trust.json")
    assert policy.channels == {"stable": (ours,), "cache": (other,), "beta": (other,)}
    assert [key.name for key in policy.keys] == ["release", "ci"]
    now = datetime.now(timezone.utc)
    assert believed("release", "stable", now)
    assert not believed("ci", "stable", now)


def test_trusting_again_adds_channels_and_changes_dates(here: Path) -> None:
    ours = made()
    invoke("key", "trust", "release.pub.pem")

    done = invoke("key", "trust", "release.pub.pem", "--channel", "beta", "--until", "2030-01-01", "--json")

    assert done.document["channels"] == {"stable": [ours], "beta": [ours]}
    assert [key["valid_until"] for key in done.document["keys"]] == ["2030-01-01T00:00:00Z"]


def test_a_policy_is_made_in_a_folder_that_is_not_there_yet(here: Path) -> None:
    made()

    assert invoke("key", "trust", "release.pub.pem", "--policy", "etc/edgebound/trust.json").code == 0
    assert load_policy(here / "etc" / "edgebound" / "trust.json")


def test_a_rotated_key_is_believed_until_its_date_beside_the_new_one(here: Path) -> None:
    old, new = made(), made("next")
    invoke("key", "trust", "release.pub.pem", "--channel", "stable", "--channel", "beta")

    done = invoke("key", "rotate", "next.pub.pem", "--old", old[:12], "--until", "2027-03-31")

    assert done.code == 0
    assert ids(load_policy(here / "trust.json"), "beta") == (old, new)
    before, after = (datetime(2027, month, 1, tzinfo=timezone.utc) for month in (3, 4))
    assert [believed(name, "stable", before) for name in ("release", "next")] == [True, True]
    assert [believed(name, "stable", after) for name in ("release", "next")] == [False, True]


def test_without_a_date_the_old_key_has_90_days(here: Path) -> None:
    made()
    made("next")
    invoke("key", "trust", "release.pub.pem")
    invoke("key", "rotate", "next.pub.pem", "--old", "release")

    now = datetime.now(timezone.utc)
    assert believed("release", "stable", now + timedelta(days=88))
    assert not believed("release", "stable", now + timedelta(days=91))


def test_rotation_never_prolongs_a_key(here: Path) -> None:
    made()
    made("next")
    invoke("key", "trust", "release.pub.pem", "--until", "2027-01-01")
    invoke("key", "rotate", "next.pub.pem", "--old", "release", "--until", "2029-01-01")

    assert not believed("release", "stable", datetime(2027, 1, 1, tzinfo=timezone.utc))


def test_a_key_is_not_rotated_to_itself_nor_to_one_that_is_known(here: Path) -> None:
    made()
    invoke("key", "trust", "release.pub.pem")
    before = (here / "trust.json").read_bytes()

    done = invoke("key", "rotate", "release.pub.pem", "--old", "release", "--json")

    assert done.code == 2
    assert "has the new key already" in done.what
    assert (here / "trust.json").read_bytes() == before


def test_a_distrusted_key_is_believed_no_more_and_its_channel_stays_closed(here: Path) -> None:
    made()
    other = made("ci")
    invoke("key", "trust", "release.pub.pem")
    invoke("key", "trust", "ci.pub.pem", "--channel", "*")

    assert invoke("key", "distrust", "release").code == 0

    policy = load_policy(here / "trust.json")
    assert policy.channels == {"stable": (), "*": (other,)}
    assert not believed("ci", "stable", datetime.now(timezone.utc))
    assert not believed("release", "stable", datetime.now(timezone.utc))


@pytest.mark.parametrize("old", ["", "nobody"])
def test_a_key_that_is_not_known_is_told_with_those_that_are(old: str, here: Path) -> None:
    ours = made()
    invoke("key", "trust", "release.pub.pem")

    done = invoke("key", "distrust", "--json", "--", old)

    assert done.code == 2
    assert "has 0 keys" in done.what
    assert ours[:16] in done.hint


def test_an_ambiguous_key_is_refused(here: Path) -> None:
    for folder in ("a", "b"):
        invoke("key", "new", "--out", folder)
        invoke("key", "trust", f"{folder}/release.pub.pem")

    done = invoke("key", "distrust", "release", "--json")

    assert done.code == 2
    assert "has 2 keys" in done.what


@pytest.mark.parametrize(
    "options",
    [
        ["--until", "soon"],
        ["--from", "2027-13-01"],
        ["--channel", "a b"],
        ["--until", "0001-01-01T00:00:00+14:00"],
    ],
)
def test_a_wrong_date_or_channel_changes_nothing(options: "list[str]", here: Path) -> None:
    made()

    assert invoke("key", "trust", "release.pub.pem", *options).code == 2
    assert not (here / "trust.json").exists()


def test_a_broken_policy_is_not_written_over(here: Path) -> None:
    made()
    (here / "trust.json").write_text("{}")

    done = invoke("key", "trust", "release.pub.pem")

    assert done.code == 1
    assert (here / "trust.json").read_text() == "{}"


def test_dates_are_taken_as_utc() -> None:
    assert as_moment("2027-06-30") == "2027-06-30T00:00:00Z"
    assert as_moment("2027-06-30T14:00:00+02:00") == "2027-06-30T12:00:00Z"
    assert as_moment("") == ""
    with pytest.raises(UsageError):
        as_moment("never")
