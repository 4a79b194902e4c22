"""Manifests from elsewhere: what is taken, and what is refused in plain words."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from targets.errors import RegistryError
from targets.registry.content import (
    EMPTY,
    EMPTY_TYPE,
    INDEX_TYPE,
    MANIFEST_TYPE,
    Descriptor,
    Manifest,
    describe,
    parse_manifest,
)

UNHURRIED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
CONFIG = describe(EMPTY, EMPTY_TYPE)
WORDS = st.text(max_size=20)
DESCRIPTORS = st.builds(
    Descriptor,
    media_type=WORDS,
    digest=st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True),
    size=st.integers(0, 2**53),
    annotations=st.dictionaries(WORDS, WORDS, max_size=3),
    artifact_type=WORDS,
    platform=st.dictionaries(WORDS, WORDS, max_size=2),
)


def manifest(**changes: Any) -> bytes:
    table = json.loads(Manifest(MANIFEST_TYPE, "application/vnd.x", CONFIG, (CONFIG,)).encode())
    return json.dumps({**table, **changes}).encode()


@UNHURRIED
@given(
    st.lists(DESCRIPTORS, max_size=3).map(tuple),
    st.none() | DESCRIPTORS,
    st.dictionaries(WORDS, WORDS, max_size=3),
)
def test_a_manifest_is_read_as_it_is_written(
    children: tuple[Descriptor, ...], subject: Descriptor | None, annotations: dict[str, str]
) -> None:
    layers = Manifest(MANIFEST_TYPE, "a/b", CONFIG, children, subject=subject, annotations=annotations)
    index = Manifest(INDEX_TYPE, "a/b", manifests=children, subject=subject, annotations=annotations)

    assert parse_manifest(layers.encode(), MANIFEST_TYPE) == layers
    assert parse_manifest(index.encode(), INDEX_TYPE) == index


KEYS = st.sampled_from(["layers", "config", "manifests", "digest", "size", "mediaType", "schemaVersion"])
VALUES = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner)
)


@UNHURRIED
@given(st.binary() | VALUES.map(lambda value: json.dumps(value).encode()))
def test_whatever_comes_is_read_or_refused(content: bytes) -> None:
    for media_type in (MANIFEST_TYPE, INDEX_TYPE):
        try:
            parse_manifest(content, media_type)
        except RegistryError as exc:
            assert exc.hint


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(b"", "cannot be read", id="empty"),
        pytest.param(b"[]", "not a JSON object", id="a list"),
        pytest.param(b"\xff", "cannot be read", id="no UTF-8"),
        pytest.param(b"[" * 100_000, "nested too deeply", id="nested"),
        pytest.param(manifest(schemaVersion=1), "version 1", id="an old version"),
        pytest.param(manifest(mediaType=INDEX_TYPE), "image.index", id="says it is an index"),
        pytest.param(manifest(manifests=[]), "at once", id="two kinds at once"),
        pytest.param(manifest(layers={}), "list of descriptors", id="layers are no list"),
        pytest.param(manifest(layers=[[]]), "cannot be read", id="a layer is no table"),
        pytest.param(
            manifest(layers=[{**CONFIG.as_json(), "digest": "../../etc"}]), "no sha256", id="a path"
        ),
        pytest.param(manifest(layers=[{**CONFIG.as_json(), "size": -1}]), "no size", id="a negative size"),
        pytest.param(manifest(layers=[{**CONFIG.as_json(), "size": True}]), "no size", id="a size of true"),
        pytest.param(manifest(layers=[{**CONFIG.as_json(), "size": 1.5}]), "no size", id="half a byte"),
        pytest.param(manifest(annotations={"a": 1}), "no text", id="a number as a fact"),
        pytest.param(manifest(config=None), "cannot be read", id="no config"),
        pytest.param(b'{"size": ' + b"9" * 1_000_000 + b"}", "too long", id="a long figure"),
        pytest.param(b'{"size": NaN}', "no JSON", id="NaN"),
        pytest.param(b'{"a": 1, "a": 2}', "twice", id="a key twice"),
    ],
)
def test_a_malformed_manifest_is_refused(content: bytes, why: str) -> None:
    with pytest.raises(RegistryError, match=why):
        parse_manifest(content, MANIFEST_TYPE)


def test_an_image_in_dockers_format_is_told_from_an_artifact() -> None:
    docker = "application/vnd.docker.distribution.manifest.v2+json"

    with pytest.raises(RegistryError, match=r"docker.*neither an OCI manifest") as caught:
        parse_manifest(manifest(mediaType=docker), docker)

    assert "container image" in caught.value.hint


def test_an_artifact_without_a_type_is_what_its_config_is() -> None:
    old = Manifest(MANIFEST_TYPE, config=Descriptor("application/vnd.old", CONFIG.digest, 2))

    assert parse_manifest(old.encode(), MANIFEST_TYPE).artifact_type == "application/vnd.old"
