"""gRPC calls over the streams of HTTP/2: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import grpc

from controlplane.net.certificates import Certificate

from . import status
from .encodings import binary, decompress, seconds
from .guard import GuardedCall
from .headers import RequestHead, block
from .room import Share
from .status import ENCODINGS
from .stream import Stream
from .transport import CallEnd, Methods

_PREFIX = 5  # a flag and the length of a message
_RESERVED = {"content-type", "content-length", "te"}
_RESPONSE = block(status.RESPONSE)


class Timer(Protocol):
    """Something that happens later."""

    def cancel(self) -> None:
        """Let it not happen."""


#: (seconds, what): runs something later.
Later = Callable[[float, Callable[[], None]], Timer]


class Call(GuardedCall):
    """One call: requests go to its handler, which gets `closed` exactly once. It is its stream's receiver.

    largest: bytes that a request may have. share: of the room for parts of requests.
    """

    __slots__ = (
        "_begun",
        "_buffer",
        "_complete",
        "_draining",
        "_head",
        "_largest",
        "_left",
        "_needed",
        "_paused",
        "_share",
        "_stream",
        "_timer",
    )

    def __init__(
        self,
        stream: Stream,
        head: RequestHead,
        peer: str,
        certificate: Certificate | None,
        largest: int,
        share: Share,
    ) -> None:
        super().__init__(peer, certificate)
        self._stream = stream
        self._head = head
        self._largest = largest
        self._share = share
        self._buffer = bytearray()
        self._needed = 0  # bytes of the buffer until there is something to do
        self._timer: Timer | None = None
        self._begun = False
        self._paused = False
        self._draining = False
        self._left = False  # with messages to handle when it is its turn again
        self._complete = False

    def begin(self, methods: Methods, later: Later) -> None:
        """Give the call to the handler of its method, or refuse it."""
        head = self._head
        refusal = status.refusal(head.method, head.fields.get("content-type", ""))
        if refusal is not None:
            self._ended = True
            self._stream.end(block(refusal))
            return
        try:
            encoding = head.fields.get("grpc-encoding", "identity")
            if encoding not in ENCODINGS:
                raise CallEnd(grpc.StatusCode.UNIMPLEMENTED, f"grpc-encoding {encoding} is not supported")
            serve = methods.get(head.path)
            if serve is None:
                raise CallEnd(grpc.StatusCode.UNIMPLEMENTED, f"there is no method {head.path}")
            timeout = head.fields.get("grpc-timeout")
            if timeout is not None:
                self._timer = later(seconds(timeout), self._expire)
            self._handler = serve(self)
        except CallEnd as end:
            self._end(end)
        except Exception:
            self._failed()

    # The handler's side.

    @property
    def method(self) -> str:
        """The method's path."""
        return self._head.path

    @property
    def metadata(self) -> Mapping[str, str | bytes]:
        """The client's metadata; values of names that end with -bin are bytes. Raises CallEnd."""
        return {
            name: binary(name, value) if name.endswith("-bin") else value
            for name, value in self._head.fields.items()
            if name not in _RESERVED and not name.startswith("grpc-")
        }

    @property
    def writable(self) -> bool:
        """Whether a response would leave at once."""
        return not self._ended and self._stream.writable

    def send(self, *parts: bytes) -> None:
        """Send a response: the parts put together."""
        if self._ended:
            return
        if not self._begun:
            self._begun = True
            self._stream.send_headers(_RESPONSE)
        size = sum(map(len, parts))
        self._stream.send(b"\0" + size.to_bytes(4, "big"), *parts)

    def pause(self) -> None:
        """Let requests wait until `resume`; flow control keeps the client from sending many."""
        self._paused = True
        self._stream.pause()

    def resume(self) -> None:
        """Take the requests that wait, and further ones."""
        if self._ended:
            return
        self._paused = False
        self._stream.resume()
        self._drain()

    # The stream's side.

    def data(self, payload: memoryview) -> None:
        """More data of the requests has arrived."""
        if self._ended:
            return
        if self._buffer or self._paused or self._draining:
            self._keep(payload)
            if len(self._buffer) >= self._needed:
                self._drain()
            return
        taken = self._messages(payload)
        if taken < len(payload) and not self._ended:
            self._keep(payload[taken:])

    def go_on(self) -> None:
        """Handle the messages that wait: it is this call's turn."""
        self._drain()

    def half_closed(self) -> None:
        """There are no more requests."""
        self._complete = True
        self._drain()

    def drained(self) -> None:
        """All responses have been sent."""
        if self._handler is not None:
            self.attempt(self._handler.writable)

    def closed(self) -> None:
        """The client has gone."""
        self._over(None)

    def _keep(self, payload: memoryview) -> None:
        """Keep part of a request until the rest comes. Raises ConnectionFault if that is too much."""
        self._share.take(len(payload))
        if not self._ended:  # to make room
            self._buffer += payload

    def _drain(self) -> None:
        if self._draining or self._ended:
            return
        self._draining = True
        buffer = self._buffer
        try:
            with memoryview(buffer) as view:
                taken = self._messages(view)
        finally:
            self._draining = False
        if buffer is self._buffer:
            del buffer[:taken]
            self._share.give(taken)
        if self._left or self._ended:
            return
        if self._complete and not self._paused and self._handler is not None:
            self._complete = False
            if self._buffer:
                self.finish(grpc.StatusCode.INTERNAL, "the requests end within a message")
            else:
                self.attempt(self._handler.half_closed)

    def _messages(self, view: memoryview) -> int:
        """Give the whole messages of `view` to the handler; how many bytes they took."""
        at, size = 0, len(view)
        self._left = False
        while size - at >= _PREFIX and not self._paused and not self._ended:
            length = int.from_bytes(view[at + 1 : at + _PREFIX], "big")
            end = at + _PREFIX + length
            if length <= self._largest and end > size:
                self._needed = end - at
                return at
            # A copy: the failure of a handler may keep what it is called with, and a view locks the buffer.
            self._message(view[at], length, bytes(view[at + _PREFIX : end]))
            at = end
            if at < size and self._stream.late():
                self._left = True
                self._stream.leave()
                break
        self._needed = 0
        return min(at, size)

    def _message(self, flag: int, length: int, raw: bytes) -> None:
        assert self._handler is not None
        try:
            if length > self._largest:
                text = f"a request of {length} bytes, more than {self._largest}"
                raise CallEnd(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
            if flag:
                raw = decompress(flag, self._head.fields.get("grpc-encoding", "identity"), raw, self._largest)
        except CallEnd as end:
            self._end(end)
        else:
            self.attempt(self._handler.message, raw)

    def _expire(self) -> None:
        self.finish(grpc.StatusCode.DEADLINE_EXCEEDED, "the client's deadline has passed")

    def _end(self, end: CallEnd) -> None:
        if self._ended:
            return
        head = () if self._begun else status.RESPONSE
        self._over(end)
        self._stream.end(block([*head, *status.trailers(end)]))

    def _over(self, end: CallEnd | None) -> None:
        if self._ended:
            return
        self._ended = True
        self._share.give(len(self._buffer))
        self._buffer = bytearray()
        if self._timer is not None:
            self._timer.cancel()
        self._tell(end)
