"""The catalog: several sources as one mapping, news in batches, and periods that end by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import MappingProxyType

import pytest

from controlplane.registry.catalog import Catalog
from controlplane.registry.hold import Times
from controlplane.registry.source import RawInstance, RawService, Sink


class Scripted:
    """A source that a test speaks through."""

    def __init__(self, name: str = "test") -> None:
        self.name = name

    async def run(self, sink: Sink) -> None:
        await asyncio.Event().wait()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def raw(*ports: int, lane: str = "", name: str = "a", healthy: bool = True) -> RawService:
    metadata = MappingProxyType({"lane": lane} if lane else {})
    return RawService(
        name, tuple(RawInstance("10.0.0.1", p, metadata=metadata, healthy=healthy) for p in ports)
    )


class Bench:
    """A catalog over two scripted sources with a clock of its own."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.catalog = Catalog(
            [Scripted("one"), Scripted("two")],
            times_by_source={"one": Times(empty_hold=300)},
            clock=self.clock,
            wall=lambda: 5.0,
        )
        self.one, self.two = self.catalog.sinks["one"], self.catalog.sinks["two"]
        self.news: list[frozenset[str]] = []
        self.catalog.subscribe(self.news.append)

    def forward(self, seconds: float) -> None:
        self.clock.now += seconds
        self.catalog._deadlines.check()

    def ports(self, service_id: str) -> list[int]:
        self.catalog.flush()
        return [i.port for i in self.catalog.services[service_id].instances]

    def held(self, service_id: str) -> list[int]:
        self.catalog.flush()
        return [i.port for i in self.catalog.services[service_id].instances if i.held]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    bench.catalog._deadlines.close()
    bench.catalog._debounce.close()


async def test_sources_are_merged_and_synced_together(bench: Bench) -> None:
    assert not bench.catalog.synced()
    bench.one.update("one///a", raw(1))
    bench.one.synced()
    assert not bench.catalog.synced()
    before = bench.catalog.services
    bench.two.update("two///a", raw(1))
    bench.two.synced()
    assert bench.catalog.synced()
    assert set(bench.catalog.services) == {"one///a", "two///a"}
    assert set(before) == {"one///a"}
    assert bench.catalog.conflicts("one///a")[0].services == ("two///a",)
    status = bench.catalog.status()
    assert [(s.name, s.services, s.instances, s.connected, s.updated) for s in status] == [
        ("one", 1, 1, True, 5.0),
        ("two", 1, 1, True, 5.0),
    ]


async def test_a_burst_is_told_in_batches_and_a_single_change_at_once(bench: Bench) -> None:
    bench.one.update("one///a", raw(1))
    await asyncio.sleep(0)  # one turn of the event loop
    assert bench.news == [frozenset({"one///a"})]
    told = asyncio.Event()
    bench.catalog.subscribe(lambda _: told.set())
    for n in range(50):
        bench.one.update(f"one///{n}", raw(n + 1))
    async with asyncio.timeout(10):
        await told.wait()
    assert len(bench.news) == 2
    assert len(bench.news[1]) == 50


async def test_the_same_words_are_no_news(bench: Bench) -> None:
    bench.one.update("one///a", raw(1, 2))
    bench.catalog.flush()
    bench.one.update("one///a", raw(2, 1))
    bench.catalog.flush()
    assert len(bench.news) == 1
    bench.one.remove("one///unknown")
    bench.catalog.flush()
    assert len(bench.news) == 1


async def test_a_removed_service_is_held_then_former_then_forgotten(bench: Bench) -> None:
    bench.one.update("one///a", raw(1))
    bench.catalog.flush()
    bench.one.remove("one///a")
    assert bench.held("one///a") == [1]
    bench.forward(300)
    service = bench.catalog.services["one///a"]
    assert (service.instances, service.former, service.held) == ((), (("10.0.0.1", 1),), False)
    bench.forward(120)
    assert "one///a" not in bench.catalog.services
    assert len(bench.news) == 4


async def test_a_live_registration_anywhere_beats_a_held_one(bench: Bench) -> None:
    bench.one.update("one///a", raw(1, 2))
    bench.catalog.flush()
    bench.one.remove("one///a")
    assert bench.held("one///a") == [1, 2]
    bench.two.update("two///b", raw(1, name="b"))
    assert bench.held("one///a") == [2]
    assert bench.catalog.services["one///a"].former == ()


async def test_an_outage_and_its_end(bench: Bench) -> None:
    bench.one.reconnected()
    bench.one.update("one///a", raw(1, 2))
    bench.one.synced()
    bench.one.unreachable("gone")
    assert bench.held("one///a") == [1, 2]
    assert bench.catalog.status()[0].error == "gone"
    assert bench.catalog.status()[0].held == 2
    bench.one.reconnected()
    bench.one.update("one///a", raw(1))
    assert (bench.ports("one///a"), bench.held("one///a")) == ([1, 2], [2])
    bench.forward(60)
    assert bench.ports("one///a") == [1]
    assert bench.catalog.status()[0].error == ""


async def test_a_start_is_no_reconnect(bench: Bench) -> None:
    bench.one.unreachable("not up yet")
    bench.one.reconnected()
    bench.one.update("one///a", raw(1, 2))
    bench.one.synced()
    bench.one.update("one///a", raw(1))
    assert bench.ports("one///a") == [1]


async def test_a_failing_subscriber_stops_nobody(bench: Bench) -> None:
    def fail(_: frozenset[str]) -> None:
        raise RuntimeError

    bench.catalog.subscribe(fail)
    later: list[frozenset[str]] = []
    unsubscribe = bench.catalog.subscribe(later.append)
    bench.one.update("one///a", raw(1))
    bench.catalog.flush()
    unsubscribe()
    bench.one.update("one///a", raw(2))
    bench.catalog.flush()
    assert len(later) == 1


async def test_a_source_that_fails_is_run_again() -> None:
    class Failing(Scripted):
        runs = 0

        async def run(self, sink: Sink) -> None:
            self.runs += 1
            if self.runs == 1:
                raise RuntimeError("oh")
            sink.reconnected()
            sink.synced()
            await asyncio.Event().wait()

    catalog = Catalog([Failing()], times=Times(start_wait=0))
    task = asyncio.create_task(catalog.run())
    async with asyncio.timeout(20):
        await catalog.wait_synced()
    assert catalog.status()[0].error == ""
    assert catalog.status()[0].connected
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
