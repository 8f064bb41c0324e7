"""The source that reads Nacos: it lists services, subscribes to each once, and watches the connection.

Services are listed every few seconds, which also tests the connection with a real request. When a listing
fails, or the connection ends, the registry counts as unreachable, and clients are made until one can connect.
A new client subscribes to every service at once; the SDK's own reconnect takes up to 30 s for that.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog

from controlplane.nacos import about
from controlplane.nacos.errors import ConnectionLost, NacosError
from controlplane.registry.nacos.config import NacosConfig
from controlplane.registry.nacos.sdk import NamingClient
from controlplane.registry.names import canonical_id
from controlplane.registry.source import RawInstance, RawService, Sink

log = structlog.get_logger("laneway.registry.nacos")

AT_ONCE = 16
"""Requests in flight while many services are subscribed."""

VERSION_TRIES = 5
"""How often servers are asked for their version: those that have just started do not tell it,
others never do.
"""

SHOWN = 5
"""How many of the services that cannot be read the status names; it counts the others."""

Key = tuple[str, str]
"""Group and name of a service."""


@dataclass(slots=True)
class _Session:
    """One client, what it is subscribed to, why it cannot read what, and what is wrong with the namespace."""

    client: NamingClient
    subscriptions: dict[Key, Any] = field(default_factory=dict)
    unreadable: dict[Key, str] = field(default_factory=dict)
    namespace: str = ""


class NacosSource:
    """Services of one namespace of a Nacos cluster."""

    name = "nacos"

    def __init__(
        self, config: NacosConfig, connect: Callable[[NacosConfig], NamingClient] = NamingClient
    ) -> None:
        self._config = config
        self._connect = connect
        self._reported: set[Key] = set()

    async def run(self, sink: Sink) -> None:
        """Report to `sink` until cancelled; servers that cannot be reached are tried again without end."""
        while True:
            session = _Session(self._connect(self._config))
            asking = asyncio.create_task(self._ask_version(sink))
            try:
                await session.client.open()
                await self._serve(session, sink)
            except NacosError as error:
                sink.unreachable(str(error))
            finally:
                asking.cancel()
                await asyncio.shield(session.client.close())
            await asyncio.sleep(self._config.retry)

    async def _serve(self, session: _Session, sink: Sink) -> None:
        """Report what one client reads. Raises NacosError when it cannot read any more."""
        found = await self._list(session.client)
        sink.reconnected()
        if not found:
            session.namespace = str(await about.missing_namespace(self._config) or "")
        await self._follow(session, sink, found)
        sink.synced()
        log.info("all services of the registry were read", source=self.name, services=len(found))
        turn = iter(())
        while not await _set_within(session.client.lost, self._config.discovery_interval):
            await self._follow(session, sink, await self._list(session.client))
            turn = await self._resync(session, turn)
        raise ConnectionLost("the connection to Nacos was lost")

    async def _ask_version(self, sink: Sink) -> None:
        """Report the version of the servers; it may have changed while they could not be reached."""
        for _ in range(VERSION_TRIES):
            with contextlib.suppress(NacosError):  # the connection to the registry fails for the same reason
                if version := await about.version(self._config):
                    sink.version(f"Nacos {version}")
                    return
            await asyncio.sleep(self._config.discovery_interval)

    async def _list(self, client: NamingClient) -> set[Key]:
        return {
            (group, name)
            for group in self._config.groups
            for name in await client.list_services(group)
            if self._config.wants(name)
        }

    async def _follow(self, session: _Session, sink: Sink, found: set[Key]) -> None:
        """Subscribe to new services, and remove those that are not listed any more."""
        limit = asyncio.Semaphore(AT_ONCE)

        async def subscribe(key: Key) -> None:
            async with limit:
                told = partial(self._told, session, sink, key)
                session.subscriptions[key] = None
                try:
                    session.subscriptions[key] = await session.client.subscribe(*key, told)
                except NacosError as error:
                    del session.subscriptions[key]
                    session.unreadable[key] = str(error)
                else:
                    session.unreadable.pop(key, None)

        new = sorted(found - session.subscriptions.keys())
        async with asyncio.TaskGroup() as group:
            for key in new:
                group.create_task(subscribe(key))
        if not session.unreadable.keys().isdisjoint(new):
            await self._list(session.client)  # fails, too, if the connection is the cause
        for key in self._reported - found:
            subscription = session.subscriptions.pop(key, None)
            self._reported.discard(key)
            sink.remove(self._id(key))
            if subscription is not None:
                await session.client.unsubscribe(subscription)
        for key in session.unreadable.keys() - found:
            del session.unreadable[key]
        self._show(session, sink)

    def _show(self, session: _Session, sink: Sink) -> None:
        """Report the services that cannot be read; they are tried again, and the others are not affected."""
        some = sorted(session.unreadable.items())
        texts = [f"{self._id(key)}: {why}" for key, why in some[:SHOWN]]
        if len(some) > SHOWN:
            texts.append(f"and {len(some) - SHOWN} more")
        if session.namespace and not self._reported:
            texts.append(session.namespace)
        sink.problem("; ".join(texts))

    def _told(self, session: _Session, sink: Sink, key: Key, instances: tuple[RawInstance, ...]) -> None:
        """The callback of a subscription. It must not raise: the SDK would not acknowledge the push."""
        if key not in session.subscriptions:
            return
        log.debug("the registry reports a service", service=self._id(key), instances=len(instances))
        self._reported.add(key)
        sink.update(self._id(key), RawService(key[1], instances))

    async def _resync(self, session: _Session, turn: Iterator[Key]) -> Iterator[Key]:
        """Query some of the services, so that each is queried once in `resync` seconds.

        That finds changes of which the push was lost. `turn` has the services that are left of this round;
        returns those that are left after it.
        """
        share = self._config.discovery_interval / self._config.resync
        for _ in range(max(1, round(len(session.subscriptions) * share))):
            key = next(turn, None)
            if key is None:
                return iter(sorted(session.subscriptions))
            if key not in session.subscriptions:
                continue
            try:
                await session.client.refresh(*key)
                session.unreadable.pop(key, None)
            except NacosError as error:  # if the connection is the cause, the next listing fails
                session.unreadable[key] = str(error)
        return turn

    def _id(self, key: Key) -> str:
        return canonical_id(self.name, self._config.namespace, *key)


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    """Whether `event` is set now or within so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
