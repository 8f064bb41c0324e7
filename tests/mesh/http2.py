"""One HTTP/2 connection to an edge, by another library than the control plane's own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import h2.config
import h2.connection
import h2.events

from tests.mesh.client import Address


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
