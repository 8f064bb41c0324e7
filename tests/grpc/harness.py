"""A mesh without any Envoy: the control plane, gRPC servers, and gRPC clients that are told what to call."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controlplane.cli.grpc_config import grpc_bootstrap
from tests.mesh.client import until
from tests.mesh.harness import Mesh, listening
from tests.mesh.pods import Pod

HERE = Path(__file__).parent
PYTHON = (sys.executable, str(HERE / "client.py"))

Metadata = Mapping[str, str]


@dataclass
class GrpcPod(Pod):
    """A gRPC server without any proxy."""

    sidecar: bool = False
    protocol: str = "grpc"
    weight: float = 1

    def instance(self) -> dict[str, Any]:
        return super().instance() | {"weight": self.weight}


class GrpcMesh(Mesh):
    """Its pods are gRPC servers, each in a process of its own and itself a client with its pod's tag."""

    def pod(self, name: str, service: str, application: str, **more: Any) -> Pod:
        address = f"{self.network}.{next(self._addresses)}"
        pod = self.pods[name] = GrpcPod(name, service, application, address, **more)
        return pod

    def start_apps(self, pods: Iterable[Pod]) -> None:
        chosen = list(pods)
        for pod in chosen:
            entry = {"name": pod.name, "address": pod.address, "port": pod.port, "next": pod.next}
            command = [sys.executable, str(HERE / "backend.py"), json.dumps(entry)]
            environment = self.client_environment(pod.name, pod.application, pod.tag)
            pod.app = self._supervisor.start(f"app-{pod.name}", command, environment)
        for pod in chosen:
            until(lambda p=pod: listening((p.address, p.port)), 20, f"server {pod.name}")

    def client_environment(self, name: str, application: str, tag: str = "") -> dict[str, str]:
        return self.environment_of(
            name, grpc_bootstrap(name, application, tag, f"{self.xds[0]}:{self.xds[1]}")
        )

    def environment_of(self, name: str, config: dict[str, Any]) -> dict[str, str]:
        """This process's environment with `config` as the bootstrap, and without any proxy."""
        path = self.directory / f"{name}.bootstrap.json"
        path.write_text(json.dumps(config))
        kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        return kept | {"GRPC_XDS_BOOTSTRAP": str(path)}


@dataclass
class GrpcClient:
    """A client process. Ends when its input does, so also with this process."""

    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    process: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=dict(self.environment),
                text=True,
            )

    def stop(self) -> None:
        try:
            self.process.communicate(timeout=10)
        finally:
            self.process.kill()
            self.process.wait()

    def call(
        self, service: str, metadata: Metadata | None = None, *, timeout: float = 5.0, wait: bool = False
    ) -> dict[str, Any]:
        """{chain}, or {error, text}. `service` may be another target, such as dns:///host:port.

        `timeout` in seconds; `wait`: for ready.
        """
        target = service if ":///" in service else f"xds:///{service}"
        asked = {
            "target": target,
            "metadata": list((metadata or {}).items()),
            "timeout": timeout,
            "wait": wait,
        }
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the client ended:\n{self.log.read_text(errors='replace')[-2000:]}"
        return json.loads(line)

    def chain(self, service: str, metadata: Metadata | None = None, **more: Any) -> list[str]:
        """Of a call that has to be answered."""
        answer = self.call(service, metadata, **more)
        assert "chain" in answer, answer
        return answer["chain"]

    def wait_chain(
        self, expected: list[str], service: str, metadata: Metadata | None = None, timeout: float = 10.0
    ) -> None:
        seen: list[Any] = [None]

        def met() -> bool:
            seen[0] = self.call(service, metadata)
            return seen[0].get("chain") == expected

        try:
            until(met, timeout, f"the chain {expected}")
        except AssertionError as error:
            raise AssertionError(f"{error}; the last was {seen[0]}") from None
