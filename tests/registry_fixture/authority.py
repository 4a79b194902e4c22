"""A certificate authority for one test session, made by openssl."""

import subprocess
from pathlib import Path

_NAMES = "subjectAltName=DNS:localhost,DNS:registry.example,IP:127.0.0.1,IP:::1"


class Authority:
    """A key and a certificate of its own, and those of a server, signed by it.

    Attributes:
        certificate: PEM; what clients are to trust.
        server_certificate: PEM; for localhost, 127.0.0.1, ::1 and registry.example.
        server_key: Of the server.
        folder: Where all of it lies.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificate = folder / "ca.pem"
        self.server_certificate = folder / "server.pem"
        self.server_key = folder / "server.key"
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        self._openssl(
            "req", "-x509", *key, "-keyout", folder / "ca.key", "-out", self.certificate,
            "-days", "2", "-subj", "/CN=Test authority", "-addext", "keyUsage=critical,keyCertSign",
        )  # fmt: skip
        request = folder / "server.csr"
        self._openssl("req", "-new", *key, "-keyout", self.server_key, "-out", request, "-subj", "/CN=server")
        names = folder / "names"
        names.write_text(f"{_NAMES}\n")
        self._openssl(
            "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", folder / "ca.key",
            "-CAcreateserial", "-out", self.server_certificate, "-days", "2", "-extfile", names,
        )  # fmt: skip

    def _openssl(self, *arguments: "str | Path") -> None:
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
