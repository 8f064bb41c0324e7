"""What a scheduler and a kubelet would do with pods, but for running them; and a cloud with its addresses."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable
from typing import Any

from tests.kubernetes.server import MERGE, ApiError, KubeServer
from tests.kubernetes.tools import NODE

Json = dict[str, Any]
LOOK = 0.05
"""Seconds between two looks at all pods."""


class Kubelet:
    """Gives each pod a node, an address and the state of a container that runs, and lets pods go that end.

    No container is started. `holds` says of which pods the containers are not ready yet.
    """

    def __init__(self, server: KubeServer, network: str = "10.77") -> None:
        self.server = server
        self.holds: Callable[[Json], bool] = lambda _: False
        self.addresses: dict[str, str] = {}
        """By namespace and name."""
        self._network, self._numbers = network, itertools.count(1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kubelet", daemon=True)
        self.failure: Exception | None = None

    def __enter__(self) -> Kubelet:
        with contextlib.suppress(ApiError):  # it is there already
            self.server.call("POST", "/api/v1/nodes", {"metadata": {"name": NODE}})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)
        assert self.failure is None, self.failure

    def address(self, pod: Json) -> str:
        """The address of a new pod."""
        number = next(self._numbers)
        return f"{self._network}.{number // 250}.{number % 250 + 1}"

    def _run(self) -> None:
        try:
            while not self._stop.wait(LOOK):
                for service in self.server.call("GET", "/api/v1/services")["items"]:
                    self._balance(service)
                for pod in self.server.call("GET", "/api/v1/pods")["items"]:
                    with contextlib.suppress(ApiError):  # somebody else was faster; the next look shows it
                        self._tend(pod)
        except Exception as error:
            self.failure = error

    def _balance(self, service: Json) -> None:
        """A load balancer gets an address: helm waits for that."""
        if service["spec"]["type"] != "LoadBalancer" or service["status"].get("loadBalancer", {}).get(
            "ingress"
        ):
            return
        metadata = service["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/services/{metadata['name']}/status"
        said = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}
        with contextlib.suppress(ApiError):
            self.server.call("PATCH", path, said, MERGE)

    def _tend(self, pod: Json) -> None:
        metadata = pod["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        if metadata.get("deletionTimestamp"):
            self.server.call("DELETE", f"{path}?gracePeriodSeconds=0")
            return
        if not pod["spec"].get("nodeName"):
            target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
            body = {"metadata": {"name": metadata["name"]}, "target": target}
            self.server.call("POST", f"{path}/binding", body)
        key = f"{metadata['namespace']}/{metadata['name']}"
        if key not in self.addresses:
            self.addresses[key] = self.address(pod)
        ready = "False" if self.holds(pod) else "True"
        conditions = pod.get("status", {}).get("conditions") or []
        if ready in [one["status"] for one in conditions if one["type"] == "Ready"]:
            return
        status = {
            "phase": "Running",
            "podIP": self.addresses[key],
            "podIPs": [{"ip": self.addresses[key]}],
            "conditions": [{"type": "Ready", "status": ready}],
        }
        self.server.call("PATCH", f"{path}/status", {"status": status}, MERGE)
