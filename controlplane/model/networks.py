"""IP networks as users write them (`10.0.0.0/8`, `fd00::/8`, `10.1.2.3`), and which addresses are in them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from controlplane.model.fields import refuse

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


def network(text: str) -> Network:
    """The network that `text` means; an address alone is a network of one. Raises ValueError."""
    return ipaddress.ip_network(text)


def check(text: str, *field: str | int) -> None:
    """Refuse what is not a network. Raises the error that pydantic collects."""
    remedy = "write a network such as 10.0.0.0/8 or fd00::/8, or one address"
    _, slash, length = text.partition("/")
    if (slash and re.fullmatch("[0-9]{1,3}", length) is None) or "%" in text:
        refuse("is not a network of IP addresses", remedy, *field)
    try:
        network(text)
    except ValueError:
        try:
            whole = ipaddress.ip_network(text, strict=False)
        except ValueError:
            refuse("is not a network of IP addresses", remedy, *field)
        refuse("has bits set behind its prefix length", f"write {whole}", *field)


def with_mapped(networks: Iterable[Network]) -> tuple[Network, ...]:
    """`networks`, and each of version 4 a second time as its IPv4-mapped form (RFC 4291, 2.5.5.2).

    A proxy in front that listens on `::` may write `::ffff:10.1.2.3` in X-Forwarded-For. A mapped network is
    added as the one of version 4 that it means.
    """
    found: dict[Network, None] = {}
    for one in networks:
        found[one] = None
        if isinstance(one, ipaddress.IPv4Network):
            mapped = int(_MAPPED.network_address) | int(one.network_address)
            found[ipaddress.IPv6Network((mapped, 96 + one.prefixlen))] = None
        elif one.subnet_of(_MAPPED):
            plain = int(one.network_address) & 0xFFFFFFFF
            found[ipaddress.IPv4Network((plain, one.prefixlen - 96))] = None
    return tuple(found)
