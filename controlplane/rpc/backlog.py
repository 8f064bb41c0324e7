"""Responses that wait to be read, of all connections of a port.

What many streams are sent is held once and counts once. When much waits, no stream is given a further
response until others have read: first on the connections of an address for which more than the average
waits, then on all of them. So a fleet that connects at once is served as fast as it reads, in a bounded
memory, and one address that reads nothing does not keep the others waiting. No I/O.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice

_SOFT = 3 / 4  # of them, from which on an address waits for which more than the average waits
_SMALL = 1 << 10  # bytes of a part that is not counted: nobody shares it, and it is soon gone
_AT_ONCE = 16  # connections that go on in a turn of the loop; what they are then given is counted in the next
_LOOKED_AT = 64

Soon = Callable[[Callable[[], None]], object]


def _nothing() -> None:
    """What a connection does that is gone."""


class Waiting:
    """What waits on one connection. `roused`: called when it may be given a response that it was refused."""

    __slots__ = ("_backlog", "host", "roused", "size")

    def __init__(self, backlog: Backlog, roused: Callable[[], None]) -> None:
        self._backlog = backlog
        self.roused = roused
        self.host = ""
        self.size = 0
        """Bytes, without regard to what is shared."""

    @property
    def full(self) -> bool:
        """Whether this connection has to wait until others have read."""
        return self._backlog.full(self)

    def ask(self) -> None:
        """Call `roused` when it has to wait no more."""
        self._backlog.asking[self] = None

    def add(self, parts: Sequence[bytes], size: int) -> None:
        """These wait, of `size` bytes together."""
        self._backlog.add(parts)
        self._count(size)

    def taken(self, size: int) -> None:
        """So many bytes wait no more. Each part of which nothing waits any more is to be dropped."""
        self._count(-size)

    def drop(self, rest: memoryview) -> None:
        """Nothing of the part waits any more of which this is the rest."""
        self._backlog.drop(rest.obj)  # type: ignore[arg-type]

    def share(self, queue: Sequence[memoryview]) -> float:
        """What would be free without this queue: a part that waits in several counts as a fraction."""
        return sum(self._backlog.share(rest.obj) for rest in queue)  # type: ignore[arg-type]

    def close(self) -> None:
        """The connection is gone, and what waited has been taken."""
        self._backlog.asking.pop(self, None)
        self.roused = _nothing

    def _count(self, size: int) -> None:
        self.size += size
        hosts = self._backlog.hosts
        self._backlog.unshared += size
        hosts[self.host] += size
        if not hosts[self.host]:
            del hosts[self.host]


class Backlog:
    """What waits on all connections of a port.

    most: bytes. soon: calls something in the next turn of the event loop.
    """

    def __init__(self, soon: Soon = lambda what: None, most: int = 128 << 20) -> None:
        self._soon = soon
        self._held: dict[int, list[int]] = {}  # by identity: in how many queues, and how many bytes
        self._armed = False
        self.most = most
        self.soft = most * _SOFT
        self.size = 0
        """Bytes that wait, those that are shared once."""
        self.peak = 0
        """The most that it ever was."""
        self.hosts: Counter[str] = Counter()
        """Bytes that wait by address, without regard to what is shared."""
        self.unshared = 0
        """Their sum."""
        self.asking: dict[Waiting, None] = {}
        """Connections that have to wait until others have read."""

    def full(self, connection: Waiting) -> bool:
        """Whether a connection has to wait until others have read."""
        if self.size < self.soft:
            return False
        if self.size >= self.most:
            return True
        return self.hosts[connection.host] * len(self.hosts) >= self.unshared > 0

    def add(self, parts: Sequence[bytes]) -> None:
        """These wait in one more queue."""
        for part in parts:
            if len(part) < _SMALL:
                continue
            known = self._held.get(id(part))
            if known is None:
                self._held[id(part)] = [1, len(part)]
                self.size += len(part)
            else:
                known[0] += 1
        self.peak = max(self.peak, self.size)

    def drop(self, part: bytes) -> None:
        """A part waits in one queue less."""
        if len(part) < _SMALL:
            return
        known = self._held[id(part)]
        known[0] -= 1
        if not known[0]:
            del self._held[id(part)]
            self.size -= known[1]
            self._arm()

    def share(self, part: bytes) -> float:
        """The bytes of a part for each queue in which it waits."""
        queues, size = self._held.get(id(part), (1, 0))
        return size / queues

    def _arm(self) -> None:
        if self.asking and not self._armed and self.size < self.most:
            self._armed = True
            self._soon(self._go_on)

    def _go_on(self) -> None:
        """Those that have waited longest may go on, a few at a time: what they are given is counted then."""
        self._armed = False
        looked_at = tuple(islice(self.asking, _LOOKED_AT))
        going = [one for one in looked_at if not self.full(one)][:_AT_ONCE]
        for one in going:
            del self.asking[one]
        for one in going:
            one.roused()
        if going:
            self._arm()
