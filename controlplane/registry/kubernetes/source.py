"""The source that reads Kubernetes: it follows Services, EndpointSlices and pods, and reports what they mean.

What is known outlives a connection. A connection has one client, one watch for each collection, and a
request every few seconds that tells whether the server still answers. If one fails, all are made anew,
with the credentials and the CA as they are then.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import structlog

from controlplane.kubernetes.client import Client
from controlplane.kubernetes.errors import Forbidden, KubernetesError, NotFound
from controlplane.kubernetes.reflector import Collection, Key, Reflector
from controlplane.registry.kubernetes.cluster import SOURCE, Cluster
from controlplane.registry.kubernetes.config import KubernetesConfig
from controlplane.registry.kubernetes.objects import pod_reader, read_service, read_slice
from controlplane.registry.source import Sink

log = structlog.get_logger("laneway.registry.kubernetes")

SHOWN = 5
"""How many of the collections that cannot be read the status names; it counts the others."""

T = TypeVar("T")


class _Table(Generic[T]):
    """Takes one collection into the cluster. `scope` is its namespace, "" for all of them."""

    def __init__(
        self,
        name: str,
        scope: str,
        records: Mapping[Key, Any],
        put: Callable[[Key, T | None], None],
        done: Callable[[], None],
    ) -> None:
        self.name = name
        self.problem = ""
        self._scope, self._records, self._put, self._done = scope, records, put, done

    def listed(self, records: Mapping[Key, T]) -> None:
        gone = [k for k in self._records if k not in records and (not self._scope or k[0] == self._scope)]
        for key in gone:
            self._put(key, None)
        for key, record in records.items():
            self._put(key, record)
        self._done()

    def changed(self, key: Key, record: T | None) -> None:
        self._put(key, record)
        self._done()

    def refused(self, reason: str) -> None:
        if reason != self.problem:
            self.problem = reason
            self._done()


class KubernetesSource:
    """Services of a cluster, with the tags and applications that the labels of their pods say."""

    name = SOURCE

    def __init__(self, config: KubernetesConfig) -> None:
        self._config = config
        self.cluster = Cluster(chosen=bool(config.selector))
        self._reported: dict[Key, set[str]] = {}
        self._sink: Sink | None = None
        self._told = False
        """Whether everything is known, so that changes are reported."""
        self._tables: list[_Table[Any]] = []
        self.reflectors: list[Reflector[Any]] = []
        read_pod = pod_reader(config.conventions.tells)
        for scope in config.namespaces or ("",):
            within = f"/namespaces/{scope}" if scope else ""
            cluster = self.cluster
            self._follow(
                "Services",
                scope,
                f"/api/v1{within}/services",
                read_service,
                cluster.services,
                cluster.put_service,
            )
            slices = f"/apis/discovery.k8s.io/v1{within}/endpointslices"
            self._follow("EndpointSlices", scope, slices, read_slice, cluster.slices, cluster.put_slice)
            self._follow("pods", scope, f"/api/v1{within}/pods", read_pod, cluster.pods, cluster.put_pod)
        if config.selector:
            self._follow(
                "namespaces",
                "",
                "/api/v1/namespaces",
                lambda _: True,
                self.cluster.namespaces,
                self.cluster.put_namespace,
                {"labelSelector": config.selector},
            )

    def _follow(
        self,
        name: str,
        scope: str,
        path: str,
        read: Any,
        records: Mapping[Key, Any],
        put: Any,
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        where = f"{name} of namespace {scope}" if scope else name
        table: _Table[Any] = _Table(where, scope, records, put, self._report)
        self._tables.append(table)
        self.reflectors.append(Reflector(Collection(path, read, parameters or {}), table))

    async def run(self, sink: Sink) -> None:
        """Report to `sink` until cancelled; a server that cannot be reached is tried again without end."""
        self._sink = sink
        pause = self._config.retry
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self._connect(sink)
            except KubernetesError as error:
                sink.unreachable(str(error))
            if asyncio.get_running_loop().time() - began > self._config.retry_most:
                pause = self._config.retry
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, self._config.retry_most)

    async def _connect(self, sink: Sink) -> None:
        """Follow everything over new connections. Raises KubernetesError when one of them fails."""
        client = Client(self._config.access(), self._config.watch_for)
        failed: KubernetesError | None = None
        try:
            await self._greet(client, sink)
            sink.reconnected()
            async with asyncio.TaskGroup() as group:
                for reflector in self.reflectors:
                    group.create_task(reflector.run(client), name=f"watch {reflector.collection.path}")
                group.create_task(self._ask(client), name="kubernetes heartbeat")
                group.create_task(self._resync(), name="kubernetes resync")
                if not self._told:
                    group.create_task(self._first(sink), name="kubernetes first lists")
        except* KubernetesError as errors:
            failed = next(iter(_flat(errors)))
        finally:
            await client.close()
        if failed is not None:
            raise failed

    async def _greet(self, client: Client, sink: Sink) -> None:
        """Ask for the version; before the first lists also whether the server is ready.

        While it starts, it refuses for some moments what it will allow.
        """
        version = await client.get("/version", within=self._config.within)
        sink.version(f"Kubernetes {version.get('gitVersion', '')}")
        if not self._told:
            try:
                await client.ready(self._config.within)
            except (Forbidden, NotFound):
                log.debug("this account may not ask whether the API server is ready")

    async def _first(self, sink: Sink) -> None:
        """Report everything once all collections have been listed, or refused."""
        for reflector in self.reflectors:
            await reflector.answered()
        if not any(reflector.lists for reflector in self.reflectors):
            raise KubernetesError("; ".join(table.problem for table in self._tables[:SHOWN]))
        self._told = True
        self._report()
        sink.synced()
        log.info(
            "all services of the registry were read", source=self.name, services=len(self.cluster.services)
        )

    async def _ask(self, client: Client) -> None:
        """Ask regularly whether the server answers, and whether its data is older than what is known.

        A watch from a version that the server has yet to reach is silent, so etcd with another, shorter
        history would go unnoticed.
        """
        while True:
            await asyncio.sleep(self._config.heartbeat)
            readable = [one for one in self.reflectors if one.version]
            if not readable:
                await client.get("/version", within=self._config.within)
                continue
            asked = readable[0].collection
            known = {one: one.version for one in readable}
            try:
                page = await client.get(
                    asked.path, {**asked.parameters, "limit": "1"}, within=self._config.within
                )
            except (Forbidden, NotFound):
                readable[0].renew()
                continue
            now = int(page["metadata"]["resourceVersion"])
            for one, version in known.items():
                # Versions of one cluster are comparable (Kubernetes 1.35, KEP-5504; before, in practice).
                if int(version) > now:
                    log.warning(
                        "the API server has an older state than before; everything is listed anew",
                        path=one.collection.path,
                        version=version,
                        now=now,
                    )
                    one.renew()

    async def _resync(self) -> None:
        while True:
            await asyncio.sleep(self._config.resync * random.uniform(0.9, 1.1))
            for one in self.reflectors:
                one.renew()

    def _report(self) -> None:
        """Tell the sink what has changed."""
        sink = self._sink
        if sink is None or not self._told:
            return
        changes = self.cluster.taken()
        for address in sorted(changes.addresses):
            sink.pod(address, self.cluster.pod_at(address))
        for key in sorted(changes.services):
            services = self.cluster.reported(key)
            for gone in self._reported.get(key, set()) - services.keys():
                sink.remove(gone)
            for service_id, service in services.items():
                sink.update(service_id, service)
            if services:
                self._reported[key] = set(services)
            else:
                self._reported.pop(key, None)
        self._show(sink)

    def _show(self, sink: Sink) -> None:
        """Report what cannot be read; the rest is not affected."""
        some = [f"{table.name}: {table.problem}" for table in self._tables if table.problem]
        more = [f"and {len(some) - SHOWN} more"] if len(some) > SHOWN else []
        sink.problem("; ".join([*some[:SHOWN], *more]))


def _flat(group: BaseExceptionGroup[KubernetesError]) -> list[KubernetesError]:
    found: list[KubernetesError] = []
    for one in group.exceptions:
        found += _flat(one) if isinstance(one, BaseExceptionGroup) else [one]
    return found
