"""Which Host a request to the admin API may name.

A page of the internet can give its own name the address of this machine (DNS rebinding), and then reads and
writes here as a page of the same origin. Its name is what gives it away.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

_HOST = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::[0-9]{1,5})?")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None


def name_of(header: str) -> str | None:
    """The name or address of a Host header (RFC 9110, 7.2), without port, in small letters; None if bad."""
    found = _HOST.fullmatch(header.strip())
    return None if found is None else (found["v6"] or found["name"]).lower().rstrip(".")


class Hosts:
    """Takes `localhost`, loopback addresses, the address or name that is bound, and `more`.

    Bound to every address, or by a name, it takes every IP address: a page has no address for a name.
    """

    def __init__(self, bound: str, more: Iterable[str] = ()) -> None:
        address = _address(bound)
        self._names = {"localhost", bound.strip("[]").lower(), *(name_of(one) or one.lower() for one in more)}
        by_name = address is None and bound != "localhost"
        self._any_address = by_name or (address is not None and address.is_unspecified)

    def known(self, header: str) -> bool:
        """Whether a request with this Host header, empty where there is none, may be answered."""
        name = name_of(header)
        if name is None:
            return False
        if name in self._names:
            return True
        address = _address(name)
        if address is None:
            return False
        return self._any_address or address.is_loopback or str(address) in self._names
