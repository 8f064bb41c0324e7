"""Two control planes with the same definitions and services, each of which asks the other."""

from __future__ import annotations

import json
from typing import Any

from controlplane.cli.processes import Child
from tests.mesh.client import Address, Rest
from tests.mesh.documents import group, lane, route
from tests.mesh.harness import APPLICATIONS, Mesh, until


class Two:
    """The first is the mesh's own. `start` starts both and the applications, and no Envoy."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        first, net = mesh.admin, mesh.network
        self.xds: tuple[Address, Address] = (mesh.xds, (f"{net}.249", 18000))
        self.admin: tuple[Address, Address] = (first, (f"{net}.249", 18080))
        self.rest = (mesh.rest, Rest(self.admin[1]))
        self.peers = ",".join(f"http://{host}:{port}" for host, port in self.admin)
        mesh.environment["LANEWAY_PEERS"] = self.peers

    def start(self) -> None:
        documents = [
            self.mesh.gateway(),
            route("a", "sc-A"),
            group("order-flow", *APPLICATIONS),
            lane("gray"),
        ]
        self.mesh.start(*documents, envoys=False)
        definitions = self.mesh.directory / "definitions.yaml"
        definitions.write_text("\n---\n".join(json.dumps(one) for one in documents))
        self.second = self.start_second()

    def start_second(self) -> Child:
        (xds, port), (admin, admin_port) = self.xds[1], self.admin[1]
        command = [*self.mesh.laneway, "serve", *self.command()]
        command += ["--xds", f"{xds}:{port}", "--admin", f"{admin}:{admin_port}"]
        for one in self.peers.split(","):
            command += ["--peers", one]
        child = self.mesh.start_command("laneway-2", command)
        until(self._second_ready, 60, "the second control plane")
        return child

    def command(self) -> list[str]:
        """Where the second one has services and definitions from."""
        definitions = str(self.mesh.directory / "definitions.yaml")
        return [*self.mesh.source, "--store", "memory", "--definitions", definitions]

    def _second_ready(self) -> bool:
        try:
            return self.rest[1].call("GET", "/readyz").status == 200
        except (OSError, EOFError):
            return False

    def asked(self, which: int, what: str) -> Any:
        return self.rest[which].get(f"/v1/metrics/{what}?window=10m&step=1m")

    def connected(self, which: int) -> list[str]:
        """Nodes of proxies with a stream there."""
        return [one["node"] for one in self.rest[which].get("/v1/proxies")["items"]]

    def close(self) -> None:
        self.rest[1].close()
