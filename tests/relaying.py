"""One connection that is passed on to a server, and what its relay does to the bytes on the way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

PIECE = 1 << 16

Passes = Callable[[bool, bytes], Awaitable[bool]]
"""Awaited for all bytes, with whether the server sends them. False cuts the connection before they are
passed on.
"""


async def relay(
    down: asyncio.StreamReader,
    back: asyncio.StreamWriter,
    to: tuple[str, int],
    writers: set[asyncio.StreamWriter],
    passes: Passes,
    piece: int = PIECE,
) -> None:
    """Pass a connection on until one side ends it.

    `writers` has both sides while it is open. `piece`: bytes of an answer that are passed on at a time.
    """
    try:
        up, forth = await asyncio.open_connection(*to)
    except OSError:
        back.transport.abort()
        return
    writers |= {back, forth}

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter, answer: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(piece if answer else PIECE):
                if not await passes(answer, data):
                    return
                target.write(data)
                await target.drain()

    ways = [asyncio.create_task(copy(down, forth, False)), asyncio.create_task(copy(up, back, True))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for writer in (back, forth):
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            writers.discard(writer)
