"""Uploads of any size and form, sent as the edge takes them. Nothing is sent a second time."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import Any

from tests.mesh.app import read_message
from tests.mesh.client import Address
from tests.mesh.http2 import Http2

BLOCK = b"x" * 65536
FORMS = ("length", "chunked", "expect", "h2")
PATIENCE = 60.0


@dataclass(frozen=True)
class Uploaded:
    """What came back; `size` is what the application that answered has received."""

    status: int
    chain: tuple[str, ...] = ()
    size: int = 0
    text: str = ""


def _read(status: int, body: bytes) -> Uploaded:
    try:
        answer: dict[str, Any] = json.loads(body)
        return Uploaded(status, tuple(answer["chain"]), answer["size"])
    except (ValueError, KeyError, TypeError):
        return Uploaded(status, text=body[:300].decode(errors="replace"))


async def upload(address: Address, form: str, size: int, path: str = "/a", lane: str = "gray") -> Uploaded:
    """POST `size` bytes in one of FORMS. Status 0: the connection ended without an answer."""
    if form == "h2":
        client = await Http2.open(address)
        try:
            stream = client.send("POST", path, ("canary", lane), end=False)
            return _read(*await asyncio.wait_for(client.upload(stream, size), PATIENCE))
        finally:
            client.close()
    reader, writer = await asyncio.open_connection(*address)
    try:
        lines = [f"POST {path} HTTP/1.1", "host: shop.example.com", f"canary: {lane}"]
        lines.append("transfer-encoding: chunked" if form == "chunked" else f"content-length: {size}")
        if form == "expect":
            lines.append("expect: 100-continue")
        writer.write("\r\n".join([*lines, "", ""]).encode())
        if form == "expect":
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
            assert head.startswith(b"HTTP/1.1 100"), head
        sending = asyncio.create_task(_send(writer, form == "chunked", size))
        message = await asyncio.wait_for(read_message(reader), PATIENCE)
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await sending
        return Uploaded(0) if message is None else _read(int(message[0].split()[1]), message[2])
    except (ConnectionError, asyncio.IncompleteReadError) as error:
        return Uploaded(0, text=repr(error))
    finally:
        writer.transport.abort()  # what an early answer left unsent goes to nobody


async def _send(writer: asyncio.StreamWriter, chunked: bool, size: int) -> None:
    while size:
        block = BLOCK[: min(size, len(BLOCK))]
        size -= len(block)
        writer.write(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block)
        await writer.drain()
    if chunked:
        writer.write(b"0\r\n\r\n")
        await writer.drain()
