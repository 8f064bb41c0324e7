"""The Gateway API in the API server of the tests, and its objects as users write them.

The CustomResourceDefinitions come from the Go module of the Gateway API; `make kube-clients` puts them into
the user's cache. Tests never fetch them.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from tests import golang, require
from tests.kubernetes.server import MERGE, ApiError, KubeServer

MODULE, VERSION = "sigs.k8s.io/gateway-api", "v1.6.3"
SUM = "h1:lKpJa5bGlraC/QeACvCpsHLdmO6y0iKfzVl6gzaFEYc="
API = "/apis/gateway.networking.k8s.io"
PLURALS = ("gatewayclasses", "gateways", "httproutes", "referencegrants")
CONTROLLER = "laneway.dev/gateway"

Json = dict[str, Any]


def directory() -> Path:
    """Where the CustomResourceDefinitions are, or would be."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "laneway" / "kubernetes" / f"gateway-api-{VERSION}"


def fetch() -> Path:
    """Fetch them unless they are there. Needs Go."""
    found = directory()
    if found.exists():
        return found
    go = golang.command()
    if go is None:
        raise SystemExit("there is no Go here: `make go` installs it")
    with tempfile.TemporaryDirectory() as empty:
        command = [go, "mod", "download", "-json", f"{MODULE}@{VERSION}"]
        done = subprocess.run(command, cwd=empty, check=True, capture_output=True, text=True)
    said = json.loads(done.stdout)
    assert said["Sum"] == SUM, said
    new = found.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    for plural in PLURALS:
        name = f"gateway.networking.k8s.io_{plural}.yaml"
        shutil.copyfile(Path(said["Dir"]) / "config" / "crd" / "standard" / name, new / name)
    new.rename(found)
    return found


def install(server: KubeServer) -> None:
    """Apply the CustomResourceDefinitions, and wait until they are served. Skips where they are not there."""
    if not directory().exists():
        require.lacking("kubernetes", f"no Gateway API at {directory()}: `make kube-clients` fetches it")
    for file in sorted(directory().glob("*.yaml")):
        with contextlib.suppress(ApiError):  # it is there already
            definition = yaml.safe_load(file.read_text())
            server.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
    deadline = time.monotonic() + 60
    for plural in PLURALS:
        while True:
            try:
                server.call("GET", f"{API}/{'v1beta1' if plural == 'referencegrants' else 'v1'}/{plural}")
                break
            except ApiError:
                assert time.monotonic() < deadline
                time.sleep(0.05)


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
