"""Answers that stay open (watches, event streams) end with the right to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.types import Message, Receive, Send

CHECK = 1.0
"""Seconds between two looks at whether whoever reads an open answer may still do so."""


class Lasting:
    """One request. still: whether the one who sent it has the rights that they had; asked once a CHECK, so an
    answer that takes less costs nothing.

    The application is told that the client is gone, which ends every answer that waits for that, and the
    client gets a whole answer: it may tell an end from a connection that broke.
    """

    def __init__(self, still: Callable[[], bool], receive: Receive, send: Send) -> None:
        self._still = still
        self._receive = receive
        self._send = send
        self._open = False
        self.ended = False
        """Whether the right to the answer has ended."""

    async def receive(self) -> Message:
        """What the client says next."""
        if self.ended:
            return {"type": "http.disconnect"}
        coming = asyncio.ensure_future(self._receive())
        try:
            while True:
                done, _ = await asyncio.wait({coming}, timeout=CHECK)
                if done:
                    return coming.result()
                if not self._still():
                    self.ended = True
                    return {"type": "http.disconnect"}
        finally:
            coming.cancel()

    async def send(self, message: Message) -> None:
        """To the client; nothing any more once the right has ended."""
        if self.ended:
            return
        self._open = message["type"] == "http.response.start" or bool(message.get("more_body"))
        await self._send(message)

    async def close(self) -> None:
        """End the answer that the application has left open."""
        if self.ended and self._open:
            self._open = False
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
