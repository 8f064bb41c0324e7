"""The demo's mesh: its pods, the environment of each, and the definitions that make the lane."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controlplane.cli.envoy_config import EdgeLimits, bootstrap, edge_metadata, sidecar_metadata

GATEWAY = "edge"
GROUP = "order-flow"
LANE = "gray"
SIDECAR_ADMIN_PORT = 15000
EGRESS_PORT = 15001


@dataclass(frozen=True)
class Pod:
    """One instance of an application with a sidecar, on a loopback address of its own."""

    letter: str  # A, B or C
    version: str  # empty for base; it is the instance's tag, too
    address: str
    config: str = ""
    calls: str = ""  # letter of the next service

    @property
    def name(self) -> str:
        return f"{self.letter}{self.version}"

    @property
    def application(self) -> str:
        return f"spring-cloud-{self.letter.lower()}"

    @property
    def service(self) -> str:
        return f"sc-{self.letter}"

    @property
    def port(self) -> int:
        return 20001 + ord(self.letter) - ord("A")

    @property
    def app_port(self) -> int:
        return self.port + 10000

    @property
    def answer(self) -> str:
        """The name that the pod writes into an answer."""
        return f"{self.name}[{self.address}]" + (f"[config={self.config}]" if self.config else "")


def pods(network: str) -> list[Pod]:
    """The five pods, on the addresses 1 to 5 of `network` (the first three numbers of a loopback network)."""
    return [
        Pod("A", "", f"{network}.1", config="base", calls="B"),
        Pod("B", "", f"{network}.2", calls="C"),
        Pod("C", "", f"{network}.3"),
        Pod("A", "gray", f"{network}.4", config="base", calls="B"),
        Pod("C", "gray", f"{network}.5"),
    ]


def expected(all_pods: list[Pod], version: str) -> str:
    """The whole answer of the chain for requests in lane `version`; base where the lane has no instance."""
    chosen = []
    for letter in "ABC":
        own = [pod for pod in all_pods if pod.letter == letter and pod.version == version]
        chosen += own or [pod for pod in all_pods if pod.letter == letter and not pod.version]
    return " -> ".join(pod.answer for pod in chosen)


def services(all_pods: list[Pod]) -> dict[str, Any]:
    """What the file source reads: every service with its instances."""
    result = []
    for name in sorted({pod.service for pod in all_pods}):
        instances = [
            {
                "address": pod.address,
                "port": pod.port,
                "metadata": {"app": pod.application}
                | ({"alicloud.service.tag": pod.version} if pod.version else {}),
            }
            for pod in all_pods
            if pod.service == name
        ]
        result.append({"name": name, "protocol": "http1", "instances": instances})
    return {"services": result}


def definitions(edge_port: int, edge_address: str, all_pods: list[Pod]) -> list[tuple[str, dict[str, Any]]]:
    """The changes over REST, in order: URL path and document."""
    applications = sorted({pod.application for pod in all_pods})
    condition = {"source": "header", "name": "canary", "operator": "==", "value": "gray"}
    return [
        (f"/v1/gateways/{GATEWAY}", {"listeners": [{"port": edge_port, "address": edge_address}]}),
        (
            f"/v1/gateways/{GATEWAY}/routes/a",
            {"match": {"path": {"prefix": "/a"}}, "service": "sc-A"},
        ),
        (f"/v1/lane-groups/{GROUP}", {"gateway": GATEWAY, "applications": applications}),
        (
            f"/v1/lane-groups/{GROUP}/lanes/{LANE}",
            {"tag": "gray", "enabled": True, "rule": {"match": "all", "conditions": [condition]}},
        ),
    ]


def edge_bootstrap(xds: tuple[str, int], admin_port: int) -> dict[str, Any]:
    return bootstrap("edge-1", GATEWAY, edge_metadata(), xds, ("127.0.0.1", admin_port), EdgeLimits())


def sidecar_bootstrap(pod: Pod, xds: tuple[str, int]) -> dict[str, Any]:
    metadata = sidecar_metadata(
        pod.address,
        [(pod.service, pod.port, pod.app_port)],
        tag=pod.version,
        egress_address=pod.address,
    )
    return bootstrap(f"sidecar-{pod.name}", pod.application, metadata, xds, (pod.address, SIDECAR_ADMIN_PORT))


def application_environment(pod: Pod) -> dict[str, str]:
    """Environment of the pod's application: its name, its proxy, and how its agent propagates context."""
    inherited = {
        key: value for key, value in os.environ.items() if key.lower() not in ("no_proxy", "http_proxy")
    }
    following = f"http://sc-{pod.calls}/{pod.calls.lower()}" if pod.calls else ""
    return inherited | {
        "APP_NAME": pod.letter,
        "APP_VERSION": pod.version,
        "APP_CONFIG": pod.config,
        "APP_NEXT": following,
        "POD_IP": pod.address,
        "PORT": str(pod.app_port),
        "HTTP_PROXY": f"http://{pod.address}:{EGRESS_PORT}",
        "http_proxy": f"http://{pod.address}:{EGRESS_PORT}",
        "OTEL_SERVICE_NAME": pod.application,
        "OTEL_PROPAGATORS": "baggage,tracecontext",
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
    }


def application_command(source: Path) -> list[str]:
    """The demo service under OpenTelemetry's agent, with the Python that has it installed."""
    return [str(Path(sys.executable).with_name("opentelemetry-instrument")), sys.executable, str(source)]


def envoy_command(config: Path) -> list[str]:
    """The `envoy` command beside this Python.

    Without hot restart: several Envoys on one machine would fight for one shared memory region.
    """
    return [
        str(Path(sys.executable).with_name("envoy")), "-c", str(config), "--disable-hot-restart",
        "--concurrency", "1", "--log-level", "warning",
    ]  # fmt: skip
