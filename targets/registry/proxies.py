"""Proxies: which one a request goes through, by the variables that curl, Go and pip know."""

import ipaddress
from typing import Mapping, Optional
from urllib.parse import SplitResult, urlsplit

from targets.errors import UsageError

_PORTS = {"http": 80, "https": 443}


def find_proxy(url: SplitResult, environment: Mapping[str, str]) -> Optional[SplitResult]:
    """Find the proxy for a URL.

    `http_proxy`, `https_proxy` and `no_proxy` in either case, the small one first. As in Go's net/http, this
    machine itself is never behind a proxy.

    Returns:
        Its URL; None to go straight.

    Raises:
        UsageError: The variable holds no URL of a proxy that can be used.
    """
    name = f"{url.scheme}_proxy"
    # HTTP_PROXY can be set from outside in a CGI program, by a header "Proxy:" (CVE-2016-5385).
    is_cgi = name == "http_proxy" and "REQUEST_METHOD" in environment
    given = environment.get(name) or ("" if is_cgi else environment.get(name.upper(), ""))
    excluded = environment.get("no_proxy") or environment.get("NO_PROXY", "")
    host = url.hostname or ""
    if not given or is_loopback(host) or _is_excluded(host, url.port or _PORTS[url.scheme], excluded):
        return None
    proxy = urlsplit(given if "://" in given else f"http://{given}")
    try:
        usable = proxy.scheme == "http" and proxy.hostname and (proxy.port or 80)
    except ValueError:  # the port is no number
        usable = None
    if not usable:
        raise UsageError(
            f"{name.upper()} is {_without_password(given)!r}, no proxy that can be used here.",
            hint="Write http://host:port, also for a proxy that carries HTTPS.",
        )
    return proxy


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine."""
    address = _address(host)
    return address.is_loopback if address else host.lower() == "localhost"


def _is_excluded(host: str, port: int, excluded: str) -> bool:
    return any(_matches(host.lower(), port, entry.strip().lower()) for entry in excluded.split(","))


def _matches(host: str, port: int, entry: str) -> bool:
    if entry == "*":
        return True
    try:
        network = ipaddress.ip_network(entry, strict=False)
    except ValueError:
        pass
    else:
        address = _address(host)
        return address is not None and address in network
    name, colon, wanted = entry.rpartition(":")
    if colon and wanted.isdigit():
        return int(wanted) == port and _matches(host, port, name.strip("[]"))
    suffix = entry.lstrip("*").lstrip(".")
    return bool(suffix) and (host == suffix or host.endswith(f".{suffix}"))


def _address(host: str) -> "Optional[ipaddress.IPv4Address | ipaddress.IPv6Address]":
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _without_password(url: str) -> str:
    scheme, slashes, rest = url.rpartition("://")
    return f"{scheme}{slashes}{rest.rpartition('@')[2]}"
