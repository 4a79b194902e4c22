"""References: what is one, what is none, and that each is read as it was written."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from targets.errors import UsageError
from targets.registry.reference import Reference, is_digest, parse_reference

UNHURRIED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
DIGEST = f"sha256:{'0123456789abcdef' * 4}"
HOSTS = st.sampled_from(
    [
        "localhost",
        "localhost:5000",
        "ghcr.io",
        "registry.example:443",
        "127.0.0.1:5000",
        "[::1]:5000",
        "a-b.c",
    ]
)
NAMES = st.from_regex(
    r"[a-z0-9]{1,8}((\.|_|__|-{1,3})[a-z0-9]{1,8}){0,2}(/[a-z0-9]{1,8}){0,3}", fullmatch=True
)
TAGS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,30}", fullmatch=True)
PATHS = st.text(st.characters(exclude_characters=":@\0", exclude_categories=["Cs"]), min_size=1)


@UNHURRIED
@given(HOSTS, NAMES, st.just("") | TAGS, st.sampled_from(["", DIGEST]))
def test_a_reference_to_a_registry_is_read_as_it_is_written(
    host: str, name: str, tag: str, digest: str
) -> None:
    reference = Reference("registry", host, name, tag, digest)

    assert parse_reference(str(reference)) == reference


@UNHURRIED
@given(st.sampled_from(["folder", "archive"]), PATHS, st.just("") | TAGS, st.sampled_from(["", DIGEST]))
def test_a_reference_to_a_folder_is_read_as_it_is_written(
    kind: str, path: str, tag: str, digest: str
) -> None:
    reference = Reference(kind, path, tag=tag, digest=digest)  # type: ignore[arg-type]

    assert parse_reference(str(reference)) == reference


@UNHURRIED
@given(st.text() | st.text("abc:/@.[]sha256"))
def test_any_text_is_a_reference_or_is_refused_in_plain_words(text: str) -> None:
    try:
        reference = parse_reference(text)
    except UsageError as exc:
        assert repr(text) in exc.what
        assert exc.hint
    else:
        assert parse_reference(str(reference)) == reference
        assert not reference.digest or is_digest(reference.digest)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "names no registry"),
        ("ubuntu", "names no registry"),
        ("library/ubuntu:22.04", "names no registry"),
        ("ghcr.io", "names no registry"),
        ("ghcr.io/", "no name"),
        ("ghcr.io/Upper", "no name"),
        ("ghcr.io/a//b", "no name"),
        ("ghcr.io/../etc", "no name"),
        ("ghcr.io/a:tag:tag", "no tag"),
        ("ghcr.io/a:", "no tag"),
        (f"ghcr.io/a:{'t' * 129}", "no tag"),
        ("ghcr.io/a@sha256:12", "no sha256 digest"),
        (f"ghcr.io/a@sha512:{'0' * 128}", "no sha256 digest"),
        (f"ghcr.io/a@{DIGEST.upper()}", "no sha256 digest"),
        (f"ghcr.io/{'a' * 250}", "no name"),
        ("https://ghcr.io/a", "names no registry"),
        ("ghcr.io:0/a", "names no registry"),
        ("ghcr.io:99999/a", "names no registry"),
        ("user@ghcr.io/a", "no sha256 digest"),
        ("-oProxyCommand.x/a", "names no registry"),
        ("oci:", "no path"),
        ("oci:folder:a/b", "no tag"),
        ("oci-archive::v1", "no path"),
    ],
)
def test_what_is_no_reference_is_refused(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parse_reference(text)


def test_a_digest_goes_before_a_tag_and_latest_comes_last() -> None:
    assert parse_reference(f"ghcr.io/a:v1@{DIGEST}").target == DIGEST
    assert parse_reference("ghcr.io/a:v1").target == "v1"
    assert parse_reference("ghcr.io/a").target == "latest"
    assert str(parse_reference("ghcr.io/a:v1").at(digest=DIGEST)) == f"ghcr.io/a@{DIGEST}"
