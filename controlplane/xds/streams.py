"""The open streams, by what they have: whom a change wakes, who gets it first, and who is waited for."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable

import structlog

from controlplane.debounce import Debounce

from .connection import Connection
from .jury import Client, Event, Result
from .node import Node
from .resources import TRIED, Clock, Collection, Overrun, View
from .standing import State, standing_of
from .texts import shown
from .trial import Trials
from .waiter import Waiter

_log = structlog.get_logger("laneway.xds")
_TEXTS: dict[Result, str] = {
    "rejected": "a change is held: the proxies that tried it rejected it",
    "retried": "a held change is tried again: a proxy that rejected it has left",
    "outvoted": "a proxy rejected a change that others accept; the change goes to all",
}
_MOST_SHOWN = 10
"""Node ids in a line of the log."""

NEW_WAIT = 0.5
"""Seconds that are waited for those that have not proved themselves."""


class Streams:
    """The streams that have begun, and the owner of the trials of what they have.

    trial_wait: see Trials; 0 for none. debounce_quiet, debounce_max: see Debounce. Seconds. `counters` are
    those of the server.
    """

    def __init__(
        self, counters: Counter[str], trial_wait: float, debounce_quiet: float, debounce_max: float
    ) -> None:
        self._counters = counters
        self._debounce: Debounce[Collection] = Debounce(
            self._push, quiet=debounce_quiet, longest=debounce_max
        )
        self._tried = TRIED if trial_wait else frozenset[str]()
        self._by_collection: dict[Collection, dict[Connection, None]] = {}
        self._waiters: list[Waiter[Connection]] = []
        self._closed = False
        self.open: dict[Connection, None] = {}
        self.trials = Trials(trial_wait, self)

    def attach(self, stream: Connection) -> None:
        """A stream has begun."""
        self.open[stream] = None
        self._counters["streams_opened"] += 1
        self._counters["streams"] += 1
        for collection in _collections(stream.view):
            streams = self._by_collection.get(collection)
            if streams is None:
                streams = self._by_collection[collection] = {}
                collection.watch(self._debounce.mark)
            streams[stream] = None
            if collection.type_url in self._tried:
                collection.gate = self.trials

    def detach(self, stream: Connection) -> None:
        """A stream has ended."""
        self.open.pop(stream, None)
        self._counters["streams"] -= 1
        for collection in _collections(stream.view):
            streams = self._by_collection[collection]
            streams.pop(stream, None)
            if not streams:
                del self._by_collection[collection]
                collection.unwatch(self._debounce.mark)
        if not self._closed:
            self.trials.left(stream)
        for waiter in self._waiters:
            waiter.drop(stream)

    def close(self) -> None:
        """Push nothing more, and try nothing again."""
        self._closed = True
        self._debounce.close()
        self.trials.close()

    def standings(self) -> Counter[State]:
        """How many clients stand how (see `standing`)."""
        now = self.now()
        return Counter(standing_of(stream, now) for stream in self.open)

    # Who has answered.

    def answered(self, stream: Connection) -> None:
        """A stream has accepted or rejected something."""
        for waiter in tuple(self._waiters):
            waiter.check_one(stream)

    async def acknowledged(
        self,
        where: Callable[[Node, View], bool],
        timeout: float,  # noqa: ASYNC109
    ) -> list[str]:
        """See XdsServer."""
        mark = Clock.now
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

    def clients(self, collection: Collection) -> Iterable[Connection]:
        return self._by_collection.get(collection, ())

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def later(self, seconds: float, what: Callable[[], None]) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, what)

    def ask(self, client: Client) -> None:
        """Let a stream have a change that is tried."""
        assert isinstance(client, Connection)
        client.wake()

    def over(self, collection: Collection) -> None:
        """Streams that waited for what is tried of that collection may go on."""
        for stream in self._by_collection.get(collection, ()):
            stream.wake()
        for waiter in tuple(self._waiters):
            waiter.check()

    def tell(self, event: Event) -> None:
        """Count what has become of a change, and say it where somebody rejected it."""
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


def _tell_left_out(streams: Iterable[Connection]) -> None:
    nodes = sorted({shown(stream.node.id) for stream in streams})
    if nodes:
        _log.warning(
            "proxies are not waited for: they leave what they are sent without an answer, or answer late",
            nodes=nodes[:_MOST_SHOWN],
            more=max(0, len(nodes) - _MOST_SHOWN),
        )


def _collections(view: View) -> Iterable[Collection]:
    for parts in view.collections.values():
        yield from parts
