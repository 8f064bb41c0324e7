"""Waiting until streams have answered what they were sent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Generic, TypeVar

from .jury import Client
from .resources import Overrun
from .standing import standing_of

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

    def leave_out(self, now: float) -> list[C]:
        """Do not wait for those that do not answer, nor for slow ones as long as they are the fewer: if most
        are slow, it is not their fault. Returns those that are left out. now: see `standing`.
        """
        standings = {stream: standing_of(stream, now) for stream in self.streams}
        silent = [stream for stream, standing in standings.items() if standing == "silent"]
        slow = [stream for stream, standing in standings.items() if standing == "slow"]
        left_out = silent if 2 * len(slow) > len(standings) - len(silent) else silent + slow
        for stream in left_out:
            self.drop(stream)
        return left_out

    def drop(self, stream: C) -> None:
        self.streams.pop(stream, None)
        if not self.streams:
            self.done.set()
