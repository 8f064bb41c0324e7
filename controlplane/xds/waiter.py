"""Waiting until streams have answered what they were sent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Generic, TypeVar

from .resources import Overrun
from .trial import Client

C = TypeVar("C", bound=Client)


class Waiter(Generic[C]):
    """Streams that have not answered everything up to `mark`."""

    def __init__(self, mark: int, streams: Iterable[C]) -> None:
        self.mark = mark
        self.streams = dict.fromkeys(streams)
        self.done = asyncio.Event()

    def check(self) -> None:
        for stream in tuple(self.streams):
            self.check_one(stream)

    def check_one(self, stream: C) -> None:
        try:
            if stream in self.streams and stream.state.settled(self.mark):
                self.drop(stream)
        except Overrun:
            pass  # the stream is about to end

    def drop(self, stream: C) -> None:
        self.streams.pop(stream, None)
        if not self.streams:
            self.done.set()
