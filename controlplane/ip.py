"""IP addresses as people and registries write them."""

from __future__ import annotations

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def ip_address(text: str) -> Address:
    """The address that `text` means; one of version 6 may stand in brackets, as URLs have it.

    Spring Cloud Alibaba registers such an address in brackets. Raises ValueError for anything else.
    """
    if text.startswith("[") and text.endswith("]"):
        return ipaddress.IPv6Address(text[1:-1])
    return ipaddress.ip_address(text)


def authority(address: str, port: int) -> str:
    """`10.0.0.1:80` or `[::1]:80`, as URLs and Host have it."""
    return f"[{address}]:{port}" if ":" in address and address[0] != "[" else f"{address}:{port}"
