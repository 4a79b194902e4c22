"""Who signs: a key file, the environment, another program."""

import hashlib
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.signing import KeySource, find_signer, sign_files
from pipeline.signing.command import CommandSigner
from pipeline.signing.keys import KeyFiles, load_public, new_key
from targets.errors import EdgeboundError, TrustError, UsageError
from targets.trust.bundle import verify_bundle

FILES = {"release.json": hashlib.sha256(b"{}").hexdigest()}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> KeyFiles:
    return new_key(tmp_path_factory.mktemp("key"), "release")


def refused(call: Callable[[], object], kind: "type[EdgeboundError]" = UsageError) -> str:
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    assert caught.value.hint
    return caught.value.what


def signs(source: KeySource, pair: KeyFiles) -> bool:
    signer = find_signer(source)
    signed = verify_bundle(sign_files("steel", FILES, signer), [pair.key])
    return signed.files == FILES and signed.key_id == signer.key_id == pair.key.id


def by_openssl(pair: KeyFiles) -> str:
    return f"openssl dgst -sha256 -sign {shlex.quote(str(pair.private))}"


def by_python(code: str, pair: KeyFiles) -> CommandSigner:
    command = shlex.join([sys.executable, "-c", code])
    return CommandSigner(command, pair.key, {})


def test_a_key_file_signs(pair: KeyFiles) -> None:
    assert signs(KeySource(file=pair.private), pair)


def test_the_environment_signs(pair: KeyFiles) -> None:
    environment = {"EDGEBOUND_SIGNING_KEY": pair.private.read_text()}

    assert KeySource(environment=environment).is_given
    assert signs(KeySource(environment=environment), pair)


def test_an_encrypted_key_signs_with_its_password_only(tmp_path: Path) -> None:
    pair = new_key(tmp_path, "secret", "correct horse")
    source = KeySource(file=pair.private, environment={"EDGEBOUND_KEY_PASSWORD": "correct horse"})

    assert b"ENCRYPTED" in pair.private.read_bytes()
    assert signs(source, pair)
    assert "cannot be read" in refused(lambda: find_signer(KeySource(file=pair.private)))
    wrong = KeySource(file=pair.private, environment={"EDGEBOUND_KEY_PASSWORD": "wrong"})
    assert "cannot be read" in refused(lambda: find_signer(wrong))


def test_keys_that_openssl_makes_are_taken(tmp_path: Path) -> None:
    private, public = tmp_path / "k.pem", tmp_path / "k.pub"
    subprocess.run(
        ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", private], check=True
    )
    subprocess.run(
        ["openssl", "ec", "-in", private, "-pubout", "-out", public], check=True, capture_output=True
    )

    assert signs(KeySource(file=private), KeyFiles(private, public, load_public(public)))


@pytest.mark.parametrize(
    ("algorithm", "said"),
    [
        (["-algorithm", "ed25519"], "no key of the curve P-256"),
        (["-algorithm", "RSA"], "no key of the curve P-256"),
    ],
)
def test_keys_of_other_kinds_are_refused(algorithm: "list[str]", said: str, tmp_path: Path) -> None:
    file = tmp_path / "other.pem"
    subprocess.run(["openssl", "genpkey", *algorithm, "-out", file], check=True, capture_output=True)

    assert said in refused(lambda: find_signer(KeySource(file=file)))


@pytest.mark.parametrize(
    "content", ["", "no key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_what_is_no_key_is_refused(content: str, tmp_path: Path, pair: KeyFiles) -> None:
    file = tmp_path / "none.pem"
    file.write_text(content)

    assert str(file) in refused(lambda: find_signer(KeySource(file=file)))
    assert str(file) in refused(lambda: load_public(file))
    if content:
        environment = {"EDGEBOUND_SIGNING_KEY": content}
        assert "$EDGEBOUND_SIGNING_KEY" in refused(lambda: find_signer(KeySource(environment=environment)))


def test_a_key_that_is_not_there_or_too_big_is_refused(tmp_path: Path) -> None:
    assert "cannot be read" in refused(lambda: find_signer(KeySource(file=tmp_path / "gone.pem")))
    big = tmp_path / "big.pem"
    big.write_bytes(b"x" * 100_000)
    assert "too big" in refused(lambda: find_signer(KeySource(file=big)))


def test_without_any_key_the_ways_to_name_one_are_told() -> None:
    assert not KeySource().is_given
    with pytest.raises(UsageError) as caught:
        find_signer(KeySource())
    assert "EDGEBOUND_SIGNING_KEY" in caught.value.hint


@pytest.mark.parametrize(
    "source",
    [
        KeySource(command="sign"),
        KeySource(public_key=Path("k.pub")),
        KeySource(file=Path("k.pem"), command="sign", public_key=Path("k.pub")),
    ],
)
def test_two_who_sign_or_half_a_one_is_refused(source: KeySource) -> None:
    assert "not clear" in refused(lambda: find_signer(source))


def test_the_command_line_counts_before_the_environment(pair: KeyFiles, tmp_path: Path) -> None:
    other = new_key(tmp_path, "other").private.read_text()

    assert signs(KeySource(file=pair.private, environment={"EDGEBOUND_SIGNING_KEY": other}), pair)


def test_another_program_signs(pair: KeyFiles) -> None:
    source = KeySource(
        command=by_openssl(pair), public_key=pair.public, environment={"PATH": os.environ["PATH"]}
    )

    assert signs(source, pair)


def test_a_program_that_fails_is_told_with_its_code_and_words(pair: KeyFiles) -> None:
    signer = by_python("import sys; sys.exit('no token in the slot')", pair)

    said = refused(lambda: signer.sign(b"message"), TrustError)

    assert "ended with 1: no token in the slot" in said


def ends(pid: int) -> bool:
    """Say whether a process is gone within a while; one that nobody has asked for since is a zombie."""
    stat = Path(f"/proc/{pid}/stat")
    for _ in range(500):
        if not stat.exists() or stat.read_text().split()[2] == "Z":
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("then", ["wait", "exit 0"], ids=["hangs", "ends"])
def test_what_a_program_started_ends_with_it_where_it_keeps_us_waiting(
    then: str, pair: KeyFiles, tmp_path: Path
) -> None:
    mark = tmp_path / "pid"
    script = f"sleep 600 & echo $! > {shlex.quote(str(mark))}; {then}"
    signer = CommandSigner(shlex.join(["sh", "-c", script]), pair.key, {"PATH": os.environ["PATH"]}, 1.0)

    assert "gave no signature in 1 s" in refused(lambda: signer.sign(b"message"), TrustError)
    assert ends(int(mark.read_text()))


@pytest.mark.parametrize(
    "code",
    [
        "pass",
        "print('no signature')",
        "import sys; sys.stdout.buffer.write(bytes.fromhex('3006020101020101'))",
        "import sys; sys.stdout.buffer.write(b'x' * 1_000_000)",
    ],
)
def test_what_a_program_gives_is_verified_before_it_is_used(code: str, pair: KeyFiles) -> None:
    assert "gave no signature by key" in refused(lambda: by_python(code, pair).sign(b"message"), TrustError)


def test_a_program_with_another_key_is_found_out(pair: KeyFiles, tmp_path: Path) -> None:
    other = new_key(tmp_path, "other")
    signer = CommandSigner(by_openssl(other), pair.key, {"PATH": os.environ["PATH"]})

    assert f"by key {pair.key.id[:16]}" in refused(lambda: signer.sign(b"message"), TrustError)


def test_a_command_that_is_none_is_refused(pair: KeyFiles) -> None:
    assert "cannot be read" in refused(lambda: CommandSigner("sign 'it", pair.key, {}))
    assert "empty" in refused(lambda: CommandSigner("  ", pair.key, {}))
    signer = CommandSigner("/nowhere/sign", pair.key, {})
    assert "cannot be run" in refused(lambda: signer.sign(b"message"), TrustError)


def test_a_big_message_reaches_a_program_that_does_not_read_it(pair: KeyFiles) -> None:
    said = refused(lambda: by_python("pass", pair).sign(b"x" * 5_000_000), TrustError)

    assert "gave no signature" in said
