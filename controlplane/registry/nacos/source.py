"""The Nacos source: services are discovered by paging, each is subscribed once, the connection is supervised.

The listing that finds services is also the probe: a real request each few seconds. When one fails, the
registry counts as unreachable, the client is thrown away, and new ones are tried until one works. A new
client subscribes everything at once, where the SDK's own reconnect takes up to 30 s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from controlplane.registry.nacos import http
from controlplane.registry.nacos.config import NacosConfig
from controlplane.registry.nacos.sdk import NacosError, NamingClient
from controlplane.registry.names import canonical_id
from controlplane.registry.source import RawInstance, RawService, Sink

log = structlog.get_logger("laneway.registry.nacos")

AT_ONCE = 16
"""Requests in flight while many services are subscribed."""

Key = tuple[str, str]
"""Group and name of a service."""


@dataclass(slots=True)
class _Session:
    """One client and what it is subscribed to."""

    client: NamingClient
    subscriptions: dict[Key, Any]


class NacosSource:
    """Services of one namespace of a Nacos cluster."""

    name = "nacos"

    def __init__(self, config: NacosConfig) -> None:
        self._config = config
        self._reported: set[Key] = set()

    async def run(self, sink: Sink) -> None:
        """Report to `sink` until cancelled; servers that cannot be reached are tried again for ever."""
        while True:
            session = _Session(NamingClient(self._config), {})
            try:
                await session.client.open()
                await self._serve(session, sink)
            except NacosError as error:
                sink.unreachable(str(error))
            finally:
                await asyncio.shield(session.client.close())
            await asyncio.sleep(self._config.retry)

    async def _serve(self, session: _Session, sink: Sink) -> None:
        """Follow the registry with one client. Raises NacosError when it cannot be heard any more."""
        found = await self._list(session.client)
        sink.reconnected()
        await self._follow(session, sink, found)
        sink.synced()
        log.info("registry is read", source=self.name, services=len(found))
        turn = iter(())
        version = ""
        while True:
            if not version:  # a server that has just started does not know it yet
                version = await http.version(self._config)
                sink.version(f"Nacos {version}".rstrip())
            await asyncio.sleep(self._config.discovery_interval)
            await self._follow(session, sink, await self._list(session.client))
            turn = await self._resync(session, turn)

    async def _list(self, client: NamingClient) -> set[Key]:
        return {
            (group, name)
            for group in self._config.groups
            for name in await client.list_services(group)
            if self._config.wants(name)
        }

    async def _follow(self, session: _Session, sink: Sink, found: set[Key]) -> None:
        """Subscribe what is new, forget what has gone."""
        limit = asyncio.Semaphore(AT_ONCE)

        async def subscribe(key: Key) -> None:
            async with limit:
                told = partial(self._told, session, sink, key)
                session.subscriptions[key] = None
                session.subscriptions[key] = await session.client.subscribe(*key, told)

        new = sorted(found - session.subscriptions.keys())
        try:
            async with asyncio.TaskGroup() as group:
                for key in new:
                    group.create_task(subscribe(key))
        except* NacosError as errors:
            raise errors.exceptions[0] from None
        for key in self._reported - found:
            subscription = session.subscriptions.pop(key, None)
            self._reported.discard(key)
            sink.remove(self._id(key))
            if subscription is not None:
                await session.client.unsubscribe(subscription)

    def _told(self, session: _Session, sink: Sink, key: Key, instances: tuple[RawInstance, ...]) -> None:
        """The SDK's callback: what it raises would lose the acknowledgement of the push, so it must not
        raise.
        """
        if key not in session.subscriptions:
            return
        self._reported.add(key)
        sink.update(self._id(key), RawService(key[1], instances))

    async def _resync(self, session: _Session, turn: Iterator[Key]) -> Iterator[Key]:
        """Ask for a part of the services, so that each is asked about once in `resync` seconds.

        It finds what a lost push would hide. Returns the rest of this round.
        """
        share = self._config.discovery_interval / self._config.resync
        for _ in range(max(1, round(len(session.subscriptions) * share))):
            key = next(turn, None)
            if key is None:
                return iter(sorted(session.subscriptions))
            if key in session.subscriptions:
                await session.client.refresh(*key)
        return turn

    def _id(self, key: Key) -> str:
        return canonical_id(self.name, self._config.namespace or "public", *key)
