"""Which requests go through a proxy."""

from urllib.parse import urlsplit

import pytest

from targets.errors import UsageError
from targets.registry.proxies import find_proxy

PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("url", "environment", "is_used"),
    [
        ("https://ghcr.io", {"HTTPS_PROXY": PROXY}, True),
        ("https://ghcr.io", {"https_proxy": "proxy.example:3128"}, True),
        ("https://ghcr.io", {"HTTP_PROXY": PROXY}, False),
        ("http://ghcr.io", {"HTTP_PROXY": PROXY}, True),
        ("http://ghcr.io", {"HTTP_PROXY": PROXY, "REQUEST_METHOD": "GET"}, False),  # CVE-2016-5385
        ("https://localhost:5000", {"HTTPS_PROXY": PROXY}, False),
        ("https://127.0.0.3", {"HTTPS_PROXY": PROXY}, False),
        ("https://[::1]:5000", {"HTTPS_PROXY": PROXY}, False),
        ("https://ghcr.io", {"HTTPS_PROXY": PROXY, "NO_PROXY": "*"}, False),
        ("https://ghcr.io", {"HTTPS_PROXY": PROXY, "NO_PROXY": "quay.io, ghcr.io"}, False),
        ("https://a.ghcr.io", {"HTTPS_PROXY": PROXY, "NO_PROXY": "ghcr.io"}, False),
        ("https://a.ghcr.io", {"HTTPS_PROXY": PROXY, "NO_PROXY": ".ghcr.io"}, False),
        ("https://a.ghcr.io", {"HTTPS_PROXY": PROXY, "no_proxy": "*.GHCR.io"}, False),
        ("https://notghcr.io", {"HTTPS_PROXY": PROXY, "NO_PROXY": "ghcr.io"}, True),
        ("https://ghcr.io:5000", {"HTTPS_PROXY": PROXY, "NO_PROXY": "ghcr.io:5000"}, False),
        ("https://ghcr.io", {"HTTPS_PROXY": PROXY, "NO_PROXY": "ghcr.io:5000"}, True),
        ("https://10.1.2.3", {"HTTPS_PROXY": PROXY, "NO_PROXY": "10.0.0.0/8"}, False),
        ("https://11.1.2.3", {"HTTPS_PROXY": PROXY, "NO_PROXY": "10.0.0.0/8"}, True),
        ("https://[fd00::1]:5000", {"HTTPS_PROXY": PROXY, "NO_PROXY": "fd00::/8"}, False),
        ("https://ghcr.io", {"HTTPS_PROXY": PROXY, "NO_PROXY": ",, "}, True),
    ],
)
def test_the_variables_are_read_as_others_read_them(
    url: str, environment: dict[str, str], is_used: bool
) -> None:
    found = find_proxy(urlsplit(url), environment)

    assert (found.netloc if found else "") == ("proxy.example:3128" if is_used else "")


@pytest.mark.parametrize("value", ["socks5://user:hunter2@p:1", "https://p:1", "http://p:port", "http://"])
def test_a_proxy_that_cannot_be_used_is_named_without_its_password(value: str) -> None:
    with pytest.raises(UsageError, match="HTTPS_PROXY is") as caught:
        find_proxy(urlsplit("https://ghcr.io"), {"https_proxy": value})

    assert "hunter2" not in caught.value.what
