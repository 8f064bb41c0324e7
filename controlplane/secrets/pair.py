"""A certificate with its key, as an edge can use it. Pure. No text here has any content of a key."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

LARGEST = 64 << 10
"""Most bytes of a file."""
_FEWEST_BITS = 2048
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_DUE = 5
"""The part of its life that a certificate has left when it should have been renewed: one in so many."""


class PairError(ValueError):
    """The files are no pair that an edge can use. `remedy` says what to do."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Pair:
    """`chain` and `key` in PEM form; `begins` and `expires` in epoch seconds: when all of the chain is valid.

    `version` derives from the chain alone, which every client of the edge is shown: nothing that the key
    decides is ever said.
    """

    chain: bytes = field(repr=False)
    key: bytes = field(repr=False)
    begins: float
    expires: float
    version: str

    def said(self, now: float) -> str | None:
        """What to say about its validity at `now`, if anything."""
        if now < self.begins:
            return f"the certificate is not valid before {_at(self.begins)}"
        if now >= self.expires:
            return f"the certificate has ended at {_at(self.expires)}"
        return None

    def due(self, now: float) -> bool:
        """Whether less than a fifth of its life is left: what renews it by itself would have done so."""
        return self.expires - now < (self.expires - self.begins) / _DUE

    @property
    def until(self) -> str:
        return _at(self.expires)


def read_pair(certificate: bytes, key: bytes) -> Pair:
    """Read a certificate with its chain, and its key. Raises PairError."""
    for name, content in (("tls.crt", certificate), ("tls.key", key)):
        if len(content) > LARGEST:
            raise PairError(f"{name} has more than {LARGEST} bytes", "leave out what is not PEM")
    try:
        chain = x509.load_pem_x509_certificates(certificate)
    except ValueError:
        remedy = "write the server's certificate and those between it and the CA, in PEM form"
        raise PairError("tls.crt has no certificates that can be read", remedy) from None
    private = _private(key)
    public = _public(private)
    of = [_public(one) for one in chain]
    if of[0] != public:
        if public in of:
            raise PairError(
                "tls.crt does not begin with the certificate of tls.key", "put the server's own one first"
            )
        raise PairError("tls.key is not the key of tls.crt", "put a certificate and its own key into them")
    written = b"".join(one.public_bytes(Encoding.PEM) for one in chain)
    return Pair(
        chain=written,
        key=private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        begins=max(one.not_valid_before_utc.timestamp() for one in chain),
        expires=min(one.not_valid_after_utc.timestamp() for one in chain),
        version=hashlib.sha256(written).hexdigest()[:16],
    )


def _private(content: bytes) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    try:
        found = load_pem_private_key(content, None)
    except TypeError:
        remedy = "write the key without a password, and let the directory's permissions protect it"
        raise PairError("tls.key is protected by a password", remedy) from None
    except (ValueError, UnsupportedAlgorithm):
        raise PairError("tls.key has no key that can be read", "write a key in PEM form (PKCS8)") from None
    # What BoringSSL takes, and with it every Envoy.
    if isinstance(found, rsa.RSAPrivateKey) and found.key_size >= _FEWEST_BITS:
        return found
    if isinstance(found, ec.EllipticCurvePrivateKey) and found.curve.name in _CURVES:
        return found
    remedy = f"use RSA with {_FEWEST_BITS} bits and more, or ECDSA on P-256, P-384 or P-521"
    raise PairError("tls.key has a kind of key that Envoy does not take", remedy)


def _public(of: x509.Certificate | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return of.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _at(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
