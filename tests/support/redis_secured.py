"""Redis with TLS, and with users who may do what the documentation lists and no more."""

from __future__ import annotations

import datetime
import ipaddress
import re
from pathlib import Path
from typing import Any

import pytest
from redis_fleet import Node

PAGE = Path(__file__).resolve().parents[2] / "docs" / "redis.md"


def lines_of(*parts: str) -> list[str]:
    """The lines of the page for a new user, and for these parts."""
    found: dict[str, list[str]] = {}
    part = ""
    for line in re.findall(r"^(?:ACL SETUSER|# ).*$", PAGE.read_text().partition("## Permissions")[2], re.MULTILINE):
        if line.startswith("# "):
            part = line[2:]
        else:
            found.setdefault(part, []).append(line)
    return [line for part in ("", *parts) for line in found[part]]


def let(node: Node, name: str, lines: list[str]) -> None:
    for line in lines:
        node.ask(*line.replace("SETUSER langroute ", f"SETUSER {name} ").replace("PASSWORD", "p@ss").split())


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for loopback that signs itself, and its key."""
    pytest.importorskip("cryptography")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - datetime.timedelta(1), now + datetime.timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return folder / "cert.pem", folder / "key.pem"


def tls(certificate: tuple[Path, Path]) -> dict[str, Any]:
    cert, key = certificate
    options = {"port": 0, "tls-cert-file": cert, "tls-key-file": key, "tls-ca-cert-file": cert, "tls-auth-clients": "no"}
    return {"options": options, "port": "tls-port", "connect": {"ssl": True, "ssl_ca_certs": str(cert)}}


__all__ = ["certificate", "let", "lines_of", "tls"]
