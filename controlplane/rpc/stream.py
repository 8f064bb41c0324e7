"""One stream of an HTTP/2 connection: its state on the server's side, and who is told of it."""

from __future__ import annotations

from typing import Protocol

from . import frames
from .frames import StreamFault
from .outgoing import Outgoing, OutgoingStream

CONNECTION_WINDOW = 4 << 20
"""Bytes that a client may send on all streams together before they are read."""
MOST_STREAMS = 1_000
"""Streams that a client may have open on one connection."""
STREAM_WINDOW = 1 << 20
"""Bytes that a client may send on one stream before it is read."""


class Owner(Protocol):
    """The connection of a stream."""

    outgoing: Outgoing

    def credit(self, stream: Stream | None, size: int) -> None:
        """Count bytes as read."""

    def behind(self, stream: Stream) -> None:
        """The receiver has not handled all that it was given."""

    def late(self) -> bool:
        """Whether it is the turn of others."""
        ...

    def served(self) -> None:
        """Data are sent on a stream for the first time."""

    def ended(self, stream: Stream) -> None:
        """All of a response is sent."""

    def reset(self, stream: Stream, code: int) -> None:
        """End a stream at once."""


class Receiver(Protocol):
    """What is told of one stream. No method raises."""

    def data(self, payload: memoryview) -> None:
        """More of the request's body."""

    def go_on(self) -> None:
        """Handle what was left when it was `late`."""

    def half_closed(self) -> None:
        """The request is complete."""

    def drained(self) -> None:
        """More may be sent; what was sent before has left."""

    def closed(self) -> None:
        """The stream is gone by the client's doing, or with its connection."""


class _Gone:
    """The receiver of a stream that has ended; the real one is free with it."""

    def data(self, payload: memoryview) -> None:
        pass

    def go_on(self) -> None:
        pass

    def half_closed(self) -> None:
        pass

    def drained(self) -> None:
        pass

    def closed(self) -> None:
        pass


_GONE = _Gone()


class Stream:
    """One stream. It is `paused` while what arrives is not to be credited to the client."""

    __slots__ = (
        "_connection",
        "_expected",
        "_paused",
        "_unread",
        "_window",
        "answered",
        "half_closed",
        "held",
        "number",
        "outgoing",
        "receiver",
    )

    receiver: Receiver

    def __init__(self, connection: Owner, number: int, expected: int | None) -> None:
        self._connection = connection
        self._expected = expected
        self._paused = False
        self._unread = 0
        self._window = STREAM_WINDOW
        self.answered = False
        """Whether the client has been sent any data."""
        self.held = 0
        """Bytes that came while it was paused."""
        self.number = number
        self.half_closed = False
        self.outgoing: OutgoingStream = connection.outgoing.stream(number)

    @property
    def writable(self) -> bool:
        """Whether more may be sent without making a queue. If not, the receiver is told when it may."""
        return self._connection.outgoing.writable(self.outgoing)

    def send_headers(self, block: bytes) -> None:
        """Send response headers."""
        self._connection.outgoing.headers(self.outgoing, block)

    def send(self, *parts: bytes) -> None:
        """Send the parts as data, one after the other; what the client has no window for waits."""
        if not self.answered:
            self.answered = True
            self._connection.served()
        self._connection.outgoing.data(self.outgoing, parts)

    def late(self) -> bool:
        """Whether it is the turn of others: what is left is to be `leave`-d."""
        return self._connection.late()

    def leave(self) -> None:
        """Let the receiver `go_on` when it is its turn."""
        self._connection.behind(self)

    def over(self) -> None:
        """Nothing is told to the receiver any more."""
        self.receiver = _GONE

    def end(self, block: bytes) -> None:
        """End the stream with this block of headers or trailers, after what still waits."""
        if self._connection.outgoing.end(self.outgoing, block):
            self._connection.ended(self)

    def reset(self, code: int) -> None:
        """End the stream with an error code; what waits is dropped."""
        self._connection.reset(self, code)

    def pause(self) -> None:
        """Credit nothing that arrives until `resume`."""
        self._paused = True

    def resume(self) -> None:
        """Credit what came in the meantime."""
        self._paused = False
        held, self.held = self.held, 0
        self._connection.credit(self, held)

    def took(self, size: int, useful: int) -> None:
        """Bytes have come, `useful` of them content. Raises StreamFault where the client had no window."""
        self._window -= size
        beyond = self._window < 0
        # Also what comes in error: the connection goes on, and its window with it.
        if self._paused:
            self.held += size
        else:
            self._connection.credit(self, size)
        if beyond:
            raise StreamFault(frames.FLOW_CONTROL_ERROR, "more data than the stream's window")
        if self._expected is not None:
            self._expected -= useful
            if self._expected < 0:
                raise StreamFault(frames.PROTOCOL_ERROR, "more data than content-length says")

    def complete(self) -> None:
        """The client ended its half. Raises StreamFault where less came than it said."""
        if self._expected:
            raise StreamFault(frames.PROTOCOL_ERROR, "less data than content-length says")
        self.half_closed = True

    def credit(self, size: int) -> int:
        """Count bytes as read; the increment to give to the client, 0 for none yet."""
        self._unread += size
        if self._unread < STREAM_WINDOW // 2 or self.half_closed:
            return 0
        increment, self._unread = self._unread, 0
        self._window += increment
        return increment
