"""A server that answers every HTTP/2 request with a few bytes, to test what is below gRPC by itself.

python -m tests.rpc.plain prints its port and serves until it is terminated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from controlplane.rpc.frames import ConnectionFault
from controlplane.rpc.headers import RequestHead, block
from controlplane.rpc.http2 import Http2Connection
from controlplane.rpc.stream import Receiver, Stream

OK = block([(":status", "200"), ("content-type", "text/plain")])
TRAILERS = block([("done", "yes")])


class Answer:
    """Answers when the request is complete."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.received = b""
        self.gone = False

    def data(self, payload: memoryview) -> None:
        self.received += payload

    def half_closed(self) -> None:
        self.stream.send_headers(OK)
        self.stream.send(b"hello ", b"world")
        self.stream.end(TRAILERS)

    def drained(self) -> None:
        pass

    def closed(self) -> None:
        self.gone = True


def answer(stream: Stream, head: RequestHead) -> Receiver:
    return Answer(stream)


class Plain(asyncio.Protocol):
    """One socket."""

    def __init__(self, accept: Callable[[Stream, RequestHead], Receiver] = answer) -> None:
        self.http2 = Http2Connection(lambda parts: self.transport.writelines(parts), accept)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            self.http2.receive(data)
        except ConnectionFault as fault:
            self.http2.farewell(fault.code, fault.text)
            self.transport.close()


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Plain, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
