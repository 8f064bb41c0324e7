"""Objects of Kubernetes as tests write them, and a running catalog over a cluster."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from controlplane.registry.catalog import Catalog
from controlplane.registry.hold import Times
from controlplane.registry.kubernetes import KubernetesConfig, KubernetesSource
from controlplane.registry.kubernetes.cluster import Cluster
from controlplane.registry.kubernetes.objects import pod_reader, read_service, read_slice
from controlplane.registry.metadata import Conventions
from controlplane.registry.metadata import read_service as read_instances
from controlplane.registry.source import Source
from controlplane.registry.types import Instance
from tests.kubernetes.server import MERGE, KubeServer

GRAY = {"alicloud.service.tag": "gray"}
NODE = "node-1"


class Admin:
    """Writes objects, each call in a thread."""

    def __init__(self, server: KubeServer, namespace: str = "default") -> None:
        self.server, self.namespace = server, namespace

    @property
    def at(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}"

    async def call(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        return await asyncio.to_thread(self.server.call, method, path, body, kind)

    async def service(self, name: str, selector: Mapping[str, str] | None = None, **spec: Any) -> None:
        ports = spec.pop("ports", [{"port": 20001}])
        body = {"metadata": {"name": name}, "spec": {"ports": ports, "selector": selector, **spec}}
        await self.call("POST", f"{self.at}/services", body)

    async def pod(
        self,
        name: str,
        ip: str = "",
        labels: Mapping[str, str] | None = None,
        ready: bool = True,
        **more: Any,
    ) -> None:
        """A pod as it is once its kubelet has started it; without an address, as it is created."""
        ports = more.pop("ports", [])
        body = {
            "metadata": {
                "name": name,
                "labels": dict(labels or {}),
                "annotations": more.pop("annotations", {}),
            },
            "spec": {
                "nodeName": NODE,
                "containers": [{"name": "c", "image": "none", "ports": ports}],
                **more,
            },
        }
        await self.call("POST", f"{self.at}/pods", body)
        if ip:
            await self.status(name, ip, ready)

    async def status(self, name: str, ip: str, ready: bool = True) -> None:
        body = {
            "status": {
                "phase": "Running",
                "podIP": ip,
                "podIPs": [{"ip": ip}],
                "conditions": [{"type": "Ready", "status": str(ready)}],
            }
        }
        await self.call("PATCH", f"{self.at}/pods/{name}/status", body, MERGE)

    async def label(self, name: str, **labels: str | None) -> None:
        named = {key.replace("__", "."): value for key, value in labels.items()}
        await self.call("PATCH", f"{self.at}/pods/{name}", {"metadata": {"labels": named}}, MERGE)

    async def delete(self, kind: str, name: str, grace: int = 0) -> None:
        await self.call("DELETE", f"{self.at}/{kind}/{name}?gracePeriodSeconds={grace}")


class Watch:
    """A running catalog, and a way to wait for a state of it."""

    def __init__(self, catalog: Catalog, source: KubernetesSource) -> None:
        self.catalog, self.source = catalog, source
        self.seen: list[dict[str, tuple[Instance, ...]]] = []
        self._changed = asyncio.Event()
        catalog.subscribe(self._note)

    def _note(self, _: frozenset[str]) -> None:
        self.seen.append({id_: one.instances for id_, one in self.catalog.services.items()})
        self._changed.set()

    def of(self, service: str) -> tuple[Instance, ...]:
        found = self.catalog.services.get(service)
        return found.instances if found is not None else ()

    def tags(self, service: str) -> dict[str, str | None]:
        """The tag of each instance, by address."""
        return {one.address: one.tag for one in self.of(service)}

    @property
    def status(self) -> Any:
        return next(one for one in self.catalog.status() if one.name == "kubernetes")

    async def until(self, condition: Callable[[], bool], seconds: float = 30.0) -> None:
        """Return when `condition` holds. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not condition():
                self._changed.clear()
                with contextlib.suppress(TimeoutError):  # a status changes without a change of services
                    await asyncio.wait_for(self._changed.wait(), 0.1)


@contextlib.asynccontextmanager
async def watching(
    config: KubernetesConfig, *others: Source, times: Times | None = None
) -> AsyncIterator[Watch]:
    """A catalog over a cluster, running."""
    source = KubernetesSource(config)
    catalog = Catalog([*others, source], conventions=config.conventions, times=times)
    watch = Watch(catalog, source)
    task = asyncio.create_task(catalog.run())
    try:
        yield watch
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def fresh(server: KubeServer, *namespaces: str) -> Cluster:
    """What a new list of everything means; `namespaces` as a source has them."""
    made = Cluster()
    kinds = (
        ("/api/v1/%sservices", read_service, made.put_service),
        ("/apis/discovery.k8s.io/v1/%sendpointslices", read_slice, made.put_slice),
        ("/api/v1/%spods", pod_reader(Conventions().tells), made.put_pod),
    )
    for scope in namespaces or ("",):
        for path, read, put in kinds:
            within = f"namespaces/{scope}/" if scope else ""
            for found in server.call("GET", path % within)["items"]:
                if (record := read(found)) is not None:
                    put((found["metadata"]["namespace"], found["metadata"]["name"]), record)
    return made


def state(cluster: Cluster) -> tuple[Any, ...]:
    """All objects of a cluster, to compare."""
    return cluster.services, cluster.slices, cluster.pods


async def same(watch: Watch, server: KubeServer, *namespaces: str) -> None:
    """Wait until the source has what a new list has, and the catalog what that means.

    The controller may still work, so the list is made again until both agree.
    """
    async with asyncio.timeout(60):
        while True:
            expected = await asyncio.to_thread(fresh, server, *namespaces)
            if state(watch.source.cluster) == state(expected):
                break
            await asyncio.sleep(0.1)
    watch.catalog.flush()
    for key in expected.services:
        for id_, raw in expected.reported(key).items():
            wanted = read_instances(raw).instances
            assert [one for one in watch.of(id_) if not one.held] == list(wanted), id_


def through(server: KubeServer, port: int, path: Path, **user: str) -> Path:
    """Write a kubeconfig of the server behind a relay. user: other credentials than the administrator's."""
    document = yaml.safe_load(server.kubeconfig.read_bytes())
    document["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port}"
    if user:
        document["users"][0]["user"] = user
    path.write_text(yaml.safe_dump(document))
    return path
