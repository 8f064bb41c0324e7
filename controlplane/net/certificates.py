"""The names in a client's certificate, as handshakes tell them."""

from __future__ import annotations

import functools
import math
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_URI, _DNS, _ADDRESS = "URI", "DNS", "IP Address"


@dataclass(frozen=True, slots=True)
class Certificate:
    """The subject alternative names of a certificate whose chain and key the handshake has checked."""

    uris: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    """DNS names."""
    addresses: tuple[str, ...] = ()
    """IP addresses."""
    ends: float = field(default=math.inf, compare=False)
    """When it ends to be valid, in epoch seconds. A renewed certificate with the same names is equal."""


def of_handshake(said: Mapping[str, Any] | None) -> Certificate | None:
    """What `ssl.SSLObject.getpeercert` says; None without a certificate."""
    if not said:
        return None
    found: dict[str, list[str]] = {_URI: [], _DNS: [], _ADDRESS: []}
    for kind, value in said.get("subjectAltName", ()):
        if kind in found:
            found[kind].append(value)
    ends = ssl.cert_time_to_seconds(said["notAfter"])
    return Certificate(tuple(found[_URI]), tuple(found[_DNS]), tuple(found[_ADDRESS]), ends)


@functools.lru_cache(maxsize=1024)
def of_pem(pem: bytes) -> Certificate:
    """What a certificate in PEM form says. Raises ValueError."""
    from cryptography import x509  # only here: it takes 30 ms to import, and one transport needs it

    found = x509.load_pem_x509_certificate(pem)
    ends = found.not_valid_after_utc.timestamp()
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return Certificate(ends=ends)
    return Certificate(
        tuple(names.value.get_values_for_type(x509.UniformResourceIdentifier)),
        tuple(names.value.get_values_for_type(x509.DNSName)),
        tuple(str(address) for address in names.value.get_values_for_type(x509.IPAddress)),
        ends,
    )
