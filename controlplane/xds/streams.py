"""The open streams by what they subscribe to: which a change wakes, which get it first, which to wait for."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import structlog

from controlplane.debounce import Debounce

from .bounds import shown
from .discovery import DiscoveryStream
from .durations import Moments
from .jury import Event, Result, ballot_of, key
from .node import Node
from .resources import Clock, Collection, Overrun
from .standing import Client, State, standing_of
from .subscription import Sent
from .trial import Trials
from .view import View

_log = structlog.get_logger("laneway.xds")
_TEXTS: dict[Result, str] = {
    "rejected": "a change is held: the proxies that tried it rejected it",
    "retried": "a held change is tried again: a proxy that rejected it has left",
    "outvoted": "a proxy rejected a change that others accept; the change goes to all",
}
_MOST_SHOWN = 10
"""Node ids in a line of the log."""

NEW_WAIT = 0.5
"""Seconds to wait for clients that have not proved themselves."""


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
        """Do not wait for silent clients, nor for slow ones while these are a minority; if most are slow, the
        cause is not theirs. Returns the streams that are left out. now: see `standing`.
        """
        silent = [stream for stream in self.streams if standing_of(stream, now) == "silent"]
        slow = [stream for stream in self.streams if stream not in silent and stream.standing.slow(now)]
        return self._leave_out(silent) + self._leave_out(self._if_fewer(slow, now))

    def leave_out_new(self, now: float) -> list[C]:
        """Stop waiting for clients that have not proved themselves, while these are a minority. Otherwise a
        client that reconnects again and again would delay every change.
        """
        return self._leave_out(self._if_fewer([one for one in self.streams if one.standing.new(now)], now))

    def drop(self, stream: C) -> None:
        self.streams.pop(stream, None)
        if not self.streams:
            self.done.set()

    def _leave_out(self, streams: list[C]) -> list[C]:
        for stream in streams:
            self.drop(stream)
        return streams

    def _if_fewer(self, some: list[C], now: float) -> list[C]:
        ballot = ballot_of(self._all, now)
        counted = {key(stream, ballot) for stream in some}
        others = {key(stream, ballot) for stream in self._all} - counted
        return some if len(counted) < len(others) else []


class Streams:
    """The streams that have begun, and the owner of the trials of what they have.

    clock: that of all views. counters: those of the server. trial_wait: see Trials; 0 for none.
    trial_retry: see Trials. debounce_quiet, debounce_max: see Debounce. All four in seconds.
    """

    def __init__(
        self,
        clock: Clock,
        counters: Counter[str],
        trial_wait: float,
        trial_retry: float,
        debounce_quiet: float,
        debounce_max: float,
    ) -> None:
        self._clock = clock
        self._counters = counters
        self._debounce: Debounce[Collection] = Debounce(
            self._push, quiet=debounce_quiet, longest=debounce_max
        )
        self._tries = trial_wait > 0
        self._by_collection: dict[Collection, dict[DiscoveryStream, None]] = {}
        self._waiters: list[Waiter[DiscoveryStream]] = []
        self._closed = False
        self._moments = Moments()
        self.open: dict[DiscoveryStream, None] = {}
        self.trials = Trials(trial_wait, trial_retry, self)

    def attach(self, stream: DiscoveryStream) -> None:
        """A stream has begun."""
        self.open[stream] = None
        self._counters["streams_opened"] += 1
        self._counters["streams"] += 1
        for collection in _collections(stream.view):
            streams = self._by_collection.get(collection)
            if streams is None:
                streams = self._by_collection[collection] = {}
                collection.watch(self._changed)
            streams[stream] = None
            if self._tries and collection.tried is not None:
                collection.gate = self.trials

    def detach(self, stream: DiscoveryStream) -> None:
        """A stream has ended."""
        self.open.pop(stream, None)
        self._counters["streams"] -= 1
        for collection in _collections(stream.view):
            streams = self._by_collection[collection]
            streams.pop(stream, None)
            if not streams:
                del self._by_collection[collection]
                collection.unwatch(self._changed)
        if not self._closed:
            self.trials.left(stream)
        for waiter in self._waiters:
            waiter.drop(stream)

    def close(self) -> None:
        """Stop pushing changes and trying held ones again."""
        self._closed = True
        self._debounce.close()
        self.trials.close()

    def standings(self) -> Counter[State]:
        """How many clients stand how (see `standing`)."""
        now = self.now()
        return Counter(standing_of(stream, now) for stream in self.open)

    # Who has answered.

    def answered(self, stream: DiscoveryStream) -> None:
        """A stream has accepted or rejected something."""
        for waiter in tuple(self._waiters):
            waiter.check_one(stream)

    async def acknowledged(
        self,
        where: Callable[[Node, View], bool],
        timeout: float,  # noqa: ASYNC109
    ) -> list[str]:
        """See XdsServer."""
        mark = self._clock.now
        for _ in range(2):
            await asyncio.sleep(0)  # the answers that have arrived are read first: the server may be late
        waiter = Waiter(mark, [stream for stream in self.open if where(stream.node, stream.view)])
        waiter.check()
        _tell_left_out(waiter.leave_out_silent(self.now()))
        if waiter.streams:
            self._waiters.append(waiter)
            try:
                async with asyncio.timeout(timeout):
                    try:
                        await asyncio.wait_for(waiter.done.wait(), NEW_WAIT)
                    except TimeoutError:
                        _tell_left_out(waiter.leave_out_new(self.now()))
                        await waiter.done.wait()
            except TimeoutError:
                pass
            finally:
                self._waiters.remove(waiter)
        return sorted({stream.node.id for stream in waiter.streams})

    # What has changed.

    def _changed(self, collection: Collection) -> None:
        self._debounce.mark(collection)
        with contextlib.suppress(RuntimeError):  # without a running event loop there are no clients, either
            self._moments.add(self._clock.now, self.now())

    def began(self, reply: Sent) -> float | None:
        """When the first change happened that a reply carries; None if it carries none, or if that is so long
        ago that it was forgotten.
        """
        return self._moments.of(reply.since) if reply.since else None

    def _push(self, collections: set[Collection]) -> None:
        """Wake the streams which the changes of these collections concern."""
        for collection in collections:
            if collection.gate is not None:
                self.trials.choose(collection)
            for stream in self._by_collection.get(collection, ()):
                try:
                    if stream.state.touched(collection):
                        stream.wake()
                except Overrun:
                    stream.wake()  # the writer meets it too, and ends the stream
        self._counters["flushes"] += 1
        for waiter in tuple(self._waiters):
            waiter.check()

    # The owner of trials.

    def clients(self, collection: Collection) -> Iterable[DiscoveryStream]:
        return self._by_collection.get(collection, ())

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def later(self, seconds: float, what: Callable[[], None]) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, what)

    def ask(self, client: Client) -> None:
        """Let a stream have a change that is tried."""
        assert isinstance(client, DiscoveryStream)
        client.wake()

    def over(self, collection: Collection) -> None:
        """Streams that waited for what is tried of that collection may go on."""
        for stream in self._by_collection.get(collection, ()):
            stream.wake()
        for waiter in tuple(self._waiters):
            waiter.check()

    def tell(self, event: Event) -> None:
        """Count the result of a trial, and log it if a client rejected the change."""
        self._counters[f"trials_{event.result}"] += 1
        text = _TEXTS.get(event.result)
        if text is not None:
            _log.warning(
                text,
                type=event.type_url,
                name=event.resource.name if event.resource is not None else "",
                version=event.resource.version if event.resource is not None else "",
                nodes=[shown(node) for node in event.nodes[:_MOST_SHOWN]],
            )


def _tell_left_out(streams: Iterable[DiscoveryStream]) -> None:
    nodes = sorted({shown(stream.node.id) for stream in streams})
    if nodes:
        _log.warning(
            "not waiting for proxies that leave responses unanswered or answer late",
            nodes=nodes[:_MOST_SHOWN],
            more=max(0, len(nodes) - _MOST_SHOWN),
        )


def _collections(view: View) -> Iterable[Collection]:
    for parts in view.collections.values():
        yield from parts
