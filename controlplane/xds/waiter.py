"""Waiting until streams have answered what they were sent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Generic, TypeVar

from .jury import Client, key
from .resources import Overrun
from .standing import standing_of

C = TypeVar("C", bound=Client)


class Waiter(Generic[C]):
    """Streams that have not answered everything up to `mark`."""

    def __init__(self, mark: int, streams: Iterable[C]) -> None:
        self.mark = mark
        self.streams = dict.fromkeys(streams)
        self.done = asyncio.Event()
        self._all = tuple(self.streams)

    def check(self) -> None:
        for stream in tuple(self.streams):
            self.check_one(stream)

    def check_one(self, stream: C) -> None:
        try:
            if stream in self.streams and stream.state.settled(self.mark):
                self.drop(stream)
        except Overrun:
            pass  # the stream is about to end

    def leave_out_silent(self, now: float) -> list[C]:
        """Do not wait for those that do not answer, nor for slow ones as long as they are the fewer: if most
        are slow, it is not their fault. Returns those that are left out. now: see `standing`.
        """
        silent = [stream for stream in self.streams if standing_of(stream, now) == "silent"]
        slow = [stream for stream in self.streams if stream not in silent and stream.standing.slow(now)]
        return self._leave_out(silent) + self._leave_out(self._if_fewer(slow))

    def leave_out_new(self, now: float) -> list[C]:
        """Wait no longer for those that have not proved themselves, as long as they are the fewer: else one
        that connects again and again would be waited for again and again.
        """
        return self._leave_out(self._if_fewer([one for one in self.streams if one.standing.new(now)]))

    def drop(self, stream: C) -> None:
        self.streams.pop(stream, None)
        if not self.streams:
            self.done.set()

    def _leave_out(self, streams: list[C]) -> list[C]:
        for stream in streams:
            self.drop(stream)
        return streams

    def _if_fewer(self, some: list[C]) -> list[C]:
        by_address = len({stream.address for stream in self._all}) > 1
        counted = {key(stream, by_address) for stream in some}
        others = {key(stream, by_address) for stream in self._all} - counted
        return some if len(counted) < len(others) else []
