"""`laneway serve` on an SQLite store in a process of its own, as a user has it, and what it does there."""

from __future__ import annotations

import contextlib
import functools
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx

from controlplane.xds.messages import DeltaRequest, DeltaResponse
from controlplane.xds.resource import LISTENER, ROUTE
from tests.cli.forking import Forked
from tests.cli.ports import free_port, loopback_network, wait_for
from tests.cli.run import LANEWAY, environment
from tests.entrance import ENTRANCE
from tests.xds.client import DELTA

DOCUMENTS = (
    ENTRANCE
    + """kind: LaneGroup
name: order-flow
gateway: edge
applications: [spring-cloud-a]
---
kind: Lane
group: order-flow
name: red
tag: red
ratio: {percent: 30}
---
kind: Lane
group: order-flow
name: blue
tag: blue
ratio: {percent: 20}
"""
)
CHANGE = {"listeners": [{"port": 8080}, {"port": 8081}]}
"""Of the gateway."""


class Served:
    """A running control plane."""

    def __init__(self, process: subprocess.Popen | Forked, log: Path, admin: str, xds: str) -> None:
        self.process = process
        self.log = log
        self.admin = f"http://{admin}"
        self.xds = xds
        self.http = httpx.Client(base_url=self.admin, timeout=20, trust_env=False)

    def until(self, condition: Callable[[httpx.Response], bool], path: str = "/readyz") -> httpx.Response:
        """The answer at `path` once `condition` holds; AssertionError where it ends before."""
        answers: list[httpx.Response] = []

        def holds() -> bool:
            answers.append(self.http.get(path))
            return condition(answers[-1])

        try:
            wait_for(holds, self.process, 60)
        except AssertionError as error:
            seen = answers[-1].text if answers else "no answer"
            raise AssertionError(f"{error}: {seen}\n{self.log.read_text()}") from None
        return answers[-1]

    def ready(self) -> dict[str, Any]:
        """`store` of /readyz once it is ready."""
        return self.until(lambda answer: answer.status_code == 200).json()["store"]

    def waiting(self) -> str:
        """Why the store is not loaded, once that is known."""
        answer = self.until(lambda answer: bool(answer.json()["store"]["problem"]))
        assert answer.status_code == 503, answer.text
        return answer.json()["store"]["problem"]

    def metric(self, name: str) -> float | None:
        """The value of a metric without labels; None where it is not there."""
        for line in self.http.get("/metrics").text.splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[1])
        return None

    def apply(self, documents: str = DOCUMENTS) -> httpx.Response:
        headers = {"content-type": "application/yaml"}
        return self.http.post("/v1/apply", content=documents, headers=headers)

    def export(self) -> str:
        answer = self.http.get("/v1/export")
        assert answer.status_code == 200, answer.text
        return answer.text

    def edge(self) -> dict[str, bytes]:
        """What an edge gets over xDS: listeners and routes by name."""
        found: dict[str, bytes] = {}
        with grpc.insecure_channel(self.xds) as channel:
            call = channel.stream_stream(DELTA, DeltaRequest.SerializeToString, DeltaResponse.FromString)
            requests = []
            for type_url in (LISTENER, ROUTE):
                request = DeltaRequest(type_url=type_url, resource_names_subscribe=["*"])
                request.node.id, request.node.cluster = "edge~1", "edge"
                request.node.metadata["role"] = "edge"
                requests.append(request)
            answers = call(iter(requests), timeout=20)
            for _ in requests:
                reply = next(answers)
                found |= {one.name: one.resource.value for one in reply.resources}
            answers.cancel()
        return found


@contextlib.contextmanager
def serving(home: Path, *options: str, prefix: tuple[str, ...] = (), **variables: str) -> Iterator[Served]:
    """`laneway serve` in `home`, its store in `home/laneway.db`. It ends by itself, without a traceback."""
    address = f"{loopback_network()}.1"  # on 127.0.0.1 somebody may take the ports meanwhile
    admin, xds = (f"{address}:{free_port(address)}" for _ in range(2))
    store = f"sqlite:{home}/laneway.db"
    command = ["serve", "--admin", admin, "--xds", xds, "--store", store, *options]
    log = home.with_name(f"{home.name}-{time.monotonic_ns()}.log")
    with log.open("wb") as sink:
        start = (
            functools.partial(subprocess.Popen, [*prefix, str(LANEWAY), *command])
            if prefix
            else functools.partial(Forked, command)
        )
        process = start(stdout=sink, stderr=sink, cwd=home, env=environment(HOME=str(home), **variables))
    served = Served(process, log, admin, xds)
    try:
        yield served
    finally:
        served.http.close()
        process.terminate()
        process.wait(30)
    assert "Traceback" not in log.read_text(), log.read_text()
