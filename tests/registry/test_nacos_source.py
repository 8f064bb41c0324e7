"""The Nacos source over a client of the test's own: which service fails alone, and what ends a connection."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import controlplane
from controlplane.nacos.access import base_url, split_address
from controlplane.nacos.errors import NacosError
from controlplane.registry.catalog import Catalog
from controlplane.registry.nacos import NacosConfig, NacosSource
from controlplane.registry.source import RawInstance
from controlplane.registry.types import SourceState


class Registry:
    """What the server of a test has. `down` fails every request, `broken` services cannot be read."""

    def __init__(self) -> None:
        self.services: dict[str, tuple[RawInstance, ...]] = {}
        self.down = False
        self.broken: set[str] = set()
        self.told: dict[str, Any] = {}
        self.clients = 0

    def push(self, name: str, *ports: int) -> None:
        self.services[name] = tuple(RawInstance("10.0.0.1", port) for port in ports)
        if name in self.told:
            self.told[name](self.services[name])


class Client:
    """Stands in for `NamingClient`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.lost = asyncio.Event()

    def _ask(self) -> None:
        if self._registry.down:
            raise NacosError("down")

    async def open(self) -> None:
        self._ask()
        self._registry.clients += 1

    async def close(self) -> None:
        self._registry.told.clear()

    async def list_services(self, group: str) -> set[str]:
        self._ask()
        return set(self._registry.services)

    async def subscribe(self, group: str, name: str, changed: Any) -> str:
        self._ask()
        if name in self._registry.broken:
            raise NacosError("no instance can be read")
        self._registry.told[name] = changed
        changed(self._registry.services[name])
        return name

    async def unsubscribe(self, subscription: str) -> None:
        self._registry.told.pop(subscription, None)

    async def refresh(self, group: str, name: str) -> None:
        self._ask()
        self._registry.told[name](self._registry.services[name])


class Run:
    """A catalog over such a source."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    def ports(self) -> dict[str, list[tuple[int, bool]]]:
        return {s.name: [(i.port, i.held) for i in s.instances] for s in self.catalog.services.values()}

    @property
    def error(self) -> str:
        return self.catalog.status()[0].error

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110 - a change of the status is no event of the catalog
                await asyncio.sleep(0)


@asynccontextmanager
async def running(registry: Registry, **more: Any) -> AsyncIterator[Run]:
    # Port 9 of the loopback: what the source asks by HTTP (the version) fails at once.
    config = NacosConfig(("127.0.0.1:9",), discovery_interval=0.002, retry=0.002, **more)
    catalog = Catalog([NacosSource(config, lambda _: Client(registry))])  # type: ignore[arg-type]
    task = asyncio.create_task(catalog.run())
    try:
        yield Run(catalog)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_services_come_and_go() -> None:
    registry = Registry()
    registry.push("sc-A", 1)
    registry.push("other", 9)
    async with running(registry, services=("sc-*",)) as run:
        await run.until(run.catalog.synced)
        assert run.ports() == {"sc-A": [(1, False)]}
        registry.push("sc-B", 2)
        await run.until(lambda: "sc-B" in run.ports())
        registry.push("sc-B", 2, 3)
        await run.until(lambda: run.ports()["sc-B"] == [(2, False), (3, False)])
        del registry.services["sc-A"]
        await run.until(lambda: run.ports()["sc-A"] == [(1, True)])
        registry.push("sc-A", 1)
        await run.until(lambda: run.ports()["sc-A"] == [(1, False)])


async def test_a_service_that_cannot_be_read_fails_alone() -> None:
    registry = Registry()
    registry.push("sc-A", 1)
    registry.push("sc-B", 2)
    registry.broken = {"sc-B"}
    async with running(registry) as run:
        await run.until(run.catalog.synced)
        assert run.ports() == {"sc-A": [(1, False)]}
        assert run.error == "nacos/public/DEFAULT_GROUP/sc-B: no instance can be read"
        assert run.catalog.status()[0].connected
        assert run.catalog.status()[0].state is SourceState.INCOMPLETE
        registry.broken = set()
        await run.until(lambda: run.error == "" and run.ports().get("sc-B") == [(2, False)])
        assert registry.clients == 1


async def test_a_lost_connection_gets_a_new_client_and_holds() -> None:
    registry = Registry()
    registry.push("sc-A", 1, 2)
    async with running(registry) as run:
        await run.until(run.catalog.synced)
        registry.down = True
        await run.until(lambda: run.error == "down" and run.ports() == {"sc-A": [(1, True), (2, True)]})
        stale = run.catalog.status()[0]
        assert (stale.state, stale.held_services, stale.held) == (SourceState.STALE, 1, 2)
        assert abs(time.time() - stale.unreachable_since) < 60
        registry.services.clear()
        registry.down = False
        await run.until(lambda: run.error == "")
        assert registry.clients == 2
        assert run.ports() == {"sc-A": [(1, True), (2, True)]}
        assert run.catalog.status()[0].state is SourceState.COMPLETE
        assert run.catalog.status()[0].unreachable_since == 0
        registry.push("sc-A", 2, 3)
        await run.until(lambda: run.ports() == {"sc-A": [(1, True), (2, False), (3, False)]})


async def test_a_lost_push_is_found() -> None:
    registry = Registry()
    registry.push("sc-A", 1)
    async with running(registry, resync=0.002) as run:
        await run.until(run.catalog.synced)
        registry.services["sc-A"] = (RawInstance("10.0.0.1", 7),)
        await run.until(lambda: run.ports()["sc-A"] == [(7, False)])


def test_the_sdk_is_loaded_only_with_nacos() -> None:
    code = (
        "import sys; from controlplane.app import serving, parts; from controlplane.app.settings import load;"
        "parts.sources_of(load(None, {'services': '/nowhere.yaml'}));"
        "sys.exit(any(name == 'v2' or name.startswith('v2.') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_two_modules_know_the_sdk() -> None:
    root = Path(controlplane.__file__).parent
    sdk = re.compile(r"^\s*(import|from) v2\b", re.MULTILINE)
    found = {path.relative_to(root).as_posix() for path in root.rglob("*.py") if sdk.search(path.read_text())}
    assert found == {"registry/nacos/sdk.py", "registry/nacos/sdk_patches.py"}


def test_the_sdk_writes_nowhere_near_the_home() -> None:
    assert Path.home() not in NacosConfig(("x",)).directory().parents
    assert "secret" not in repr(NacosConfig(("x",), password="secret", secret_key="secret"))


@pytest.mark.parametrize(
    ("address", "parts"),
    [("h", ("h", 8848)), ("h:1", ("h", 1)), ("http://h:1/", ("h", 1)), ("https://h", ("h", 8848))],
)
def test_addresses(address: str, parts: tuple[str, int]) -> None:
    assert split_address(address) == parts


@pytest.mark.parametrize(
    ("address", "tls", "url"),
    [
        ("h", False, "http://h:8848"),
        ("http-nacos:1", False, "http://http-nacos:1"),
        ("h:1", True, "https://h:1"),
        ("https://h:1/", True, "https://h:1"),
        ("http://h:1", True, "http://h:1"),
    ],
)
def test_the_scheme_of_an_address(address: str, tls: bool, url: str) -> None:
    assert base_url(NacosConfig((address,), tls=tls), address) == url
