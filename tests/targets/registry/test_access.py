"""Who may what: certificates, passwords, tokens, proxies and redirects, with real servers."""

import base64
import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from targets.errors import NotFoundError, RegistryError
from targets.registry.content import Descriptor
from targets.registry.patience import TransientError
from tests.registry_fixture.authority import Authority
from tests.registry_fixture.faults import ALWAYS, Fault, FaultyProxy
from tests.registry_fixture.forward import ForwardProxy
from tests.registry_fixture.server import Registry
from tests.registry_fixture.tokens import IDENTITY, TokenServer
from tests.targets.registry.conftest import Desk, small

Big = tuple[Path, Descriptor]


# -------------------------------------------------------------------------------------- certificates
def test_a_certificate_of_an_unknown_authority_is_refused(guarded: Registry, desk: Desk) -> None:
    begin = time.monotonic()

    with pytest.raises(RegistryError, match=r"certificate of 127.0.0.1:\d+ is not trusted") as caught:
        desk.open(f"{guarded.host}/a", ca=None).tags()

    assert "--ca" in caught.value.hint
    assert time.monotonic() - begin < 2  # it is not tried again


def test_a_certificate_for_another_name_is_refused(guarded: Registry, desk: Desk) -> None:
    through = ForwardProxy()
    environment = {**desk.access.environment, "https_proxy": through.url}

    with pytest.raises(RegistryError, match=r"not trusted: .*other\.example"):
        desk.open(f"other.example:{guarded.port}/a", environment=environment).tags()
    through.close()


def test_a_file_that_holds_no_certificates_is_named(guarded: Registry, desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nonsense")

    with pytest.raises(RegistryError, match=r"ca.pem cannot be read as certificates"):
        desk.open(f"{guarded.host}/a", ca=tmp_path / "ca.pem").tags()


def test_another_machine_is_not_spoken_to_in_the_clear_unless_allowed(plain: Registry, desk: Desk) -> None:
    through = ForwardProxy()
    environment = {**desk.access.environment, "https_proxy": through.url, "http_proxy": through.url}
    host = f"registry.example:{plain.port}"

    with pytest.raises(RegistryError, match="does not speak TLS") as caught:
        desk.open(f"{host}/a", environment=environment).tags()
    allowed = desk.open(f"{host}/a", environment=environment, plain_http=(host,)).tags()
    through.close()

    assert "--plain-http" in caught.value.hint
    assert allowed == []


# -------------------------------------------------------------------------------------- passwords
def test_a_password_opens_a_registry(big: Big, guarded: Registry, desk: Desk) -> None:
    desk.log_in(guarded.host)
    repository = desk.open(f"{guarded.host}/mine")

    repository.push_blob(big[1], big[0])

    assert repository.has_blob(big[1])


def test_without_a_login_the_reader_is_told_to_log_in(guarded: Registry, desk: Desk) -> None:
    with pytest.raises(RegistryError, match="401") as caught:
        desk.open(f"{guarded.host}/mine").read_manifest("v1")

    assert caught.value.hint.endswith(f"docker login {guarded.host}")


def test_a_wrong_password_is_not_tried_again_and_not_shown(guarded: Registry, desk: Desk) -> None:
    desk.log_in(guarded.host, password="hunter2")

    with pytest.raises(RegistryError, match="401") as caught:
        desk.open(f"{guarded.host}/mine").read_manifest("v1")

    assert "right one" in caught.value.hint
    assert "hunter2" not in f"{caught.value.what} {caught.value.hint}"


def test_a_password_goes_to_no_other_server(
    big: Big, guarded: Registry, desk: Desk, authority: Authority, tmp_path: Path
) -> None:
    desk.log_in(guarded.host)
    desk.open(f"{guarded.host}/moved").push_blob(big[1], big[0])
    storage = FaultyProxy(0, authority)
    storage.faults = [Fault("GET", "blobs", status=200, body=big[0].read_bytes())]
    front = _Redirecting(authority, f"https://{storage.host}/blobs/x")
    desk.log_in(front.host)

    desk.open(f"{front.host}/moved").fetch_blob(big[1], tmp_path / "got")

    assert "authorization" in front.requests("GET", "blobs")[-1].headers
    assert [one.headers.get("authorization") for one in storage.seen] == [None]
    storage.close()
    front.close()


class _Redirecting(FaultyProxy):
    """Wants a password, and then leads elsewhere."""

    def __init__(self, authority: Authority, place: str) -> None:
        super().__init__(0, authority)
        self.place = place

    def fault(self, method: str, path: str) -> Fault:
        if "authorization" in self.seen[-1].headers or "/v2/" not in path:
            return Fault(status=307, headers={"Location": self.place})
        if path == "/v2/":
            return Fault(status=200)
        return Fault(status=401, headers={"WWW-Authenticate": 'Basic realm="test"'})


@pytest.mark.parametrize(
    "place", ["http://127.0.0.1:1/x", "file:///etc/passwd", "ftp://127.0.0.1/x", "gopher:x"]
)
def test_a_redirect_out_of_safety_is_not_followed(desk: Desk, authority: Authority, place: str) -> None:
    front = FaultyProxy(0, authority)
    front.faults = [
        Fault(path="/v2/$", status=200),
        Fault(status=307, headers={"Location": place}, times=ALWAYS),
    ]

    with pytest.raises(RegistryError, match="not safe"):
        desk.open(f"{front.host}/a").read_blob(small()[1])
    front.close()


def test_a_redirect_in_a_circle_ends(proxy: FaultyProxy, desk: Desk) -> None:
    proxy.faults = [Fault("GET", status=302, headers={"Location": "/v2/again"}, times=ALWAYS)]

    with pytest.raises(RegistryError, match="refuses: HTTP 302"):
        desk.open(f"{proxy.host}/a").read_blob(small()[1])

    assert len(proxy.seen) == 6


# -------------------------------------------------------------------------------------- tokens
def test_a_token_for_pulling_is_exchanged_for_one_that_may_push(
    big: Big, tokened: Registry, token_server: TokenServer, desk: Desk
) -> None:
    desk.log_in(tokened.host)
    token_server.asked.clear()
    repository = desk.open(f"{tokened.host}/mine")

    assert not repository.has_blob(big[1])
    repository.push_blob(big[1], big[0])

    assert repository.has_blob(big[1])
    assert token_server.asked == [
        (["repository:mine:pull"], "edge"),
        (["repository:mine:pull,push"], "edge"),
    ]


def test_strangers_may_pull_with_a_token_and_not_push(
    big: Big, tokened: Registry, desk: Desk, tmp_path: Path
) -> None:
    desk.log_in(tokened.host)
    desk.open(f"{tokened.host}/mine").push_blob(big[1], big[0])
    desk.log_in("another.example")
    stranger = desk.open(f"{tokened.host}/mine")

    stranger.fetch_blob(big[1], tmp_path / "got")
    with pytest.raises(RegistryError, match="does not allow") as caught:
        content, blob = small()
        stranger.push_blob(blob, content)

    assert "docker login" in caught.value.hint


def test_a_token_that_has_run_out_is_renewed(
    tokened: Registry, token_server: TokenServer, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.log_in(tokened.host)
    monkeypatch.setattr(token_server, "life_s", 1)
    token_server.asked.clear()
    repository = desk.open(f"{tokened.host}/mine")

    repository.has_blob(small()[1])
    repository.has_blob(small()[1])
    time.sleep(0.9)
    repository.has_blob(small()[1])

    assert len(token_server.asked) == 2


def test_a_mount_asks_for_both_repositories(
    big: Big, tokened: Registry, token_server: TokenServer, desk: Desk
) -> None:
    desk.log_in(tokened.host)
    desk.open(f"{tokened.host}/there").push_blob(big[1], big[0])
    token_server.asked.clear()
    here = desk.open(f"{tokened.host}/here")

    here.push_blob(big[1], b"not looked at", mount_from="there")

    assert here.has_blob(big[1])
    assert ["repository:here:pull,push", "repository:there:pull"] in [
        scopes for scopes, _ in token_server.asked
    ]


def test_an_identity_token_is_exchanged(tokened: Registry, token_server: TokenServer, desk: Desk) -> None:
    desk.log_in(tokened.host, identitytoken=IDENTITY)
    token_server.asked.clear()

    content, blob = small()
    desk.open(f"{tokened.host}/mine").push_blob(blob, content)

    assert {who for _, who in token_server.asked} == {"edge"}


def test_a_wrong_password_at_the_token_server_is_said(tokened: Registry, desk: Desk) -> None:
    desk.log_in(tokened.host, password="hunter2")

    with pytest.raises(RegistryError, match="refuses user 'edge': HTTP 401 UNAUTHORIZED: wrong password"):
        desk.open(f"{tokened.host}/mine").read_manifest("v1")


def test_a_token_server_that_is_not_well_is_asked_again(
    tokened: Registry, token_server: TokenServer, desk: Desk
) -> None:
    token_server.fails = 2

    assert not desk.open(f"{tokened.host}/mine").has_blob(small()[1])

    token_server.fails = ALWAYS
    with pytest.raises(TransientError, match=r"token server .* is not well: HTTP 503"):
        desk.open(f"{tokened.host}/mine").has_blob(small()[1])
    token_server.fails = 0


def test_a_password_is_not_sent_in_the_clear_to_a_token_server(
    desk: Desk, authority: Authority, tmp_path: Path
) -> None:
    tokens = TokenServer(authority, is_encrypted=False)
    registry = Registry(tmp_path / "registry", authority=authority, tokens=tokens)
    desk.log_in(registry.host)

    with pytest.raises(RegistryError, match="which is not safe"):
        desk.open(f"{registry.host}/mine").tags()

    assert tokens.asked == []
    registry.close()
    tokens.close()


def test_a_repository_that_is_closed_to_this_login_is_said_to_be(tokened: Registry, desk: Desk) -> None:
    desk.log_in(tokened.host)

    with pytest.raises(RegistryError, match=r"does not allow this for .*/closed/a") as caught:
        desk.open(f"{tokened.host}/closed/a").read_manifest("v1")

    assert "not the right to" in caught.value.hint


# -------------------------------------------------------------------------------------- proxies
@pytest.fixture
def forward() -> Iterator[ForwardProxy]:
    proxy = ForwardProxy("user", "p@ss")
    yield proxy
    proxy.close()


def test_a_proxy_with_a_password_leads_to_a_registry_with_tls(
    guarded: Registry, desk: Desk, forward: ForwardProxy, big: Big, tmp_path: Path
) -> None:
    host = f"registry.example:{guarded.port}"
    desk.log_in(host)
    url = forward.url.replace("//", "//user:p%40ss@")
    repository = desk.open(f"{host}/mine", environment={**desk.access.environment, "HTTPS_PROXY": url})

    repository.push_blob(big[1], big[0])
    repository.fetch_blob(big[1], tmp_path / "got")

    assert (tmp_path / "got").read_bytes() == big[0].read_bytes()
    assert set(forward.asked) == {f"CONNECT {host}"}


def test_a_proxy_that_wants_a_password_is_named(guarded: Registry, desk: Desk, forward: ForwardProxy) -> None:
    environment = {**desk.access.environment, "HTTPS_PROXY": forward.url}

    with pytest.raises(RegistryError, match=r"proxy refuses to connect to .*: HTTP 407") as caught:
        desk.open(f"registry.example:{guarded.port}/mine", environment=environment).tags()

    assert "HTTPS_PROXY" in caught.value.hint


# -------------------------------------------------------------------------------------- odd servers
def test_a_server_that_is_no_registry_is_said_to_be_none(proxy: FaultyProxy, desk: Desk) -> None:
    proxy.faults = [Fault(status=200, body=b"<html>Welcome", times=ALWAYS)]

    with pytest.raises(RegistryError, match="list of tags cannot be read") as caught:
        desk.open(f"{proxy.host}/a").tags()

    assert "OCI registry" in caught.value.hint


def test_a_manifest_without_end_is_not_read_to_its_end(proxy: FaultyProxy, desk: Desk) -> None:
    proxy.faults = [Fault(status=200, body=b"x" * (5 << 20))]

    with pytest.raises(RegistryError, match="more than 4096 KiB"):
        desk.open(f"{proxy.host}/a").read_manifest("v1")


def test_what_a_server_says_cannot_write_to_the_terminal(proxy: FaultyProxy, desk: Desk) -> None:
    body = json.dumps({"errors": [{"code": "X\x1b[31m", "message": "red\nline"}]}).encode()
    proxy.faults = [Fault(status=400, body=body, times=ALWAYS)]

    with pytest.raises(RegistryError) as caught:
        desk.open(f"{proxy.host}/a").read_manifest("v1")

    assert caught.value.what.isprintable()


def test_a_host_that_does_not_exist_is_named(desk: Desk) -> None:
    with pytest.raises(RegistryError, match=r"no host does-not-exist.invalid|cannot be reached"):
        desk.open("does-not-exist.invalid/a").tags()


# -------------------------------------------------------------------------------------- credentials
@pytest.mark.parametrize("environment", [{"DOCKER_CONFIG": "{}"}, {"REGISTRY_AUTH_FILE": "{}/config.json"}])
def test_the_file_of_credentials_can_be_named(
    guarded: Registry, desk: Desk, tmp_path: Path, environment: dict[str, str]
) -> None:
    pair = base64.b64encode(b"edge:secret").decode()
    (tmp_path / "config.json").write_text(
        json.dumps({"auths": {f"https://{guarded.host}/v2/": {"auth": pair}}})
    )
    named = {name: value.format(tmp_path) for name, value in environment.items()}

    content, blob = small()
    desk.open(f"{guarded.host}/mine", environment=named).push_blob(blob, content)


def test_the_credential_for_most_of_the_path_is_taken(guarded: Registry, desk: Desk) -> None:
    wrong, right = (base64.b64encode(pair).decode() for pair in (b"edge:wrong", b"edge:secret"))
    desk.log_in(guarded.host)
    file = desk.home / ".docker" / "config.json"
    file.write_text(
        json.dumps({"auths": {guarded.host: {"auth": wrong}, f"{guarded.host}/team": {"auth": right}}})
    )

    with pytest.raises(NotFoundError):
        desk.open(f"{guarded.host}/team/model").read_manifest("v1")
    with pytest.raises(RegistryError, match="401"):
        desk.open(f"{guarded.host}/other/model").read_manifest("v1")


def helper(desk: Desk, body: str, **settings: object) -> dict[str, str]:
    """Write a program docker-credential-test, and name it in config.json."""
    folder = desk.home / "bin"
    folder.mkdir()
    program = folder / "docker-credential-test"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    (desk.home / ".docker").mkdir()
    (desk.home / ".docker" / "config.json").write_text(json.dumps(settings or {"credsStore": "test"}))
    return {**desk.access.environment, "PATH": f"{folder}:{os.environ['PATH']}"}


@pytest.mark.parametrize("kind", ["credsStore", "credHelpers"])
def test_a_credential_helper_is_asked(guarded: Registry, desk: Desk, kind: str) -> None:
    body = (
        f'test "$1" = get && test "$(cat)" = "{guarded.host}" && '
        """echo '{"ServerURL": "x", "Username": "edge", "Secret": "secret"}'"""
    )
    setting: object = "test" if kind == "credsStore" else {guarded.host: "test"}
    environment = helper(desk, body, **{kind: setting})

    content, blob = small()
    desk.open(f"{guarded.host}/mine", environment=environment).push_blob(blob, content)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("echo credentials not found in native keychain; exit 1", "401"),
        ("exit 3", "failed with exit code 3"),
        ("echo nonsense", "cannot be read as a file of credentials"),
    ],
)
def test_a_helper_without_an_answer_is_named(guarded: Registry, desk: Desk, body: str, why: str) -> None:
    environment = helper(desk, body)

    with pytest.raises(RegistryError, match=why):
        desk.open(f"{guarded.host}/mine", environment=environment).read_manifest("v1")


def test_a_helper_that_is_no_name_is_not_run(guarded: Registry, desk: Desk, tmp_path: Path) -> None:
    environment = helper(desk, "exit 0", credsStore=f"../../x; touch {tmp_path}/evil")

    with pytest.raises(RegistryError, match="no name of a credential helper"):
        desk.open(f"{guarded.host}/mine", environment=environment).read_manifest("v1")

    assert not (tmp_path / "evil").exists()


def test_a_broken_file_of_credentials_is_named_without_its_text(guarded: Registry, desk: Desk) -> None:
    (desk.home / ".docker").mkdir()
    (desk.home / ".docker" / "config.json").write_text('{"auths": {"x": "hunter2"')

    with pytest.raises(RegistryError, match=r"config.json cannot be read") as caught:
        desk.open(f"{guarded.host}/mine").read_manifest("v1")

    assert "hunter2" not in caught.value.what


def test_docker_login_and_we_read_the_same_file(guarded: Registry, desk: Desk, authority: Authority) -> None:
    """Log in by skopeo, which writes podman's file."""
    file = desk.home / "auth.json"
    certificates = desk.home / "certificates"
    certificates.mkdir()
    (certificates / "ca.crt").write_bytes(authority.certificate.read_bytes())
    command = [
        "skopeo",
        "login",
        "--authfile",
        file,
        "--cert-dir",
        certificates,
        "-u",
        "edge",
        "--password-stdin",
    ]
    done = subprocess.run([*command, guarded.host], input="secret", text=True, capture_output=True)
    assert done.returncode == 0, done.stderr

    content, blob = small()
    named = replace(desk.access, environment={"REGISTRY_AUTH_FILE": str(file)})
    desk.open(f"{guarded.host}/mine", environment=named.environment).push_blob(blob, content)
