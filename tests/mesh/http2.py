"""HTTP/2 connections to a proxy, by another library than the control plane's own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

import h2.config
import h2.connection
import h2.events

from tests.mesh.client import Address, Answer, Header


class Http2:
    """`await Http2.open(address)`; streams are numbers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self._connection = h2.connection.H2Connection(config)
        self._connection.initiate_connection()
        self._opened = asyncio.Event()
        self._flush()

    @classmethod
    async def open(cls, address: Address) -> Http2:
        return cls(*await asyncio.open_connection(*address))

    def close(self) -> None:
        self._writer.close()

    def send(self, method: str, path: str, *headers: tuple[str, str], end: bool = True) -> int:
        stream = self._connection.get_next_available_stream_id()
        pseudo = [
            (":method", method),
            (":scheme", "http"),
            (":authority", "shop.example.com"),
            (":path", path),
        ]
        self._connection.send_headers(stream, [*pseudo, *headers], end_stream=end)
        self._flush()
        return stream

    def data(self, stream: int, body: bytes, end: bool = False) -> None:
        self._connection.send_data(stream, body, end_stream=end)
        self._flush()

    async def upload(self, stream: int, size: int) -> tuple[int, bytes]:
        """Send `size` bytes as the other side takes them, and give the answer, also one that comes early."""
        sending = asyncio.create_task(self._send_all(stream, size))
        try:
            return await self.answer(stream)
        finally:
            sending.cancel()

    async def _send_all(self, stream: int, size: int) -> None:
        while size:
            window = self._connection.local_flow_control_window(stream)
            room = min(size, window, self._connection.max_outbound_frame_size)
            if room == 0:
                self._opened.clear()
                await self._opened.wait()
                continue
            size -= room
            self.data(stream, b"x" * room, end=size == 0)
            await self._writer.drain()

    def raw(self, frames: bytes) -> None:
        self._writer.write(frames)

    async def answer(self, stream: int) -> tuple[int, bytes]:
        """Status and body; status 0 where the stream was reset or the connection closed."""
        status, body = 0, b""
        while True:
            read = await self._reader.read(65536)
            if not read:
                return status, body
            for event in self._connection.receive_data(read):
                if isinstance(event, h2.events.ConnectionTerminated):
                    return status, body
                if isinstance(event, h2.events.WindowUpdated):
                    self._opened.set()
                if getattr(event, "stream_id", None) != stream:
                    continue
                if isinstance(event, h2.events.ResponseReceived):
                    status = _status(event.headers)
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                    self._connection.acknowledge_received_data(event.flow_controlled_length, stream)
                elif isinstance(event, h2.events.StreamReset | h2.events.StreamEnded):
                    self._flush()
                    return status, body
            self._flush()

    def _flush(self) -> None:
        self._writer.write(self._connection.data_to_send())


def _status(headers: Sequence[tuple[str, str]]) -> int:
    return int(dict(headers)[":status"])


class Http2Client:
    """As `client.Client`, over HTTP/2: one connection, opened again when the other side has closed it."""

    def __init__(self, address: Address, source: str = "") -> None:
        self._address, self._source = address, source
        self._socket: socket.socket | None = None

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def request(
        self,
        method: str,
        path: str,
        headers: Sequence[Header] = (),
        body: bytes = b"",
        host: str = "shop.example.com",
    ) -> Answer:
        """Bodies follow their headers in frames of their own, empty ones of HEAD and DELETE too."""
        if self._socket is None:
            self._socket = socket.create_connection(
                self._address, 10, (self._source, 0) if self._source else None
            )
            self._socket.settimeout(20)
            config = h2.config.H2Configuration(client_side=True, header_encoding="latin-1")
            self._connection = h2.connection.H2Connection(config)
            self._connection.initiate_connection()
        stream = self._connection.get_next_available_stream_id()
        pseudo = [(":method", method), (":scheme", "http"), (":authority", host), (":path", path)]
        late = bool(body) or method in ("HEAD", "DELETE")
        self._connection.send_headers(stream, [*pseudo, *headers], end_stream=not late)
        self._flush()
        return self._exchange(stream, body if late else None)

    def _exchange(self, stream: int, body: bytes | None) -> Answer:
        """Status 0 where the stream was reset or the connection closed before an answer."""
        answer = Answer(0, [], b"")
        while True:
            while body is not None:
                most = self._connection.max_outbound_frame_size
                room = min(self._connection.local_flow_control_window(stream), most)
                if body and not room:
                    break
                part, body = body[:room], body[room:] or None
                self._connection.send_data(stream, part, end_stream=body is None)
            self._flush()
            assert self._socket is not None
            read = self._socket.recv(65536)
            if not read:
                self.close()
                return answer
            for event in self._connection.receive_data(read):
                if isinstance(event, h2.events.ConnectionTerminated):
                    self.close()
                    return answer
                if getattr(event, "stream_id", None) != stream:
                    continue
                if isinstance(event, h2.events.ResponseReceived):
                    answer.status = _status(event.headers)
                    answer.headers += [(n, v) for n, v in event.headers if n != ":status"]
                elif isinstance(event, h2.events.TrailersReceived):
                    answer.headers += event.headers
                elif isinstance(event, h2.events.DataReceived):
                    answer.body += event.data
                    self._connection.acknowledge_received_data(event.flow_controlled_length, stream)
                elif isinstance(event, h2.events.StreamReset | h2.events.StreamEnded):
                    self._flush()
                    return answer
            self._flush()

    def _flush(self) -> None:
        if self._socket is not None and (data := self._connection.data_to_send()):
            self._socket.sendall(data)
