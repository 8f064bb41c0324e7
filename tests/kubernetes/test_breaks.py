"""After every break the source has what the API server has, deletions in the gap included."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from controlplane.registry.hold import Times
from controlplane.registry.kubernetes import KubernetesConfig
from tests.kubernetes.relay import Relay
from tests.kubernetes.server import KubeServer
from tests.kubernetes.tools import NODE, Admin, Watch, same, through, watching

pytestmark = [pytest.mark.kubernetes]

ID = "kubernetes/default//sc-a"
AT_ONCE = Times(empty_hold=0.0, reconnect_wait=0.0)
"""What the registry loses is gone at once: these tests are about what the source knows."""


@pytest.fixture
async def relay(own: KubeServer) -> AsyncIterator[Relay]:
    async with Relay(own.port) as relay:
        yield relay


@contextlib.asynccontextmanager
async def three_pods(own: KubeServer, relay: Relay, path: Path, **more: Any) -> AsyncIterator[Watch]:
    """A source behind the relay that knows a Service of three pods."""
    admin = Admin(own)
    await admin.service("sc-a", {"app": "a"})
    for number in (1, 2, 3):
        await admin.pod(f"a-{number}", f"10.0.1.{number}", {"app": "a"})
    kubeconfig = through(own, relay.port, path / "through")
    config = KubernetesConfig(
        kubeconfig=kubeconfig, **{"retry_most": 0.5, "heartbeat": 1.0, "within": 2.0, **more}
    )
    async with watching(config, times=AT_ONCE) as watch:
        await watch.until(lambda: len(watch.of(ID)) == 3)
        yield watch


async def test_kill_with_changes_in_the_gap(own: KubeServer, relay: Relay, tmp_path: Path) -> None:
    """What was deleted is in no event: the server does not know the version of the watch any more."""
    async with three_pods(own, relay, tmp_path) as watch:
        lists = [one.lists for one in watch.source.reflectors]
        relay.refuses = True
        relay.cut()
        await watch.until(lambda: not watch.status.connected)
        assert {one.held for one in watch.of(ID)} == {True}
        admin = Admin(own)
        await admin.delete("pods", "a-2")
        own.kill()
        await asyncio.to_thread(own.start)
        await admin.pod("a-4", "10.0.1.4", {"app": "a", "lane": "gray"})
        await admin.service("sc-new", {"app": "new"})
        relay.refuses = False
        await watch.until(lambda: watch.tags(ID) == {"10.0.1.1": None, "10.0.1.3": None, "10.0.1.4": "gray"})
        await same(watch, own)
        assert "kubernetes/default//sc-new" in watch.catalog.services
        assert all(one.lists > before for one, before in zip(watch.source.reflectors, lists, strict=True))
        assert watch.status.connected
        assert watch.status.state == "complete"


async def test_a_broken_connection_is_resumed_without_a_list(
    own: KubeServer, relay: Relay, tmp_path: Path
) -> None:
    async with three_pods(own, relay, tmp_path) as watch:
        lists = [one.lists for one in watch.source.reflectors]
        relay.refuses = True
        relay.cut()
        await watch.until(lambda: not watch.status.connected)
        await Admin(own).delete("pods", "a-3")
        relay.refuses = False
        await watch.until(lambda: watch.tags(ID) == {"10.0.1.1": None, "10.0.1.2": None})
        await same(watch, own)
        assert [one.lists for one in watch.source.reflectors] == lists


async def test_etcd_is_wiped(own: KubeServer, relay: Relay, tmp_path: Path) -> None:
    """The version of a watch is in the future of the new etcd: the watch would be silent."""
    async with three_pods(own, relay, tmp_path) as watch:
        relay.refuses = True
        own.kill()
        own.wipe()
        await asyncio.to_thread(own.start)
        relay.refuses = False
        await watch.until(lambda: not watch.of(ID))
        await asyncio.to_thread(own.call, "POST", "/api/v1/nodes", {"metadata": {"name": NODE}})
        admin = Admin(own)
        await admin.service("sc-a", {"app": "a"})
        await admin.pod("a-1", "10.0.1.9", {"app": "a"})
        await watch.until(lambda: watch.tags(ID) == {"10.0.1.9": None})
        await same(watch, own)


async def test_connections_that_are_open_and_silent(own: KubeServer, relay: Relay, tmp_path: Path) -> None:
    """As behind a firewall that forgot them. Whether the heartbeat has one of them is not known; a watch that
    the server does not end when it should is found, too.
    """
    async with three_pods(own, relay, tmp_path, watch_for=3.0) as watch:
        relay.freeze()
        await Admin(own).delete("pods", "a-3")
        await watch.until(lambda: watch.tags(ID) == {"10.0.1.1": None, "10.0.1.2": None})
        await same(watch, own)


async def test_a_server_that_hangs(own: KubeServer, relay: Relay, tmp_path: Path) -> None:
    """Its kernel still takes connections."""
    async with three_pods(own, relay, tmp_path) as watch:
        own.signal(signal.SIGSTOP)
        try:
            await watch.until(lambda: not watch.status.connected)
            assert "in time" in watch.status.error
            assert len(watch.of(ID)) == 3
        finally:
            own.signal(signal.SIGCONT)
        await watch.until(lambda: watch.status.connected)
        await Admin(own).delete("pods", "a-3")
        await watch.until(lambda: watch.tags(ID) == {"10.0.1.1": None, "10.0.1.2": None})
        await same(watch, own)


async def test_a_slow_connection_loses_nothing(own: KubeServer, relay: Relay, tmp_path: Path) -> None:
    relay.pause, relay.piece = 0.005, 1400
    async with three_pods(own, relay, tmp_path, within=10.0) as watch:
        admin = Admin(own)
        await admin.pod("a-4", "10.0.1.4", {"app": "a"})
        await admin.delete("pods", "a-1")
        await watch.until(lambda: set(watch.tags(ID)) == {"10.0.1.2", "10.0.1.3", "10.0.1.4"})
        await same(watch, own)


async def test_the_server_ends_watches(own: KubeServer, relay: Relay, tmp_path: Path) -> None:
    """Each ends after a second, and the next one goes on where it ended."""
    async with three_pods(own, relay, tmp_path, watch_for=1.0) as watch:
        admin = Admin(own)
        lists = [one.lists for one in watch.source.reflectors]
        for number in range(4, 24):
            await admin.pod(f"a-{number}", f"10.0.1.{number}", {"app": "a"})
            await asyncio.sleep(0.1)
        await watch.until(lambda: len(watch.of(ID)) == 23)
        await same(watch, own)
        assert [one.lists for one in watch.source.reflectors] == lists


async def test_a_start_while_the_server_is_down(own: KubeServer, relay: Relay, tmp_path: Path) -> None:
    await Admin(own).service("sc-a")
    own.kill()
    config = KubernetesConfig(kubeconfig=through(own, relay.port, tmp_path / "through"), retry_most=0.5)
    async with watching(config, times=Times(start_wait=0.0)) as watch:
        await watch.until(lambda: bool(watch.status.error))
        assert not watch.catalog.synced()
        await asyncio.to_thread(own.start)
        await watch.until(watch.catalog.synced)
        assert ID in watch.catalog.services
