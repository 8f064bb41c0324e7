"""What stands in a certificate, for people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from controlplane.net import certificates
from controlplane.xds.identities import Identities


def described(pem: bytes) -> list[str]:
    """The names in each certificate, how long it is valid, and who an xDS client with it is. Raises
    ValueError.
    """
    found: list[str] = []
    for number, one in enumerate(x509.load_pem_x509_certificates(pem)):
        names = certificates.of_pem(one.public_bytes(Encoding.PEM))
        every = (*names.uris, *names.names, *names.addresses)
        left = one.not_valid_after_utc - datetime.now(UTC)
        state = f"{left.total_seconds() / 3600:.1f} h left" if left > timedelta(0) else "EXPIRED"
        found.append(f"names: {', '.join(every) or 'none'}")
        found.append(f"valid until {one.not_valid_after_utc.isoformat()} ({state})")
        who = Identities().of(names)
        if number == 0 and who:
            found.append(f"an xDS client with it is {' and '.join(each.party for each in who)}")
    return found
