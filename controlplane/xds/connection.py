"""One open stream: the two tasks that read and write it.

The reader applies requests to the stream's state, the writer asks the state for what to send. The writer
waits for each write, so a client that reads slowly holds up itself alone; what changes in the meantime is
merged, because a response is composed when the writer is free for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import grpc
from google.protobuf.message import DecodeError

from .delta import DeltaSubscription
from .messages import Message, ReceivedDeltaRequest, SotwRequest
from .resources import Overrun
from .stream import StreamState, TooManyTypes
from .subscription import Sent

EOF: Any = cast("Any", grpc.aio).EOF


class StreamEnd(Exception):
    """The stream is to end with this status."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def parse(raw: bytes, variant: type[Any], only: str | None) -> Message:
    """Read a request. Raises StreamEnd for what is none and for a type the service does not have."""
    message = ReceivedDeltaRequest if variant is DeltaSubscription else SotwRequest
    try:
        request = message.FromString(raw)
    except DecodeError as error:
        raise StreamEnd(
            grpc.StatusCode.INVALID_ARGUMENT, f"not a {message.DESCRIPTOR.name}: {error}"
        ) from None
    if only is not None:
        if request.type_url not in ("", only):
            raise StreamEnd(
                grpc.StatusCode.INVALID_ARGUMENT, f"this service has {only} only, not {request.type_url}"
            )
        request.type_url = only
    elif not request.type_url:
        raise StreamEnd(grpc.StatusCode.INVALID_ARGUMENT, "type_url is required on an aggregated stream")
    return request


class Connection:
    """Moves one stream's messages. `answered(request, reply)` is called for each ACK and NACK."""

    __slots__ = ("_answered", "_closing", "_context", "_end", "_only", "_sent", "_wake", "state")

    def __init__(
        self,
        context: Any,
        state: StreamState[Any],
        only: str | None,
        answered: Callable[[Message, Sent], None],
        sent: Callable[[int], None],
    ) -> None:
        self._context = context
        self._only = only
        self._answered = answered
        self._sent = sent
        self._wake = asyncio.Event()
        self._end: StreamEnd | None = None
        self._closing = False
        self.state = state

    def wake(self) -> None:
        """There may be something to write."""
        self._wake.set()

    def end(self, code: grpc.StatusCode, text: str) -> None:
        """Let the stream end with this status when the writer is free."""
        self._end = StreamEnd(code, text)
        self._wake.set()

    async def run(self, first: Message) -> None:
        """Serve until the client ends the stream. Raises StreamEnd."""
        self._receive(first)
        reader, writer = asyncio.ensure_future(self._read()), asyncio.ensure_future(self._write())
        try:
            await asyncio.wait((reader, writer), return_when=asyncio.FIRST_COMPLETED)
            if reader.done():
                # Not cut off: no status can be sent beside a message that is neither sent nor given up.
                self._closing = True
                self.wake()
                await asyncio.wait((writer,))
                reader.result()
            writer.result()
        finally:
            for task in (reader, writer):
                task.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)

    async def _read(self) -> None:
        read, variant, only = self._context.read, self.state.variant, self._only
        while True:
            raw = await read()
            if raw is EOF:
                return
            self._receive(parse(raw, variant, only))

    def _receive(self, request: Message) -> None:
        try:
            reply = self.state.receive(request)
            if self.state.asked():
                self._wake.set()
        except TooManyTypes as error:
            raise StreamEnd(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error)) from None
        except Overrun:
            raise _overrun() from None
        if reply is not None:
            self._answered(request, reply)

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        write, state, wake = self._context.write, self.state, self._wake
        while True:
            wake.clear()
            if self._end is not None:
                raise self._end
            if self._closing:
                return
            try:
                response = state.next(loop.time())
            except Overrun:
                raise _overrun() from None
            if response is not None:
                self._sent(len(response))
                try:
                    await write(response)
                except Exception:
                    # The client is gone: what gRPC raises for that is of no public type. A stream's end is no
                    # error of the server, and cancellation is none of these.
                    return
                continue
            at = state.wake_at()
            if at is None:
                await wake.wait()
                continue
            timer = loop.call_at(at, wake.set)
            try:
                await wake.wait()
            finally:
                timer.cancel()


def _overrun() -> StreamEnd:
    return StreamEnd(
        grpc.StatusCode.ABORTED, "the stream fell behind what is remembered of removals: connect again"
    )
