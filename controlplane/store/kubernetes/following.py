"""What the store knows of the API server: the custom resources and the ConfigMap, kept up to date."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from controlplane.kubernetes.access import Access
from controlplane.kubernetes.client import WATCH_FOR, Client, Json
from controlplane.kubernetes.errors import Forbidden, KubernetesError, NotFound
from controlplane.kubernetes.reflector import Collection, Key, Reflector
from controlplane.store.kubernetes.head import NAME
from controlplane.store.kubernetes.resources import (
    BY_PLURAL,
    GROUP,
    CustomObject,
    Ref,
    path_of,
    read_object,
)

log = structlog.get_logger("laneway.store.kubernetes")

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
"""Seconds between two attempts to connect."""
HEARTBEAT = 5.0
"""Seconds between two questions whether the server answers; it must answer within as many."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where the definitions are. `access` is asked for each connection, as credentials may change."""

    access: Callable[[], Access]
    namespace: str
    watch_for: float = WATCH_FOR
    heartbeat: float = HEARTBEAT
    retry_most: float = LONGEST_PAUSE


class _Table:
    def __init__(self, plural: str, following: Following) -> None:
        self.plural = plural
        self.problem = ""
        self._following = following

    def listed(self, records: Mapping[Key, CustomObject]) -> None:
        objects = self._following.objects
        for ref in [ref for ref in objects if ref.plural == self.plural]:
            if ("", ref.name) not in records and (self._following.namespace, ref.name) not in records:
                del objects[ref]
        for record in records.values():
            objects[record.ref] = record
        self._following.changed()

    def changed(self, key: Key, record: CustomObject | None) -> None:
        if record is None:
            self._following.objects.pop(Ref(self.plural, key[1]), None)
        else:
            self._following.objects[record.ref] = record
        self._following.changed()

    def refused(self, reason: str) -> None:
        self.problem = reason
        self._following.changed()


class _Accepted:
    """Takes the ConfigMap."""

    def __init__(self, following: Following) -> None:
        self.problem = ""
        self._following = following

    def listed(self, records: Mapping[Key, Json]) -> None:
        self._tell(next(iter(records.values()), None))

    def changed(self, key: Key, record: Json | None) -> None:
        self._tell(record)

    def refused(self, reason: str) -> None:
        self.problem = reason
        self._following.changed()

    def _tell(self, found: Json | None) -> None:
        self._following.accepted(found)
        self._following.changed()


class Following:
    """Keeps `objects` up to date, without end.

    accepted: called with the ConfigMap, None where there is none. changed: called after whatever else is
    learned. beside: what runs as long as a connection does.
    """

    def __init__(
        self,
        cluster: Cluster,
        accepted: Callable[[Json | None], None],
        changed: Callable[[], None],
        beside: Callable[[Client], Awaitable[None]],
    ) -> None:
        self._cluster = cluster
        self.namespace = cluster.namespace
        self.accepted = accepted
        self.changed = changed
        self._beside = beside
        self.objects: dict[Ref, CustomObject] = {}
        self.client: Client | None = None
        """The connection that works now."""
        self.problem = ""
        self._tables = [_Table(plural, self) for plural in BY_PLURAL]
        self._head = _Accepted(self)
        of_head: Collection[Json] = Collection(
            f"/api/v1/namespaces/{self.namespace}/configmaps",
            lambda found: found,
            {"fieldSelector": f"metadata.name={NAME}"},
        )
        self._of_head = Reflector(of_head, self._head)
        self._reflectors: list[Reflector[Any]] = [self._of_head]
        for table in self._tables:
            collection: Collection[CustomObject] = Collection(
                path_of(self.namespace, table.plural),
                lambda found, plural=table.plural: read_object(plural, found),
            )
            self._reflectors.append(Reflector(collection, table))

    @property
    def whole(self) -> bool:
        """Whether all collections were listed, and none is refused now."""
        return self.client is not None and all(one.lists for one in self._reflectors) and not self.refusals()

    def refusals(self) -> list[str]:
        """Why collections cannot be read."""
        found = [one.problem for one in (self._head, *self._tables) if one.problem]
        if any(" 404 " in one for one in found):
            found.append(f"apply deploy/kubernetes/crds, which defines the resources of {GROUP}")
        return found

    async def relist(self) -> None:
        """Return when everything was listed again."""
        before = {one: one.lists for one in self._reflectors}
        for one in self._reflectors:
            one.renew()
        for one, lists in before.items():
            await one.listed_after(lists)

    async def run(self) -> None:
        """Follow everything until cancelled; a server that cannot be reached is tried again without end."""
        pause = FIRST_PAUSE
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self._connect()
            except KubernetesError as error:
                self._say(str(error))
            if loop.time() - began > self._cluster.retry_most:
                pause = FIRST_PAUSE
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, self._cluster.retry_most)

    def _say(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            if problem:
                log.warning("the API server with the definitions cannot be used", reason=problem)
            else:
                log.info("the API server with the definitions answers")
        self.changed()

    async def _connect(self) -> None:
        client = Client(self._cluster.access(), self._cluster.watch_for)
        failed: KubernetesError | None = None
        try:
            await client.get("/version", within=self._cluster.heartbeat)
            self.client = client
            self._say("")
            async with asyncio.TaskGroup() as group:
                for reflector in self._reflectors:
                    group.create_task(reflector.run(client), name=f"watch {reflector.collection.path}")
                group.create_task(self._ask(client), name="store heartbeat")
                group.create_task(_awaited(self._beside(client)), name="store work")
        except* KubernetesError as errors:
            failed = _first(errors)
        finally:
            self.client = None
            await client.close()
        if failed is not None:
            raise failed

    async def _ask(self, client: Client) -> None:
        """Ask regularly whether the server answers, and whether its state is older than what is known."""
        asked = self._of_head.collection
        while True:
            await asyncio.sleep(self._cluster.heartbeat)
            known = {one: one.version for one in self._reflectors if one.version}
            parameters = {**asked.parameters, "limit": "1"}
            try:
                page = await client.get(asked.path, parameters, within=self._cluster.heartbeat)
            except (Forbidden, NotFound):
                self._of_head.renew()
                continue
            now = int(page["metadata"]["resourceVersion"])
            for one, version in known.items():
                if int(version) > now:
                    log.warning("the API server has an older state than before", path=one.collection.path)
                    one.renew()


async def _awaited(work: Awaitable[None]) -> None:
    await work


def _first(group: BaseExceptionGroup[KubernetesError]) -> KubernetesError:
    one = group.exceptions[0]
    return _first(one) if isinstance(one, BaseExceptionGroup) else one
