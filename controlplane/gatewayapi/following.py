"""Follows the objects of the Gateway API: brings routes into the definitions, and writes status back."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

import structlog

from controlplane.gatewayapi.judging import Judged, judge
from controlplane.gatewayapi.objects import GROUP, Json, Lookup, Name, Record, World, read
from controlplane.gatewayapi.status import class_status, gateway_status, route_status
from controlplane.kubernetes.access import Access
from controlplane.kubernetes.client import Client
from controlplane.kubernetes.errors import KubernetesError
from controlplane.kubernetes.reflector import Collection, Reflector
from controlplane.model.definitions import Key
from controlplane.model.documents import Route

log = structlog.get_logger("laneway.gatewayapi")

API = f"/apis/{GROUP}"
PATHS = {
    "gatewayclasses": f"{API}/v1/gatewayclasses",
    "gateways": f"{API}/v1/gateways",
    "httproutes": f"{API}/v1/httproutes",
    "referencegrants": f"{API}/v1beta1/referencegrants",
    "namespaces": "/api/v1/namespaces",
}
MERGE = "application/merge-patch+json"
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
"""Seconds between two attempts to connect."""
GATHER = 0.1
"""Seconds for which news are gathered."""
LOOK = 5.0
"""Most seconds between two looks: which control plane acts may change without news."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What Laneway knows beside the Gateway API. acts: whether this process writes.

    known: the gateways of Laneway, None until they and the services are known. keep: brings routes into the
    definitions, in place of all others that HTTPRoutes have made; it returns why some could not be stored, or
    None where the store cannot be used now.
    """

    acts: Callable[[], bool]
    known: Callable[[], frozenset[str] | None]
    service: Lookup
    keep: Callable[[Mapping[Key, Route]], Awaitable[Mapping[Key, str] | None]]


class _Table:
    def __init__(self, news: asyncio.Event, plural: str) -> None:
        self.records: dict[Name, Record] = {}
        self.problem = ""
        self._news, self._plural = news, plural

    def listed(self, records: Mapping[Name, Record]) -> None:
        self.records = dict(records)
        self._news.set()

    def changed(self, key: Name, record: Record | None) -> None:
        if record is None:
            self.records.pop(key, None)
        else:
            self.records[key] = record
        self._news.set()

    def refused(self, reason: str) -> None:
        if reason and reason != self.problem:
            log.warning("HTTPRoutes stay as they are: they cannot be read", what=self._plural, reason=reason)
        self.problem = reason
        self._news.set()


class GatewayApi:
    """access: asked for each connection. clock: seconds since the epoch."""

    def __init__(
        self,
        access: Callable[[], Access],
        surroundings: Surroundings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._access = access
        self._around = surroundings
        self._clock = clock
        self.news = asyncio.Event()
        """Set it when anything else has changed that routes depend on."""
        self._tables = {plural: _Table(self.news, plural) for plural in PATHS}
        self._reflectors = {
            plural: Reflector(Collection(path, read), self._tables[plural]) for plural, path in PATHS.items()
        }
        self._told: Mapping[Key, str] = {}

    async def run(self) -> None:
        """Follow and write until cancelled; a server that cannot be reached is tried again without end."""
        pause, loop = FIRST_PAUSE, asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self._connect()
            except KubernetesError as error:
                log.warning("HTTPRoutes stay as they are: the API server is away", reason=str(error))
            if loop.time() - began > LONGEST_PAUSE:
                pause = FIRST_PAUSE
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _connect(self) -> None:
        client = Client(self._access())
        failed: KubernetesError | None = None
        try:
            async with asyncio.TaskGroup() as group:
                for reflector in self._reflectors.values():
                    group.create_task(reflector.run(client), name=f"watch {reflector.collection.path}")
                group.create_task(self._act(client), name="HTTPRoutes")
        except* KubernetesError as errors:
            failed = _first(errors)
        finally:
            await client.close()
        if failed is not None:
            raise failed

    async def _act(self, client: Client) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.news.wait(), LOOK)
            await asyncio.sleep(GATHER)
            self.news.clear()
            await self.turn(client)

    async def turn(self, client: Client) -> None:
        """Bring routes and status up to date. What cannot be done now is done in a later turn."""
        known = self._around.known()
        whole = all(one.lists for one in self._reflectors.values())
        refused = any(one.problem for one in self._tables.values())
        if known is None or not whole or refused or not self._around.acts():
            return
        world = World(
            self._tables["gatewayclasses"].records,
            self._tables["gateways"].records,
            self._tables["httproutes"].records,
            self._tables["referencegrants"].records,
            self._tables["namespaces"].records,
            known,
            self._around.service,
        )
        wanted = judge(world, {})
        wrong = await self._around.keep(wanted.routes)
        if wrong is None:
            return
        for key, why in wrong.items():
            if self._told.get(key) != why:
                log.warning("a route of an HTTPRoute cannot be stored", route=key.name, reason=why)
        self._told = wrong
        await self._tell(client, world, judge(world, wrong) if wrong else wanted)

    async def _tell(self, client: Client, world: World, judged: Judged) -> None:
        now = self._clock()
        for at in judged.classes:
            found = world.classes[at]
            await self._write(client, "gatewayclasses", found, class_status(found, now))
        for at, said in judged.gateways.items():
            found = world.gateways[at]
            await self._write(client, "gateways", found, gateway_status(found, said, now))
        for at, found in sorted(world.routes.items()):
            status = route_status(found, judged.parents.get(at, ()), now)
            if status is not None:
                await self._write(client, "httproutes", found, status)

    async def _write(self, client: Client, plural: str, found: Record, status: Json) -> None:
        """Write what differs. Somebody else's write at the same moment is news, and it is written then."""
        await asyncio.sleep(0)  # proxies are served meanwhile
        patch = {name: value for name, value in status.items() if found.status.get(name) != value}
        if not patch:
            return
        within = f"/namespaces/{found.namespace}" if found.namespace else ""
        path = f"{API}/v1{within}/{plural}/{found.name}/status"
        body = {"metadata": {"resourceVersion": found.version}, "status": patch}
        try:
            await client.change("PATCH", path, body, MERGE)
        except KubernetesError as error:
            if not error.status:
                raise
            if error.status not in (HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND):
                log.warning("a status of the Gateway API cannot be written", of=str(found), reason=str(error))


def _first(errors: BaseExceptionGroup[KubernetesError]) -> KubernetesError:
    one = errors.exceptions[0]
    return _first(one) if isinstance(one, BaseExceptionGroup) else one
