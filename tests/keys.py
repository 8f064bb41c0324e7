"""Certificates with their keys for listeners, as they stand in a directory of secrets."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

DAY = timedelta(days=1)


def pem(key: Any) -> bytes:
    """A key as it is written to a file."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def made(
    name: str = "shop.test", key: Any = None, begins: timedelta = -DAY, ends: timedelta = 30 * DAY
) -> tuple[bytes, bytes]:
    """A certificate that signs itself, and its key. `begins`, `ends`: from now."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    )
    return built.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM), pem(key)


def put(directory: Path, secret: str, pair: tuple[bytes, bytes]) -> None:
    """Write a pair into the directory of secrets: as Kubernetes does, both files at once by one link."""
    at = directory / secret
    at.mkdir(parents=True, exist_ok=True)
    version = at / f"..{len(list(at.iterdir()))}"
    version.mkdir()
    (version / "tls.crt").write_bytes(pair[0])
    (version / "tls.key").write_bytes(pair[1])
    link = at / "..new"
    link.symlink_to(version.name)
    os.replace(link, at / "..data")
    for file in ("tls.crt", "tls.key"):
        if not (at / file).is_symlink():
            (at / file).symlink_to(f"..data/{file}")
