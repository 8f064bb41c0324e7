"""A way to the API server that tests can break: it passes bytes on as they are, TLS included."""

from __future__ import annotations

import asyncio

from tests.relaying import PIECE, relay


class Relay:
    """Takes connections on a port of its own and passes them on to `port` of loopback.

    `refuses`: new connections are aborted. `frozen`: connections stay open, and nothing passes any more, as
    behind a firewall that forgot them. `pause` is seconds before each piece of an answer of at most `piece`
    bytes.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._moving = asyncio.Event()
        self._moving.set()
        self.refuses = False
        self.pause = 0.0
        self.piece = PIECE
        self.port = 0
        self.taken = 0
        """How many connections were passed on."""

    async def __aenter__(self) -> Relay:
        self._server = await asyncio.start_server(self._begin, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.refuses = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.cut()
        for _ in range(4):
            await asyncio.sleep(0)

    def cut(self) -> None:
        """Break every connection."""
        for writer in self._writers:
            writer.transport.abort()

    def freeze(self) -> None:
        """From now on nothing passes on the connections that there are; new ones are not affected."""
        self._moving, former = asyncio.Event(), self._moving
        self._moving.set()
        former.clear()

    def _begin(self, down: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        if self.refuses:
            back.transport.abort()
            return
        self.taken += 1
        self._writers.add(back)
        task = asyncio.create_task(self._serve(down, back, self._moving))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(
        self, down: asyncio.StreamReader, back: asyncio.StreamWriter, moving: asyncio.Event
    ) -> None:
        async def passes(answer: bool, _: bytes) -> bool:
            if answer and self.pause:
                await asyncio.sleep(self.pause)
            await moving.wait()
            return True

        await relay(down, back, ("127.0.0.1", self._to), self._writers, passes, self.piece)
