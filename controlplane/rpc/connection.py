"""One accepted socket: its bytes, its timers, its end."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Protocol, cast

import grpc

from controlplane.net.crowd import sender
from controlplane.net.handshakes import Handshakes
from controlplane.net.tls import Channel, TlsFault

from . import frames
from .backlog import Backlog
from .calls import Call
from .frames import ConnectionFault
from .headers import RequestHead
from .http2 import Http2Connection
from .room import Room
from .stream import Receiver, Stream
from .transport import Limits, Methods
from .turns import Turns

_MOST_UNSENT = 16 << 10  # bytes that the socket has not taken before nothing more is written to it
_MOST_WAITING = 64 << 10  # bytes that wait for their turn before no more is read
_MOST_TOGETHER = 64 << 10  # bytes of answers to one read that leave in one write
_FAR = 30 * 86_400.0  # seconds for which no timer is set: no connection lives for as long
_SECOND_LOOK = 0.2  # seconds after which a connection that has not begun is looked at once more


class Port(Protocol):
    """What all connections of a port have in common."""

    methods: Methods
    limits: Limits
    stopping: bool
    turns: Turns
    handshakes: Handshakes
    requests: Room
    backlog: Backlog

    def enter(self, connection: Connection) -> bool:
        """Let a connection in, if there is room."""
        ...

    def served(self, connection: Connection, now: bool) -> None:
        """Whether something is being done for the client."""

    def deserted(self, connection: Connection) -> None:
        """Its client has closed it: its transport is aborted soon."""

    def left(self, connection: Connection) -> None:
        """It has ended."""

    def note(self, connection: Connection, reason: str, text: str) -> None:
        """Count and log that a connection is ended."""


class Connection(asyncio.Protocol):
    """One accepted socket. tls: None for plain text."""

    def __init__(self, port: Port, loop: asyncio.AbstractEventLoop, tls: Channel | None = None) -> None:
        self._tls = tls
        self._port = port
        self._loop = loop
        self._made = self._heard = self._checked = loop.time()
        self._pinged: float | None = None
        self._taken = 0
        self._over = False
        self._arrived: list[bytes] = []
        self._gated = False  # with a handshake for its turn
        self._said = b""  # what came with the end of the handshake
        self._waits = False  # with requests for its turn
        self._waiting = 0  # bytes of them
        self._reads = True
        self._together: list[bytes] | None = None  # what is answered while requests are handled
        self._together_bytes = 0
        self.cpu = port.limits.cpu_burst
        self._timer: asyncio.TimerHandle | None = None
        self.host = ""
        self.peer = ""
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.share = port.requests.share("", self._make_room)
        self.http2 = Http2Connection(self._write, self._accept, self._served, port.backlog)

    # asyncio's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(_MOST_UNSENT)
        if self._port.stopping:
            self.transport.abort()  # it was accepted just before
            return
        name = transport.get_extra_info("peername") or ("", 0)
        self.host = self.share.host = self.http2.outgoing.waits.host = sender(name[0])
        self.peer = f"ipv6:[{name[0]}]:{name[1]}" if ":" in name[0] else f"ipv4:{name[0]}:{name[1]}"
        if not self._port.enter(self):
            self._over = True
            self.transport.abort()
            return
        age = self._port.limits.max_connection_age
        if age:
            self._timer = self._loop.call_later(age * random.uniform(0.9, 1.1), self._age)

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        self._heard = self._loop.time()
        self._pinged = None
        self._arrived.append(data)
        if self._tls is not None and not self._tls.ready:
            self._gated = True
            self._waiting += len(data)
            self._read_or_not()
            self._port.handshakes.arrived(self)
        elif self._waits:
            self._waiting += len(data)
            self._read_or_not()
        elif not self._port.turns.arrived(self):
            self._waits = True
            self._waiting = self.http2.left + len(data)
            if self._waiting > _MOST_WAITING:
                self._read_or_not()

    def pause_writing(self) -> None:
        self.http2.outgoing.clogged = True
        # Every request and ping makes an answer: who reads none is not asked for more of them.
        self._read_or_not()

    def resume_writing(self) -> None:
        self.http2.unclog()
        if self._over:
            return
        if self._waits:
            self._port.turns.arrived(self)
        self._read_or_not()

    def eof_received(self) -> bool:
        if not self._over:
            self._over = True
            self._arrived.clear()
            self._port.deserted(self)
        return True  # the port closes it

    def connection_lost(self, exc: Exception | None) -> None:
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        self._gone()
        self._port.left(self)

    # The handshakes' side.

    def shake(self) -> None:
        """Go on with the handshake."""
        if self._over or self._tls is None:
            return
        data = b"".join(self._arrived)
        self._arrived.clear()
        self._gated, self._waiting = False, 0
        try:
            self._said = self._decrypted(self._tls, data)
        except ConnectionFault as fault:
            self.end(fault.reason, fault.text, fault.code)
            return
        if self._tls.ready:
            self._end_with_certificate(self._tls)
        self._waits = self._tls.ready and not self._port.turns.arrived(self)
        self._read_or_not()

    # The turns' side.

    def handle(self, until: float) -> bool:
        """Handle what has arrived, until then. Whether that was all of it."""
        if self._over:
            return self.http2.lost(until)
        if self.http2.outgoing.clogged:
            return True  # it comes again when it may write
        if self._tls is not None and not self._tls.ready:
            return True  # it comes again when its handshake is over
        arrived = self._arrived
        data = arrived[0] if len(arrived) == 1 else b"".join(arrived)
        arrived.clear()
        try:
            if self._tls is not None:
                data, self._said = self._said + self._decrypted(self._tls, data), b""
            whole = self._receive(data, until)
        except ConnectionFault as fault:
            self.end(fault.reason, fault.text, fault.code)
            return True
        if self.http2.departed or (self._tls is not None and self._tls.over):
            self._close()
            return True
        self._waits = not whole
        self._waiting = 0 if whole else self.http2.left
        if not self._reads or self._waiting > _MOST_WAITING:
            self._read_or_not()
        return whole or self.http2.outgoing.clogged

    def _receive(self, data: bytes, until: float) -> bool:
        """Let the requests be handled. Their answers leave together: a write costs more than what it answers.

        Raises ConnectionFault.
        """
        self._together = []
        try:
            return self.http2.receive(data, until)
        finally:
            self._leave()
            self._together = None

    def _decrypted(self, tls: Channel, data: bytes) -> bytes:
        """What the client says. Raises ConnectionFault."""
        try:
            return tls.receive(data) if data else b""
        except TlsFault as fault:
            raise ConnectionFault(frames.PROTOCOL_ERROR, f"TLS failed: {fault}", "tls") from None
        finally:
            own = tls.leaving()
            if own:
                self.transport.write(own)

    def _read_or_not(self) -> None:
        # What arrives while the connection waits is kept, up to a bound: to stop reading costs more.
        reads = self._waiting <= _MOST_WAITING and not self.http2.outgoing.clogged
        if reads != self._reads and not self._over:
            self._reads = reads
            if reads:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    # The listener's side.

    def check(self, now: float) -> None:
        """Check the limits of the connection; called periodically."""
        limits = self._port.limits
        self.http2.forget_glitches()
        if self._over:
            return
        if not self.http2.streams:
            self._port.served(self, False)
        self.cpu = min(limits.cpu_burst, self.cpu + limits.cpu * (now - self._checked))
        self._checked = now
        if self.cpu < 0:
            self.end("cpu", f"its requests take more than {limits.cpu:.0%} of a core")
        elif not self.http2.greeted and now - self._made > limits.hello:
            # Where the server is late, the preface may be here without having been read.
            # One after the other: to end thousands in one turn of the event loop would hold up all others.
            self._loop.call_later(_SECOND_LOOK * random.uniform(1, 3), self._end_without_preface)
        elif self._tls is None or self._tls.ready:
            self._check_reading(now)

    def _end_without_preface(self) -> None:
        if not self._over and not self.http2.greeted and not self._waits and not self._gated:
            what = "HTTP/2 preface" if self._tls is None or self._tls.ready else "complete TLS handshake"
            self.end("hello", f"it sent no {what} within {self._port.limits.hello:g} s")

    def _check_reading(self, now: float) -> None:
        limits = self._port.limits
        for stuck in self.http2.outgoing.stuck(now, limits.unread):
            text = f"nothing of {stuck.queued} bytes that wait on a stream was taken for {limits.unread:g} s"
            self.end("unread", text)
            return
        before = self._taken
        self._taken = self.http2.outgoing.sent - self.transport.get_write_buffer_size()
        if self._taken > before or (self._waits and not self.http2.outgoing.clogged):
            # The client reads; its own bytes are not read meanwhile, so silence proves nothing.
            self._heard, self._pinged = now, None
        if self._pinged is not None:
            if now - self._pinged > limits.keepalive / 3:
                text = f"it sent nothing, not even an answer to a ping, for {now - self._heard:.0f} s"
                self._port.note(self, "silent", text)
                self.transport.abort()
        elif now - self._heard > limits.keepalive:
            self._pinged = now
            self.http2.ends.ping()

    def holds(self, now: float, patience: float) -> float:
        """The bytes that are free without the responses of which nothing has left for `patience` seconds."""
        outgoing = self.http2.outgoing
        return sum(outgoing.waits.share(stream.queue) for stream in outgoing.stuck(now, patience))

    def end(self, reason: str, text: str, code: int = frames.ENHANCE_YOUR_CALM) -> None:
        """End the connection at once, and say why."""
        if self._over:
            return
        self._port.note(self, reason, text)
        self.http2.farewell(code, text)
        self._close()
        self._gone()

    def cut(self, text: str) -> None:
        """End all calls and close."""
        for stream in tuple(self.http2.streams.values()):
            cast("Call", stream.receiver).finish(grpc.StatusCode.UNAVAILABLE, text)
        self.http2.farewell(frames.NO_ERROR, text)
        self._close()

    def _make_room(self, text: str) -> None:
        self.end("memory", text)

    def _age(self) -> None:
        self.http2.ends.go_away()
        self._timer = self._loop.call_later(self._port.limits.max_connection_age_grace, self._expire)

    def _expire(self) -> None:
        self.cut("the connection has reached its age")

    def _end_with_certificate(self, tls: Channel) -> None:
        """Once its certificate has ended, the client is nobody any more. It is asked to connect anew before
        that, with the one that it has by then.
        """
        if tls.certificate is None:
            return
        left = max(tls.certificate.ends - time.time(), 0.0)
        notice = min(left, self._port.limits.max_connection_age_grace)
        if left > _FAR or (
            self._timer is not None and self._timer.when() <= self._loop.time() + left - notice
        ):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(left - notice, self._give_notice, notice)

    def _give_notice(self, seconds: float) -> None:
        self.http2.ends.go_away()
        self._timer = self._loop.call_later(seconds, self._outlive)

    def _outlive(self) -> None:
        text = "the client's certificate has ended"
        self._port.note(self, "certificate", text)
        self.cut(text)

    def _close(self) -> None:
        self._leave()
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._tls is not None:
            self.transport.write(self._tls.close())
        self.transport.close()
        # A client that reads nothing must not keep the unsent bytes for ever.
        self._timer = self._loop.call_later(self._port.limits.max_connection_age_grace, self.transport.abort)

    def _gone(self) -> None:
        """Free what the connection holds; its streams are told when it is its turn."""
        self._arrived.clear()
        self._port.handshakes.leave(self)
        self.share.close()
        self._port.turns.arrived(self)

    # The connection's side.

    def _served(self) -> None:
        self._port.served(self, True)

    def _write(self, parts: list[bytes]) -> None:
        if self._over:
            return
        if self._together is None:
            self._send(parts)
            return
        self._together += parts
        self._together_bytes += sum(map(len, parts))
        if self._together_bytes >= _MOST_TOGETHER:
            self._leave()

    def _leave(self) -> None:
        """Write what was kept to leave together."""
        if self._together and not self._over:
            parts, self._together, self._together_bytes = self._together, [], 0
            self._send(parts)

    def _send(self, parts: list[bytes]) -> None:
        if self._tls is not None:
            if self._tls.ready:  # else nothing of this is for the client's eyes
                self.transport.write(self._tls.send(parts))
        elif len(parts) == 1:
            self.transport.write(parts[0])
        else:
            self.transport.writelines(parts)

    def _accept(self, stream: Stream, head: RequestHead) -> Receiver:
        certificate = None if self._tls is None else self._tls.certificate
        call = Call(stream, head, self.peer, certificate, self._port.limits.largest_request, self.share)
        call.begin(self._port.methods, self._loop.call_later)
        return call
