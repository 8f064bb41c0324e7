"""A mesh of real processes for tests: the control plane, Envoys and small applications.

Every mesh lives on loopback addresses of its own (127.<worker>.<mesh>.x), so that tests run side by side and
ports are always free. All processes end with the test process, by PR_SET_PDEATHSIG and by process group.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from controlplane.cli.envoy_config import EdgeLimits, bootstrap, edge_metadata, sidecar_metadata
from controlplane.cli.processes import Child, Supervisor
from tests.mesh.client import Address, Answer, Client, Load, Rest, fetch, until
from tests.mesh.pods import Pod

APP = Path(__file__).with_name("app.py")
LANEWAY = Path(os.environ.get("MESH_LANEWAY", "") or Path(sys.executable).with_name("laneway"))
# Access logs are written at once: Envoy else keeps them for ten seconds.
OPTIONS = ("--disable-hot-restart", "-l", "warning", "--file-flush-interval-msec", "100")
ENVOY = Path(sysconfig.get_paths()["purelib"]) / "envoy" / "_bin" / "envoy"

LIVE: list[Mesh] = []
"""Meshes that are up: their logs are shown with a failure."""

_claims: list[int] = []
_numbers = itertools.count(1)


def network() -> str:
    """The first three numbers of a loopback network that no other mesh on this machine uses."""
    if not _claims:
        for number in range(20, 250):
            with socket.socket() as claim, contextlib.suppress(OSError):
                claim.bind((f"127.{number}.255.254", 19999))
                claim.detach()  # bound until this process ends
                _claims.append(number)
                break
    return f"127.{_claims[0]}.{next(_numbers)}"


class Mesh:
    """See `start`. `edge` is a client of the edge, `rest` one of the admin API."""

    def __init__(
        self, directory: Path, drain: float = 0.3, store: str = "memory", own_network: str = ""
    ) -> None:
        """`own_network` are the first three numbers of addresses, where they are not of the loopback."""
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.network = own_network or network()
        self.drain = drain
        self.limits = EdgeLimits()
        self.workers = 1  # of each Envoy
        self.metrics_port = 0  # where each Envoy lets Prometheus read; 0: nowhere
        self.store = store
        self.pods: dict[str, Pod] = {}
        self.environment: dict[str, str] = {}
        self.laneway: Sequence[str] = (str(LANEWAY),)
        self.source: Sequence[str] = ("--services", str(directory / "services.yaml"))
        self._supervisor = Supervisor(directory)
        self._addresses = itertools.count(1)
        self.xds: Address = (f"{self.network}.250", 18000)
        self.admin: Address = (f"{self.network}.250", 18080)
        self.edge_address: Address = (f"{self.network}.251", 8080)
        self.rest = Rest(self.admin)
        self.edge = Client(self.edge_address)
        self.serving: Child | None = None
        self.edge_envoy: Child | None = None
        LIVE.append(self)

    # Processes.

    def pod(self, name: str, service: str, application: str, **more: Any) -> Pod:
        """Add a pod; it starts with `start` or `start_pods`."""
        pod = Pod(name, service, application, f"{self.network}.{next(self._addresses)}", **more)
        self.pods[name] = pod
        return pod

    def gateway(self, name: str = "edge", **more: Any) -> dict[str, Any]:
        address, port = self.edge_address
        return {"kind": "Gateway", "name": name, "listeners": [{"port": port, "address": address}], **more}

    def start(self, *documents: dict[str, Any], envoys: bool = True) -> Mesh:
        """Control plane, definitions, the edge, and every pod; returns when all are ready."""
        self.write_services()
        self.start_laneway()
        self.start_apps(self.pods.values())
        own = any(one["kind"] == "Gateway" and one["name"] == "edge" for one in documents)
        self.apply(*([] if own else [self.gateway()]), *documents)
        if envoys:
            self.start_edge()
            self.start_sidecars(p for p in self.pods.values() if p.sidecar)
            self.wait_ready()
        return self

    def start_laneway(self, ready: bool = True) -> None:
        command = [*self.laneway, "serve", *self.source]
        command += [
            "--store",
            self.store,
            "--xds",
            f"{self.xds[0]}:{self.xds[1]}",
            "--admin",
            f"{self.admin[0]}:{self.admin[1]}",
        ]
        environment = {**os.environ, "LANEWAY_LANE_DRAIN": str(self.drain), **self.environment}
        self.serving = self._supervisor.start("laneway", command, environment)
        if ready:
            until(self._laneway_ready, 60, "laneway to be ready")

    def _laneway_ready(self) -> bool:
        assert self.serving is not None
        assert self.serving.alive, f"laneway ended:\n{self.serving.tail(60)}"
        with contextlib.suppress(OSError, EOFError):
            return self.rest.call("GET", "/readyz").status == 200
        return False

    def start_edge(self) -> Child:
        config = bootstrap(
            f"edge~edge~{self.network}",
            "edge",
            edge_metadata(),
            self.xds,
            self.edge_admin,
            self.limits,
            metrics=self._metrics(self.edge_address[0]),
        )
        self.edge_envoy = self.start_envoy("edge", config)
        return self.edge_envoy

    def start_other_edge(self, gateway: str, admin: Address) -> Child:
        """An edge of another gateway."""
        config = bootstrap(f"edge~{gateway}~{self.network}", gateway, edge_metadata(), self.xds, admin)
        return self.start_envoy(f"edge-{gateway}", config)

    def restart_edge(self) -> None:
        """Kill the edge and wait for a new one."""
        self.kill(self.edge_envoy)
        self.start_edge()
        self.wait_ready()

    @property
    def edge_admin(self) -> Address:
        return (self.edge_address[0], 15000)

    def start_command(self, name: str, command: Sequence[str]) -> Child:
        """Start anything else that ends with the mesh."""
        return self._supervisor.start(name, command)

    def start_envoy(self, name: str, config: dict[str, Any]) -> Child:
        path = self.directory / f"{name}.json"
        path.write_text(json.dumps(config))
        command = [str(ENVOY), "-c", str(path), "--concurrency", str(self.workers), *OPTIONS]
        return self._supervisor.start(f"envoy-{name}", command)

    def start_apps(self, pods: Iterable[Pod]) -> None:
        """Applications with a sidecar get a process each, to be killed alone; the others share one."""
        chosen = list(pods)
        shared = [p for p in chosen if not p.sidecar]
        for together in [[p] for p in chosen if p.sidecar] + ([shared] if shared else []):
            command = [sys.executable, "-S", str(APP), json.dumps([p.entry() for p in together])]
            child = self._supervisor.start(f"app-{together[0].name}", command)
            for pod in together:
                pod.app = child
        for pod in chosen:
            port = pod.app_port if pod.sidecar else pod.port
            until(lambda p=pod, n=port: listening((p.address, n)), 20, f"application {pod.name}")

    def start_sidecars(self, pods: Iterable[Pod]) -> None:
        for pod in pods:
            metadata = sidecar_metadata(
                pod.address,
                [(pod.service, pod.port, pod.app_port)],
                tag=pod.tag,
                egress_address=pod.egress_address,
            )
            config = bootstrap(
                f"sidecar~{pod.name}",
                pod.application,
                metadata,
                self.xds,
                (pod.address, 15000),
                metrics=self._metrics(pod.address),
            )
            pod.envoy = self.start_envoy(pod.name, config)

    def _metrics(self, address: str) -> Address | None:
        return (address, self.metrics_port) if self.metrics_port else None

    def wait_ready(self, *names: str) -> None:
        """Until every Envoy listens with its configuration and nothing was rejected."""
        until(lambda: self._is_ready(self.edge_admin), 30, "the edge to be ready")
        until(lambda: listening(self.edge_address), 30, "the edge to listen")
        for pod in [self.pods[n] for n in names] or self.pods.values():
            if pod.sidecar and pod.envoy is not None and pod.envoy.alive:
                until(lambda p=pod: self._is_ready((p.address, 15000)), 30, f"sidecar {pod.name}")
                until(lambda p=pod: listening((p.address, p.port)), 30, f"inbound of {pod.name}")
                until(lambda p=pod: listening((p.egress_address, 15001)), 30, f"egress of {pod.name}")
        self.check_accepted()

    @staticmethod
    def _is_ready(admin: Address) -> bool:
        try:
            return fetch(admin, "/ready").status == 200
        except (OSError, EOFError):
            return False

    def check_accepted(self) -> None:
        """No proxy has rejected anything."""
        for proxy in self.rest.get("/v1/proxies")["items"]:
            for name, state in proxy["types"].items():
                assert state["nack"] is None, (proxy["node"], name, state["nack"])

    def kill(self, child: Child | None) -> None:
        """SIGKILL for the whole group of one process, and wait for its end."""
        assert child is not None
        os.killpg(child.process.pid, signal.SIGKILL)
        child.process.wait()

    def stop(self) -> None:
        self.edge.close()
        self.rest.close()
        self._supervisor.stop()
        LIVE.remove(self)
        unknown = [
            line
            for log in self.directory.glob("envoy-*.log")
            for line in log.read_text(errors="replace").splitlines()
            if "Unknown field" in line  # Envoy warns, and goes on without it
        ]
        assert not unknown, unknown[:3]

    # Definitions, registry and what proxies hold.

    def apply(self, *documents: dict[str, Any]) -> Any:
        """POST /v1/apply; JSON is YAML, so the documents are a stream of JSON."""
        stream = "\n---\n".join(json.dumps(d) for d in documents)
        answer = self.rest.call("POST", "/v1/apply", stream.encode(), ("content-type", "application/yaml"))
        assert answer.status < 300, answer.body.decode()
        return answer.json

    def write_services(self) -> None:
        """What the file source reads, replaced at once."""
        services: dict[str, list[dict[str, Any]]] = {}
        protocols: dict[str, str] = {}
        for pod in self.pods.values():
            listed = services.setdefault(pod.service, [])
            protocols[pod.service] = pod.protocol
            if pod.registered:
                listed.append(pod.instance())
        path = self.directory / "services.yaml"
        new = path.with_suffix(".new")
        new.write_text(
            json.dumps(
                {
                    "services": [
                        {"name": n, "instances": i} | ({"protocol": protocols[n]} if protocols[n] else {})
                        for n, i in services.items()
                    ]
                }
            )
        )
        new.replace(path)

    def register(self, *names: str, health: str = "healthy", registered: bool = True) -> None:
        """Change pods in the registry and wait until the control plane says so."""
        for name in names:
            self.pods[name].health = health
            self.pods[name].registered = registered
        self.write_services()
        for name in names:
            until(lambda p=self.pods[name]: self._registry_says(p), 10, f"the registry to know of {name}")

    def _registry_says(self, pod: Pod) -> bool:
        answer = self.rest.call("GET", f"/v1/services/{pod.service}")
        if answer.status != 200:  # a service of this pod alone, not there yet or gone
            return not pod.registered
        found = [i for i in answer.json["instances"] if (i["address"], i["port"]) == (pod.address, pod.port)]
        if not pod.registered:
            return not found or bool(found[0]["held"])
        return bool(found) and (found[0]["health"] == pod.health or bool(found[0]["held"]))

    def endpoints(self, admin: Address) -> str:
        """What an Envoy knows of clusters and their endpoints, as its admin port writes it."""
        return fetch(admin, "/clusters").body.decode()

    def envoys(self) -> list[Address]:
        """The admin ports of every Envoy that runs."""
        sidecars = [p for p in self.pods.values() if p.envoy is not None and p.envoy.alive]
        return [self.edge_admin, *((pod.address, 15000) for pod in sidecars)]

    def config_dump(self, admin: Address) -> str:
        """The clusters that an Envoy has, as its admin port writes them."""
        return fetch(admin, "/config_dump?resource=dynamic_active_clusters").body.decode()

    def stats(self, admin: Address, name: str) -> int:
        """The sum of the counters and gauges whose names match."""
        lines = fetch(admin, f"/stats?filter={name}").body.decode().splitlines()
        return sum(int(line.rpartition(": ")[2]) for line in lines if ": " in line)

    def wait_everywhere(self, met: Any, what: str, timeout: float = 10.0) -> None:
        """Until `met(dump)` holds for the /clusters page of every Envoy."""
        for admin in self.envoys():
            until(lambda a=admin: met(self.endpoints(a)), timeout, f"{what} at {admin[0]}")

    def chain(self, path: str = "/a", *headers: Any) -> list[str]:
        return self.edge.get(path, *headers).chain

    def wait_chain(self, expected: list[str], *headers: Any, path: str = "/a", timeout: float = 10.0) -> None:
        def met() -> bool:
            seen.append(self.edge.get(path, *headers))
            return seen[-1].status == 200 and seen[-1].chain == expected

        seen: list[Answer] = []
        try:
            until(met, timeout, f"the chain {expected}")
        except AssertionError as error:
            raise AssertionError(f"{error}; the last was {seen[-1].status} {seen[-1].body[:600]!r}") from None

    def load(self, *requests: Any, **more: Any) -> Load:
        return Load(self.edge_address, requests, **more)

    def logs(self) -> str:
        shown = []
        for path in sorted(self.directory.glob("*.log")):
            text = path.read_text(errors="replace").splitlines()[-40:]
            if text:
                shown.append("\n".join([f"--- {path.name}", *text]))
        return "\n".join(shown)


def listening(address: Address) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(address, 1):
        return True
    return False


def seen_anew(mesh: Mesh, pod: Pod) -> None:
    """Let callers forget what they know of an instance, such as its ejection: they get it as a new one."""
    mark = f"{pod.address}:{pod.port}::health_flags::"
    callers = [admin for admin in mesh.envoys() if mark in mesh.endpoints(admin)]
    mesh.register(pod.name, registered=False)
    for admin in callers:
        until(lambda a=admin: mark not in mesh.endpoints(a), 10, f"{pod.name} to be forgotten at {admin[0]}")
    mesh.register(pod.name)
    for admin in callers:
        until(lambda a=admin: f"{mark}healthy" in mesh.endpoints(a), 10, f"{pod.name} at {admin[0]}")


def abc(mesh: Mesh, *gray: str, **more: Any) -> None:
    """Pods A -> B -> C (base) and, for each name such as "Agray", a tagged one."""
    calls = {"A": "sc-B", "B": "sc-C", "C": ""}
    for name in ("A", "B", "C", *gray):
        letter = name[0]
        tag = name[1:].rstrip("0123456789")
        mesh.pod(name, f"sc-{letter}", f"spring-cloud-{letter.lower()}", tag=tag, next=calls[letter], **more)


APPLICATIONS = ("spring-cloud-a", "spring-cloud-b", "spring-cloud-c")
