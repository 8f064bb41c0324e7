"""TLS of the admin port: between a socket and `Connection`.

A connection counts from its first byte on, and the time for its headers covers the handshake; asyncio's TLS
tells of a connection only when its handshake is over.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, cast

from controlplane.admin.connection import Connection
from controlplane.net.crowd import sender
from controlplane.net.handshakes import Handshakes
from controlplane.net.tls import Channel, TlsFault

MOST_WAITING = 64 << 10
"""Bytes of a client that wait for the turn of its handshake before no more is read."""


class Encrypted(asyncio.Protocol):
    """One accepted socket. connection: who reads and writes in plain text. context: of the handshake."""

    def __init__(
        self,
        connection: Connection,
        context: ssl.SSLContext,
        handshakes: Handshakes,
        failed: Callable[[], None],
    ) -> None:
        """failed: called when the client breaks TLS."""
        self._handshakes = handshakes
        self._arrived = bytearray()
        self.host = ""
        self._connection = connection
        self._context = context
        self._failed = failed
        self._channel = Channel(context)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.host = sender((transport.get_extra_info("peername") or ("",))[0])
        plain = _Plain(self._transport, self._channel, self._context)
        self._connection.connection_made(cast(asyncio.Transport, plain))

    def data_received(self, data: bytes) -> None:
        if self._channel.ready:
            self._receive(data)
            return
        self._arrived += data
        if len(self._arrived) > MOST_WAITING:
            self._transport.pause_reading()
        self._handshakes.arrived(self)

    def shake(self) -> None:
        """Go on with the handshake. See `Waiter`."""
        data, self._arrived = bytes(self._arrived), bytearray()
        if len(data) > MOST_WAITING and not self._transport.is_closing():
            self._transport.resume_reading()
        self._receive(data)

    def _receive(self, data: bytes) -> None:
        if self._transport.is_closing():
            return
        ready = self._channel.ready
        try:
            said = self._channel.receive(data)
        except TlsFault:
            self._failed()
            self._transport.write(self._channel.leaving())
            self._transport.close()
            return
        if leaving := self._channel.leaving():
            self._transport.write(leaving)
        if self._channel.ready and not ready:
            self._connection.proved(self._channel.certificate)
        if said:
            self._connection.data_received(said)
        if self._channel.over:
            self._transport.close()

    def eof_received(self) -> bool:
        """The client sends no more; without its goodbye nothing is believed to be whole."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._handshakes.leave(self)
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()


class _Plain:
    """The part of asyncio.Transport that uvicorn and `Connection` use, with TLS below it."""

    def __init__(self, transport: asyncio.Transport, channel: Channel, context: ssl.SSLContext) -> None:
        self._transport = transport
        self._channel = channel
        self._context = context
        self.get_write_buffer_size = transport.get_write_buffer_size
        self.is_closing = transport.is_closing
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading
        self.abort = transport.abort

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "sslcontext":
            return self._context
        return self._transport.get_extra_info(name, default)

    def write(self, data: bytes) -> None:
        # Before the handshake is over there is nobody to tell.
        if data and self._channel.ready and not self._transport.is_closing():
            self._transport.write(self._channel.send([data]))

    def close(self) -> None:
        if not self._transport.is_closing():
            if goodbye := self._channel.close():
                self._transport.write(goodbye)
            self._transport.close()
