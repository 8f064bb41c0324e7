"""The store in Nacos while its server falters: reads go on, nothing is half-written, it recovers alone."""

from __future__ import annotations

import asyncio
import signal

import pytest

from controlplane.model.documents import Application
from controlplane.store.interface import StoreUnavailable
from controlplane.store.nacos import NacosStore
from tests.nacos_relay import NacosRelay
from tests.nacos_server import NacosServer
from tests.store.nacos_tools import connection, names, opened, until
from tests.store.test_stores import GATEWAY, ROUTE, filled

pytestmark = [pytest.mark.nacos, pytest.mark.timeout(400)]


async def test_a_killed_server_that_comes_back(own_server: NacosServer) -> None:
    at = connection(own_server.address)
    async with opened(at) as one, opened(at) as other:
        await filled(one)
        before = await until(other, lambda now: now.revision == 5)
        revisions = await one.revisions()
        await asyncio.to_thread(own_server.kill)
        for store in (one, other):
            with pytest.raises(StoreUnavailable, match="Connection refused"):
                await store.change(lambda now: now.put(Application(name="x")))
            with pytest.raises(StoreUnavailable, match="Connection refused"):
                await store.revisions()
            assert store.current == before
        fresh = NacosStore(at)
        with pytest.raises(StoreUnavailable, match="Connection refused"):
            await fresh.open()
        await asyncio.to_thread(own_server.start)
        await fresh.open()
        assert fresh.current == before
        assert await fresh.revisions() == revisions
        after = await fresh.change(lambda now: now.put(Application(name="x")))
        for store in (one, other):
            assert await until(store, lambda now: now.revision == 6) == after
            assert store.problem == ""
        await other.change(lambda now: now.put(Application(name="y")))
        await until(one, lambda now: now.revision == 7)
        await fresh.close()


async def test_changes_under_way_while_the_server_is_killed(own_server: NacosServer) -> None:
    """Each change is there whole or not at all; those that were answered are."""
    at = connection(own_server.address)
    answered: list[int] = []
    async with opened(at) as store:
        started = asyncio.Event()

        async def write() -> None:
            for number in range(10_000):
                pair = [(Application(name=f"{side}-{number}"), None) for side in ("left", "right")]
                await store.change(lambda now, pair=pair: now.change(pair))
                answered.append(number)
                if len(answered) == 5:
                    started.set()

        writing = asyncio.create_task(write())
        await started.wait()
        await asyncio.to_thread(own_server.kill)
        with pytest.raises(StoreUnavailable):
            await writing
    await asyncio.to_thread(own_server.start)
    async with opened(at) as fresh:
        there = set(fresh.current.definitions.applications)
        count = fresh.current.revision
        assert len(answered) <= count <= len(answered) + 1
        assert there == {f"{side}-{number}" for side in ("left", "right") for number in range(count)}
        # The first change also finds what the interrupted one left behind.
        await fresh.change(lambda now: now.put(GATEWAY))
    assert await names(at) == fresh._index.items()


async def test_a_server_that_hangs(own_server: NacosServer) -> None:
    at = connection(own_server.address, request_timeout=1.0)
    async with opened(at) as one, opened(at) as other:
        await one.change(lambda now: now.put(GATEWAY))
        before = await until(other, lambda now: now.revision == 1)
        own_server.signal(signal.SIGSTOP)
        try:
            async with asyncio.timeout(30):
                with pytest.raises(StoreUnavailable, match="does not answer"):
                    await one.change(lambda now: now.put(ROUTE))
            assert one.current == before
        finally:
            own_server.signal(signal.SIGCONT)
        async with asyncio.timeout(90):
            while True:
                try:
                    after = await one.change(lambda now: now.put(ROUTE))
                    break
                except StoreUnavailable:
                    await asyncio.sleep(0.2)
        assert await until(other, lambda now: now == after, 60) == after


async def test_a_start_without_the_server(own_server: NacosServer) -> None:
    await asyncio.to_thread(own_server.kill)
    at = connection(own_server.address)
    opening = asyncio.create_task(first_change(at.namespace, own_server.address))
    await asyncio.wait({opening}, timeout=1.0)
    assert not opening.done()
    await asyncio.to_thread(own_server.start)
    assert await opening == 1


async def first_change(namespace: str, address: str) -> int:
    async with opened(connection(address, namespace=namespace), 200.0) as store:
        return (await store.change(lambda now: now.put(GATEWAY))).revision


async def test_an_answer_that_is_lost(nacos_address: str) -> None:
    """The connection breaks when the index is replaced and the answer not yet here: it is found out."""
    at = connection(nacos_address)
    losing = LosesAnswer()
    async with (
        NacosRelay(nacos_address, passes=losing) as relay,
        opened(connection(relay.address, namespace=at.namespace)) as one,
        opened(at) as other,
    ):
        await one.change(lambda now: now.put(GATEWAY))
        losing.next = True
        after = await one.change(lambda now: now.put(ROUTE))
        assert losing.lost == 1
        assert after.revision == 2
        assert await until(other, lambda now: now.revision == 2) == after


class LosesAnswer:
    """For a relay: with `next`, the next answer to a compare and set is lost, and its connection cut."""

    def __init__(self) -> None:
        self.next = False
        self.lost = 0
        self._asked: set[int] = set()

    def __call__(self, connection: int, answer: bool, data: bytes) -> bool:
        if not answer and self.next and b'"casMd5"' in data:
            self.next = False
            self._asked.add(connection)
        if answer and connection in self._asked and b"ConfigPublishResponse" in data:
            self.lost += 1
            return False
        return True
