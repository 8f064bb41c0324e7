"""Memory that clients make a port hold: parts of requests, and responses that they do not read.

Each is bounded for a connection and over all of them. Where all together hold too much, the connection makes
room that holds most among those of the address that holds most: who comes is never turned away for what
others hold.
"""

from __future__ import annotations

from collections.abc import Callable

from controlplane.net.largest import Largest

from . import frames
from .frames import ConnectionFault


class Share:
    """What one connection holds of a room. `end` ends the connection, with a reason."""

    __slots__ = ("_open", "_room", "end", "host", "taken")

    def __init__(self, room: Room, host: str, end: Callable[[str], None]) -> None:
        self._room = room
        self.host = host
        self.end = end
        self.taken = 0
        self._open = True

    def take(self, size: int) -> None:
        """Hold so many bytes more. Raises ConnectionFault where that is too much for this connection, or
        where it is the one to make room.
        """
        room = self._room
        if not self._open:
            return
        if self.taken + size > room.most_each:
            raise room.fault(f"more than {room.most_each} bytes of {room.what}")
        self.taken += size
        room.holds(self, size)
        while room.taken > room.most:
            largest = room.largest()
            if largest is self:
                self.give(size)
                raise room.fault(f"most of the {room.most} bytes of {room.what} of all connections")
            largest.end(f"most of the {room.most} bytes of {room.what} of all connections")

    def give(self, size: int) -> None:
        """Hold so many bytes less."""
        if not size or not self._open:
            return
        self.taken -= size
        self._room.holds(self, -size)

    def close(self) -> None:
        """Hold nothing any more."""
        self.give(self.taken)
        self._open = False
        self.end = _nothing


def _nothing(_: str) -> None:
    """The end of what has ended."""


class Room:
    """Bytes that all connections of a port may hold of `what`: `most` together, `most_each` one of them."""

    def __init__(self, what: str, most: int, most_each: int) -> None:
        self.what = what
        self.most = most
        self.most_each = most_each
        self.taken = 0
        self._hosts = Largest[str]()
        self._shares: dict[str, Largest[Share]] = {}

    def share(self, host: str, end: Callable[[str], None]) -> Share:
        """The share of a connection from `host`."""
        return Share(self, host, end)

    def holds(self, share: Share, size: int) -> None:
        """The share holds so many bytes more, or, where it is negative, less."""
        self.taken += size
        host = share.host
        self._hosts.add(host, size)
        shares = self._shares.get(host)
        if shares is None:
            shares = self._shares[host] = Largest()
        shares.add(share, size)
        if not self._hosts[host]:
            del self._shares[host]

    def largest(self) -> Share:
        """The largest share of the address that holds most. Something has to be held."""
        host = self._hosts.find()
        assert host is not None
        share = self._shares[host].find()
        assert share is not None
        return share

    def fault(self, text: str) -> ConnectionFault:
        """The end of a connection that holds too much."""
        return ConnectionFault(frames.ENHANCE_YOUR_CALM, text, "memory")
