"""Reads and changes Deployments of a cluster."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable

from controlplane.deployments.templates import Deployment, Json, read
from controlplane.kubernetes.access import Access
from controlplane.kubernetes.client import Client

PATCH = "application/json-patch+json"
MERGE = "application/merge-patch+json"


class Deployments:
    """access: asked for each action. Every method raises KubernetesError."""

    def __init__(self, access: Callable[[], Access]) -> None:
        self._access = access

    @contextlib.asynccontextmanager
    async def _client(self) -> AsyncIterator[Client]:
        client = Client(self._access())
        try:
            yield client
        finally:
            await client.close()

    async def of(self, namespaces: Iterable[str]) -> list[Deployment]:
        """All Deployments of these namespaces."""
        found: list[Deployment] = []
        async with self._client() as client:
            for namespace in sorted(set(namespaces)):
                async with contextlib.aclosing(client.pages(_path(namespace), {})) as pages:
                    async for page in pages:
                        found += [read(one) for one in page.get("items") or ()]
        return found

    async def put_template(self, one: Deployment, template: Json) -> None:
        """Replace the pod template of a Deployment as it was read; 409 if somebody has changed it since."""
        body = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": one.version},
            {"op": "replace", "path": "/spec/template", "value": template},
        ]
        async with self._client() as client:
            await client.change("PATCH", _path(one.namespace, one.name), body, PATCH)

    async def scale(self, one: Deployment, replicas: int) -> None:
        path = f"{_path(one.namespace, one.name)}/scale"
        async with self._client() as client:
            await client.change("PATCH", path, {"spec": {"replicas": replicas}}, MERGE)


def _path(namespace: str, name: str = "") -> str:
    collection = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    return f"{collection}/{name}" if name else collection
