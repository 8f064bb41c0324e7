"""The certificate of the webhook as its Secret holds it, and when a new one is due. Only makes keys, no I/O.

The Secret has the newest CA first and the one before it, so that both are trusted while replicas change over.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509

from controlplane.net.authority import Issued, issue, new_authority

CA_LIFETIME = timedelta(days=365)
LIFETIME = timedelta(days=30)
DUE = 1 / 3
"""Share of its lifetime that a certificate has left when it is replaced."""

CA, CA_KEY, CERTIFICATE, KEY = "ca.crt", "ca.key", "tls.crt", "tls.key"
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Pair:
    """`authorities` (PEM) are trusted, the first of them has signed `serving`."""

    authorities: tuple[bytes, ...]
    authority_key: bytes
    serving: Issued

    @property
    def bundle(self) -> bytes:
        """What the API server has to trust."""
        return b"".join(self.authorities)

    def data(self) -> dict[str, str]:
        """As the member `data` of a Secret."""
        found = {
            CA: self.bundle,
            CA_KEY: self.authority_key,
            CERTIFICATE: self.serving.certificate,
            KEY: self.serving.key,
        }
        return {name: base64.b64encode(value).decode() for name, value in found.items()}


def read(data: Mapping[str, str] | None) -> Pair | None:
    """What a Secret holds; None where it is empty or cannot be used."""
    try:
        found = {name: base64.b64decode(text, validate=True) for name, text in (data or {}).items()}
        authorities = tuple(_PEM.findall(found[CA]))
        for one in (*authorities, found[CERTIFICATE]):
            x509.load_pem_x509_certificate(one)
        if not authorities or not found[CA_KEY] or not found[KEY]:
            return None
        return Pair(authorities, found[CA_KEY], Issued(found[CERTIFICATE], found[KEY]))
    except (KeyError, ValueError, binascii.Error):
        return None


def current(pair: Pair | None, hosts: Sequence[str], now: datetime) -> Pair:
    """`pair` itself, or the one that replaces it: a new certificate, and a new CA where that is due, too."""
    if pair is None or _due(pair.authorities[0], now):
        made = new_authority("laneway-inject", CA_LIFETIME)
        before = pair.authorities[:1] if pair is not None else ()
        return Pair(
            (made.certificate, *before),
            made.key,
            issue(made, LIFETIME, hosts=hosts, server=True, client=False),
        )
    if not _due(pair.serving.certificate, now) and _hosts(pair.serving.certificate) == set(hosts):
        return pair
    authority = Issued(pair.authorities[0], pair.authority_key)
    return Pair(
        pair.authorities,
        pair.authority_key,
        issue(authority, LIFETIME, hosts=hosts, server=True, client=False),
    )


def _due(certificate: bytes, now: datetime) -> bool:
    read = x509.load_pem_x509_certificate(certificate)
    lifetime = read.not_valid_after_utc - read.not_valid_before_utc
    return now.astimezone(UTC) > read.not_valid_after_utc - lifetime * DUE


def _hosts(certificate: bytes) -> set[str]:
    try:
        names = x509.load_pem_x509_certificate(certificate).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
    except x509.ExtensionNotFound:
        return set()
    found = {str(one) for one in names.value.get_values_for_type(x509.IPAddress)}
    return found | set(names.value.get_values_for_type(x509.DNSName))
