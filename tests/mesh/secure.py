"""A mesh whose xDS port speaks mTLS: every Envoy shows a certificate of its gateway or application."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from controlplane.cli.processes import Child
from controlplane.cli.xds_tls import XdsTls, secrets, transport_socket
from tests.mesh.harness import Mesh
from tests.trust import HOUR, Authority

ROLES = {"edge": "gateway", "sidecar": "application", "grpc": "application"}


class SecureMesh(Mesh):
    """lifetime: of certificates that are issued; `rotate` issues all of them anew."""

    def __init__(self, directory: Path, *, transport: str = "laneway", **options: Any) -> None:
        super().__init__(directory, **options)
        self.transport = transport
        self.lifetime = HOUR
        self.began = time.monotonic()
        certificates = directory / "certificates"
        certificates.mkdir()
        self.authority = Authority(certificates)
        self.shown: dict[str, str] = {}
        """By a node's id whose certificate it shows, where that is not its own."""
        self._paths: set[str] = set()
        files = self._server()
        self.environment |= {
            "LANEWAY_XDS_TRANSPORT": transport,
            "LANEWAY_XDS_CERTIFICATE": str(files.certificate),
            "LANEWAY_XDS_KEY": str(files.key),
            "LANEWAY_XDS_CLIENT_CA": str(files.client_ca),
        }

    def rotate(self, lifetime: timedelta = HOUR) -> None:
        """New certificates for the server and for everybody who has one."""
        self.lifetime = lifetime
        self._server()
        for path in self._paths:
            self.authority.client(path, lifetime=lifetime)

    def tls(self, node: dict[str, Any]) -> XdsTls:
        """What a node connects with."""
        own = f"{ROLES[node['metadata']['role']]}/{node['cluster']}"
        path = self.shown.get(node["id"], own)
        self._paths.add(path)
        client = self.authority.client(path, lifetime=self.lifetime)
        return XdsTls(str(client.ca), str(client.certificate), str(client.key), (self.xds[0],))

    def start_envoy(self, name: str, config: dict[str, Any]) -> Child:
        tls, bootstrap = self.tls(config["node"]), self.directory / f"{name}.json"
        for path, content in secrets(tls, bootstrap).items():
            path.write_text(yaml.safe_dump(content))
        cluster = config["static_resources"]["clusters"][0]
        cluster["transport_socket"] = transport_socket(tls, bootstrap)
        return super().start_envoy(name, config)

    def _server(self) -> Any:
        return self.authority.server(lifetime=self.lifetime, hosts=[self.xds[0]])
