"""Custom resources as tests write them, and a running store over them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import yaml

from controlplane.kubernetes.access import from_kubeconfig
from controlplane.store.kubernetes.following import Cluster
from controlplane.store.kubernetes.resources import API, path_of, plural_of
from controlplane.store.kubernetes.shared_store import KubernetesStore
from tests.kubernetes.server import ApiError, KubeServer

CRDS = Path(__file__).parents[2] / "deploy" / "kubernetes" / "crds"
APPLY = "application/apply-patch+yaml"

GATEWAY = {"listeners": [{"port": 8080}]}
ROUTE = {"gateway": "edge", "service": "sc-A", "match": {"path": {"prefix": "/a"}}}
GROUP = {"gateway": "edge", "applications": ["spring-cloud-a"]}
RULE = {"conditions": [{"source": "header", "name": "canary", "operator": "==", "value": "gray"}]}


def install(server: KubeServer) -> None:
    """Apply the CRDs and wait until they are served."""
    for file in sorted(CRDS.glob("*.yaml")):
        with contextlib.suppress(ApiError):  # it is there already
            server.call(
                "POST",
                "/apis/apiextensions.k8s.io/v1/customresourcedefinitions?fieldValidation=Strict",
                yaml.safe_load(file.read_text()),
            )
    deadline = time.monotonic() + 60
    for file in sorted(CRDS.glob("*.yaml")):
        while True:
            try:
                server.call("GET", path_of("default", file.stem))
                break
            except ApiError:
                assert time.monotonic() < deadline
                time.sleep(0.05)


class Definer:
    """Writes custom resources into a namespace, as kubectl does."""

    def __init__(self, server: KubeServer, namespace: str) -> None:
        self.server, self.namespace = server, namespace

    def path(self, kind: str, name: str = "") -> str:
        return path_of(self.namespace, plural_of(kind), name)

    async def call(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        return await asyncio.to_thread(self.server.call, method, path, body, kind)

    async def apply(self, kind: str, name: str, spec: Any, manager: str = "kubectl") -> Any:
        """Server-side apply, strict."""
        body = {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}
        asked = f"?fieldManager={manager}&fieldValidation=Strict"
        return await self.call("PATCH", self.path(kind, name) + asked, body, APPLY)

    async def delete(self, kind: str, name: str) -> None:
        await self.call("DELETE", self.path(kind, name))

    async def get(self, kind: str, name: str) -> Any:
        """The object, None if there is none."""
        try:
            return await self.call("GET", self.path(kind, name))
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    async def patch(self, kind: str, name: str, spec: Any) -> Any:
        return await self.call("PATCH", self.path(kind, name), {"spec": spec}, "application/merge-patch+json")

    async def base(self) -> None:
        """A gateway, a route and a group."""
        await self.apply("Gateway", "edge", GATEWAY)
        await self.apply("Route", "a", ROUTE)
        await self.apply("LaneGroup", "order-flow", GROUP)

    async def lane(self, name: str, **spec: Any) -> Any:
        of = {"group": "order-flow", "tag": name} | spec
        return await self.apply("Lane", name, of if "ratio" in of else of | {"rule": RULE})


def cluster_of(server: KubeServer, namespace: str, kubeconfig: Path | None = None) -> Cluster:
    file = kubeconfig or server.kubeconfig
    return Cluster(lambda: from_kubeconfig(file), namespace, watch_for=10.0, heartbeat=1.0, retry_most=0.5)


@contextlib.asynccontextmanager
async def storing(cluster: Cluster) -> AsyncIterator[KubernetesStore]:
    store = KubernetesStore(cluster)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def until(condition: Callable[[], Any], seconds: float = 30.0) -> None:
    """Return when `condition` holds; it may be a coroutine function."""
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.02)
