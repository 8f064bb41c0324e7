"""One HTTP/3 request with aioquic."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import QuicEvent, StreamReset
from cryptography.hazmat.primitives.serialization import Encoding

from tests.mesh.client import Address, Answer


class _Asking(QuicConnectionProtocol):
    http: H3Connection | None = None

    async def ask(
        self, method: str, path: str, host: str, headers: Iterable[tuple[str, str]], body: bytes
    ) -> Answer:
        self.http = H3Connection(self._quic)
        self.answered = asyncio.get_running_loop().create_future()
        self.head: list[tuple[str, str]] = []
        self.body = b""
        stream = self._quic.get_next_available_stream_id()
        pseudo = [(":method", method), (":scheme", "https"), (":authority", host), (":path", path)]
        lines = [(name.encode(), value.encode()) for name, value in [*pseudo, *headers]]
        self.http.send_headers(stream, lines, end_stream=not body)
        if body:
            self.http.send_data(stream, body, end_stream=True)
        self.transmit()
        await asyncio.wait_for(self.answered, 10)
        named = dict(self.head)
        return Answer(int(named[":status"]), self.head, self.body)

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, StreamReset) and not self.answered.done():
            self.answered.set_exception(ConnectionResetError(event.error_code))
        for one in self.http.handle_event(event) if self.http is not None else ():
            if isinstance(one, HeadersReceived):
                self.head += [(name.decode(), value.decode()) for name, value in one.headers]
            elif isinstance(one, DataReceived):
                self.body += one.data
            else:
                continue
            if one.stream_ended and not self.answered.done():
                self.answered.set_result(None)


def ask(
    address: Address,
    method: str = "GET",
    path: str = "/",
    *headers: tuple[str, str],
    host: str = "shop.test",
    body: bytes = b"",
) -> tuple[Answer, bytes]:
    """The answer, and the certificate that the server showed."""

    async def asked() -> tuple[Answer, bytes]:
        config = QuicConfiguration(
            is_client=True, alpn_protocols=H3_ALPN, verify_mode=ssl.CERT_NONE, server_name=host
        )
        async with connect(*address, configuration=config, create_protocol=_Asking) as client:
            assert isinstance(client, _Asking)
            answer = await client.ask(method, path, host, headers, body)
            shown = client._quic.tls._peer_certificate
            assert shown is not None
            return answer, shown.public_bytes(Encoding.DER)

    return asyncio.run(asked())
