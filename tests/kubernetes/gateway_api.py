"""The Gateway API in the API server of the tests, and its objects as users write them."""

from __future__ import annotations

from typing import Any

from tests.kubernetes.modules import GATEWAY_API
from tests.kubernetes.server import MERGE, KubeServer

API = "/apis/gateway.networking.k8s.io"
CONTROLLER = "laneway.dev/gateway"

Json = dict[str, Any]


def install(server: KubeServer) -> None:
    """Apply the CustomResourceDefinitions. Skips where they are not there."""
    GATEWAY_API.install(server)


class Ingress:
    """Writes Gateways and HTTPRoutes into a namespace."""

    def __init__(self, server: KubeServer, namespace: str) -> None:
        self.server, self.namespace = server, namespace

    def path(self, plural: str, name: str = "", namespace: str = "") -> str:
        collection = f"{API}/v1/namespaces/{namespace or self.namespace}/{plural}"
        return f"{collection}/{name}" if name else collection

    def gateway_class(self, name: str, controller: str = CONTROLLER) -> None:
        body = {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "GatewayClass",
            "metadata": {"name": name},
            "spec": {"controllerName": controller},
        }
        self.server.call("POST", f"{API}/v1/gatewayclasses", body)

    def gateway(self, name: str, of: str, *listeners: Json) -> None:
        spec = {"gatewayClassName": of, "listeners": list(listeners)}
        self.make("Gateway", "gateways", name, spec)

    def route(self, name: str, namespace: str = "", **spec: Any) -> None:
        self.make("HTTPRoute", "httproutes", name, spec, namespace)

    def make(self, kind: str, plural: str, name: str, spec: Json, namespace: str = "") -> None:
        body = {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": name},
            "spec": spec,
        }
        asked = "?fieldValidation=Strict"
        self.server.call("POST", self.path(plural, namespace=namespace) + asked, body)

    def change(self, plural: str, name: str, spec: Json) -> None:
        self.server.call("PATCH", self.path(plural, name), {"spec": spec}, MERGE)

    def delete(self, plural: str, name: str) -> None:
        self.server.call("DELETE", self.path(plural, name))

    def get(self, plural: str, name: str, namespace: str = "") -> Json:
        return self.server.call("GET", self.path(plural, name, namespace))

    def said(self, name: str, namespace: str = "") -> list[dict[str, tuple[str, str]]]:
        """Status and reason of the conditions of each parent of Laneway, of the present generation."""
        found = self.get("httproutes", name, namespace)
        return [
            conditions(one["conditions"], found["metadata"]["generation"])
            for one in found.get("status", {}).get("parents", [])
            if one["controllerName"] == CONTROLLER
        ]

    def message(self, name: str, kind: str) -> str:
        parents = self.get("httproutes", name)["status"]["parents"]
        return next(
            one["message"] for parent in parents for one in parent["conditions"] if one["type"] == kind
        )


def conditions(found: list[Json], generation: int) -> dict[str, tuple[str, str]]:
    return {
        one["type"]: (one["status"], one["reason"])
        for one in found
        if one["observedGeneration"] == generation
    }


def to(service: str, port: int = 20001, **more: Any) -> list[Json]:
    """backendRefs to a Service."""
    return [{"name": service, "port": port, **more}]
