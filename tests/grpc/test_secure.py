"""gRPC clients without a proxy whose xDS is mTLS, with the bootstrap that the command writes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cli.run import laneway
from tests.grpc.harness import PYTHON, GrpcClient, GrpcMesh
from tests.mesh.client import until
from tests.mesh.documents import group, lane, route
from tests.mesh.harness import APPLICATIONS, abc
from tests.trust import Authority


class SecureGrpcMesh(GrpcMesh):
    """Every client has a certificate of its application, or of `shown`."""

    def __init__(self, directory: Path, transport: str) -> None:
        super().__init__(directory)
        certificates = directory / "certificates"
        certificates.mkdir()
        self.authority = Authority(certificates)
        self.shown: dict[str, str] = {}
        files = self.authority.server(hosts=[self.xds[0]])
        self.environment |= {
            "LANEWAY_XDS_TRANSPORT": transport,
            "LANEWAY_XDS_CERTIFICATE": str(files.certificate),
            "LANEWAY_XDS_KEY": str(files.key),
            "LANEWAY_XDS_CLIENT_CA": str(files.client_ca),
        }

    def client_environment(self, name: str, application: str, tag: str = "") -> dict[str, str]:
        own = self.authority.client(f"application/{self.shown.get(name, application)}")
        written: Mapping[str, Any] = json.loads(
            laneway(
                "bootstrap", "grpc", "--application", application, "--tag", tag, "--node-id", name,
                "--xds", f"{self.xds[0]}:{self.xds[1]}", "--xds-ca", str(own.ca),
                "--xds-certificate", str(own.certificate), "--xds-key", str(own.key),
            )
        )  # fmt: skip
        return self.environment_of(name, dict(written))


@pytest.fixture(params=["laneway", "grpcio"])
def mesh(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[SecureGrpcMesh]:
    made = SecureGrpcMesh(tmp_path, request.param)
    try:
        abc(made, "Agray", "Cgray")
        made.start(route("a", "sc-A"), group("order-flow", *APPLICATIONS), lane("gray"), envoys=False)
        yield made
    finally:
        made.stop()


def test_calls_follow_lanes_and_a_client_is_what_its_certificate_says(mesh: SecureGrpcMesh) -> None:
    client = GrpcClient(PYTHON, mesh.client_environment("good", "caller"), mesh.directory / "good.log")
    try:
        client.wait_chain(["Agray", "B", "Cgray"], "sc-A", {"x-lane": "gray"}, 30)
        assert client.chain("sc-A") == ["A", "B", "C"]
    finally:
        client.stop()
    mesh.shown["thief"] = "another"
    thief = GrpcClient(PYTHON, mesh.client_environment("thief", "caller"), mesh.directory / "thief.log")
    try:
        assert "error" in thief.call("sc-A", timeout=3.0)
        serving, says = mesh.serving, "application another, but node.cluster is 'caller'"
        assert serving is not None
        until(lambda: says in serving.tail(80), 10, "the refusal in the log")
    finally:
        thief.stop()
