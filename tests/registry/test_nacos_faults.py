"""The Nacos source while a real server falters: base instances stay, and everything recovers by itself."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from controlplane.registry.hold import Times
from tests.nacos_server import NacosServer
from tests.registry.nacos_tools import Publisher, Watch, config, instance, watching

pytestmark = [pytest.mark.nacos, pytest.mark.timeout(400)]


def base_was_never_missing(watch: Watch, since: int) -> bool:
    """Whether both base instances were there in every state of the catalog."""
    return all(
        {1, 2} <= {i.port for i in state.get("sc-A", ()) if i.tag is None} for state in watch.seen[since:]
    )


async def test_a_killed_server_that_comes_back_empty(own_server: NacosServer, tmp_path: Path) -> None:
    at = config(own_server.address, tmp_path)
    times = Times(reconnect_wait=40.0)
    async with Publisher(at) as one, Publisher(at) as two, watching(at, times) as watch:
        await one.register("sc-A", instance(1), instance(3, "gray"))
        await two.register("sc-A", instance(2))
        await watch.until(lambda: len(watch.service("sc-A")) == 3)
        since = len(watch.seen)
        await asyncio.to_thread(own_server.kill)
        await watch.until(lambda: all(i.held for i in watch.service("sc-A") if i.tag is None))
        assert not watch.catalog.status()[0].connected
        assert watch.catalog.status()[0].error
        await asyncio.to_thread(own_server.start)
        await watch.until(
            lambda: [(i.port, i.held) for i in watch.service("sc-A")] == [(1, False), (2, False), (3, False)],
            90.0,
        )
        assert watch.catalog.status()[0].connected
        assert base_was_never_missing(watch, since)


async def test_a_paused_server(own_server: NacosServer, tmp_path: Path) -> None:
    at = config(own_server.address, tmp_path, request_timeout=1.0)
    async with Publisher(at) as one, watching(at, Times(reconnect_wait=5.0)) as watch:
        await one.register("sc-A", instance(1), instance(2), instance(3, "gray"))
        await watch.until(lambda: len(watch.service("sc-A")) == 3)
        since = len(watch.seen)
        own_server.signal(signal.SIGSTOP)
        await watch.until(lambda: watch.service("sc-A")[0].held)
        own_server.signal(signal.SIGCONT)
        await watch.until(lambda: len(watch.service("sc-A")) == 3 and not watch.service("sc-A")[0].held, 90)
        assert base_was_never_missing(watch, since)


async def test_a_server_that_is_down_at_the_start(own_server: NacosServer, tmp_path: Path) -> None:
    await asyncio.to_thread(own_server.kill)
    at = config(own_server.address, tmp_path)
    async with watching(at) as watch:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await watch.catalog.wait_synced()
        assert "Connection refused" in watch.catalog.status()[0].error
        await asyncio.to_thread(own_server.start)
        async with asyncio.timeout(60):
            await watch.catalog.wait_synced()
        assert watch.catalog.status()[0].error == ""
        async with Publisher(at) as one:
            await one.register("sc-A", instance(1))
            await watch.until(lambda: len(watch.service("sc-A")) == 1)


async def test_a_connection_that_the_server_dropped_gracefully(
    own_server: NacosServer, tmp_path: Path
) -> None:
    """The watcher is stopped until the server has given it up; its SDK does not notice; it hears again."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.registry.nacos_child", own_server.address, str(tmp_path / "child")),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert child.stdout is not None
    lines = child.stdout

    async def until(line: bytes) -> None:
        async with asyncio.timeout(60):
            while await lines.readline() != line:
                pass

    try:
        async with Publisher(config(own_server.address, tmp_path)) as one:
            await one.register("sc-A", instance(1))
            await until(b"[1]\n")
            child.send_signal(signal.SIGSTOP)
            await asyncio.to_thread(own_server.wait_for_subscribers, "sc-A", 0)
            await one.register("sc-A", instance(1), instance(2))
            child.send_signal(signal.SIGCONT)
            await until(b"[1, 2]\n")
    finally:
        child.kill()
        await child.wait()
