"""What a gRPC server must offer to those who serve calls: the one protocol of all transports.

A transport is made with the methods that it serves. For each call it asks the function of the call's method
for a handler, and tells the handler what happens. Everything happens on the thread of one event loop, and
nothing of it waits: a handler that has more to say than the client takes is told when there is room again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import grpc

from controlplane.net.certificates import Certificate


class CallEnd(Exception):
    """The call is to end with this status."""

    def __init__(self, code: grpc.StatusCode, text: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class Handler(Protocol):
    """What serves one call. Any method but `closed` may raise CallEnd."""

    def message(self, raw: bytes) -> None:
        """A request has come."""

    def half_closed(self) -> None:
        """There are no more requests. Not every transport tells this from a client that has gone: then the
        `finish` that follows reaches nobody.
        """

    def writable(self) -> None:
        """All responses have left, the call is writable again."""

    def closed(self, end: CallEnd | None) -> None:
        """The call is over, with this status or, None, by the client's doing. Nothing is called after it."""


class Call(Protocol):
    """One call, as its handler sees it."""

    @property
    def method(self) -> str:
        """The method's path, `/package.Service/Method`."""
        ...

    @property
    def peer(self) -> str:
        """The client's address: `ipv4:ADDRESS:PORT` or `ipv6:[ADDRESS]:PORT`."""
        ...

    @property
    def certificate(self) -> Certificate | None:
        """What the client's certificate says, which the handshake has checked; None if it has shown none."""
        ...

    @property
    def metadata(self) -> Mapping[str, str | bytes]:
        """The client's metadata; values of names that end with -bin are bytes. Raises CallEnd."""
        ...

    @property
    def writable(self) -> bool:
        """Whether a response would leave at once. Who sends only then has one response waiting at most."""
        ...

    def send(self, *parts: bytes) -> None:
        """Send a response: the parts put together. After the call's end it does nothing."""

    def finish(self, code: grpc.StatusCode = grpc.StatusCode.OK, text: str = "") -> None:
        """End the call with a status, after the responses that have not left yet."""

    def pause(self) -> None:
        """Let requests wait until `resume`; flow control keeps the client from sending many."""

    def resume(self) -> None:
        """Take the requests that wait, and further ones."""

    def attempt(self, what: Callable[..., None], *arguments: Any) -> None:
        """Do something for the call, if it has not ended. What goes wrong ends this call alone: a CallEnd
        with its status, anything else with INTERNAL and a log line.
        """


#: By the path of the method. A function may raise CallEnd.
Methods = Mapping[str, Callable[[Call], Handler]]


class Transport(Protocol):
    """A gRPC server on one port."""

    ended: Counter[str]
    """Connections that were ended since the start, by the reason."""

    @property
    def open(self) -> int:
        """Open connections, as far as the transport knows."""
        ...

    @property
    def entering(self) -> int:
        """Connections that wait to be let in, as far as the transport knows."""
        ...

    @property
    def waiting(self) -> int:
        """Bytes of responses that wait to be read, of all clients."""
        ...

    @property
    def handshakes_delayed(self) -> int:
        """Parts of TLS handshakes that waited for their turn, since the start."""
        ...

    @property
    def suppressed_lines(self) -> int:
        """Log lines about connections that were left out, because one address caused too many."""
        ...

    async def start(self, address: str) -> int:
        """Listen on host:port, port 0 for one that the system gives. Returns the port. Raises OSError."""
        ...

    async def stop(self, grace: float) -> None:
        """Accept nothing more, ask the clients to leave, and cut those off that are there after `grace`
        seconds.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a transport allows. All times are seconds."""

    largest_request: int = 16 << 20
    """Bytes."""
    keepalive: float = 30.0
    """Silence of a client after which it is asked for a sign of life; it has a third of that to give one."""
    max_connection_age: float = 0.0
    """Until a client is asked to connect anew, with a jitter of a tenth; 0 for never."""
    max_connection_age_grace: float = 10.0
    """What a client that was asked to connect anew has for its open calls."""
    connections: int = 16_000
    """Connections of all clients. Where there are as many, the longest without a response makes room."""
    connections_per_address: int = 8_000
    """Connections from one address."""
    entering: int = 4_096
    """Connections that wait to be let in. Of more, the last of the address with the most is closed."""
    hello: float = 10.0
    """Until a client has said that it speaks HTTP/2."""
    unread: float = 30.0
    """How long responses may wait of which the client takes nothing."""
    unread_pressed: float = 15.0
    """The same while streams wait for memory."""
    waiting: int = 128 << 20
    """Bytes of responses of all clients that may wait before no stream is given a further one."""
    cpu: float = 0.5
    """The share of a core that one connection may use over time."""
    cpu_burst: float = 5.0
    """Seconds of a core that it may use at once."""
    handshake_cpu: float = 0.5
    """The share of a core that the TLS handshakes of all connections may use over time."""


#: Makes a transport that serves these methods.
MakeTransport = Callable[[Methods], Transport]
