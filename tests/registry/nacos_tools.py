"""Publishing to a real Nacos and waiting for what the catalog makes of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from controlplane.registry.catalog import Catalog
from controlplane.registry.hold import Times
from controlplane.registry.nacos import NacosConfig, NacosSource
from controlplane.registry.nacos.sdk import NamingClient
from controlplane.registry.types import Instance

GROUP = "DEFAULT_GROUP"


class Publisher:
    """A client with ephemeral instances of its own, as an application has."""

    def __init__(self, config: NacosConfig) -> None:
        self._client = NamingClient(config)

    async def register(self, service: str, *instances: dict[str, Any], group: str = GROUP) -> None:
        """These are the service's instances of this client now, in place of earlier ones."""
        sdk = self._client._sdk
        params = [
            sdk.RegisterInstanceParam(service_name=service, group_name=group, **one) for one in instances
        ]
        batch = sdk.BatchRegisterInstanceParam(service_name=service, group_name=group, instances=params)
        assert await self._client._service.batch_register_instances(batch)

    async def __aenter__(self) -> Publisher:
        await self._client.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()


def instance(port: int, lane: str = "", **more: Any) -> dict[str, Any]:
    return {"ip": "127.0.0.1", "port": port, "metadata": {"lane": lane} if lane else {}, **more}


class Watch:
    """A running catalog over a Nacos source, and a way to wait for a state of it."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.seen: list[dict[str, tuple[Instance, ...]]] = []
        self._changed = asyncio.Event()
        catalog.subscribe(self._note)

    def _note(self, _: frozenset[str]) -> None:
        self.seen.append({s.name: s.instances for s in self.catalog.services.values()})
        self._changed.set()

    def service(self, name: str) -> tuple[Instance, ...]:
        return next((s.instances for s in self.catalog.services.values() if s.name == name), ())

    async def until(self, condition: Callable[[], bool], seconds: float = 30.0) -> None:
        """Return when `condition` holds after some change. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


@contextlib.asynccontextmanager
async def watching(config: NacosConfig, times: Times | None = None) -> AsyncIterator[Watch]:
    """A catalog over `config`, running."""
    catalog = Catalog([NacosSource(config)], times=times)
    watch = Watch(catalog)
    task = asyncio.create_task(catalog.run())
    try:
        yield watch
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def config(address: str, state: Path, **more: Any) -> NacosConfig:
    return NacosConfig((address,), state_dir=state, discovery_interval=1.0, **more)
