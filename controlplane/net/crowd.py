"""The connections of a port, bounded in all and per address; idle ones make room for new ones."""

from __future__ import annotations

import functools
import ipaddress
from collections import Counter
from collections.abc import Hashable
from typing import Generic, TypeVar

from .largest import Largest

T = TypeVar("T", bound=Hashable)


@functools.lru_cache(maxsize=4096)
def sender(host: str) -> str:
    """The address that bounds count by: an IPv4 address, or the /64 of an IPv6 address, which one host may
    own.
    """
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.IPv6Network((address.packed, 64), strict=False))
    return str(address)


class Crowd(Generic[T]):
    """The connections of one port. `most`: in all, `most_per_sender`: of one address (see `sender`).

    A connection is *waiting* (it has no request in work) until `busy`, and again after `waiting`. If there is
    no room for a new connection, the one that has waited longest is displaced: of the same address if that
    address has its full share, else of the address with the most waiting connections (see `Largest`). So
    clients that only hold connections open keep nobody out, and displace connections of their own address
    first.
    """

    def __init__(self, most: int, most_per_sender: int) -> None:
        self.most = most
        self.most_per_sender = most_per_sender
        #: Sums since the start.
        self.displaced = 0
        self.refused = 0
        self._sender: dict[T, str] = {}
        self._count: Counter[str] = Counter()
        self._waiting: dict[str, dict[T, None]] = {}
        self._idle = Largest[str]()  # the numbers of those

    def __len__(self) -> int:
        return len(self._sender)

    def enter(self, connection: T, host: str) -> T | None:
        """Admit `connection`. Returns the connection to close for it, already removed; itself if there is no
        room.
        """
        key = sender(host)
        displaced: T | None = None
        if self._count[key] >= self.most_per_sender:
            displaced = self._oldest(key)
        elif len(self._sender) >= self.most:
            most = self._idle.find()
            displaced = None if most is None else self._oldest(most)
        else:
            self._add(connection, key)
            return None
        if displaced is None:
            self.refused += 1
            self._forget(key)
            return connection
        self.displaced += 1
        self.leave(displaced)
        self._add(connection, key)
        return displaced

    def busy(self, connection: T) -> None:
        """It has a request in work and cannot be displaced."""
        if (key := self._sender.get(connection)) is not None:
            self._no_longer_idle(connection, key)

    def waiting(self, connection: T) -> None:
        """It has no request in work from now on."""
        if (key := self._sender.get(connection)) is not None:
            self._now_idle(connection, key)

    def leave(self, connection: T) -> None:
        """It is closed. May be called more than once."""
        if (key := self._sender.pop(connection, None)) is not None:
            self._no_longer_idle(connection, key)
            self._count[key] -= 1
            self._forget(key)

    def _add(self, connection: T, key: str) -> None:
        self._sender[connection] = key
        self._count[key] += 1
        self._waiting.setdefault(key, {})
        self._now_idle(connection, key)

    def _now_idle(self, connection: T, key: str) -> None:
        if connection not in self._waiting[key]:
            self._waiting[key][connection] = None
            self._idle.add(key, 1)

    def _no_longer_idle(self, connection: T, key: str) -> None:
        if connection in self._waiting[key]:
            del self._waiting[key][connection]
            self._idle.add(key, -1)

    def _oldest(self, key: str) -> T | None:
        return next(iter(self._waiting.get(key, ())), None)

    def _forget(self, key: str) -> None:
        if not self._count[key]:
            del self._count[key]
            self._waiting.pop(key, None)
