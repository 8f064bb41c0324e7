"""Colour by trace with a Spring Boot service in Nacos: Micrometer Tracing hands on only a trace."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests import nacos_server
from tests.agents.agents import spring
from tests.mesh.client import Client, Header, until
from tests.mesh.documents import group, lane, route
from tests.mesh.harness import APPLICATIONS, Mesh, listening
from tests.mesh.nacos import Registrar, options
from tests.mesh.pods import Pod
from tests.nacos_server import NacosServer

pytestmark = [pytest.mark.nacos, pytest.mark.timeout(300)]

PROPAGATION = {"W3C": "W3C", "B3": "B3", "B3-multi": "B3_MULTI"}
"""By the suffix of the service, the value of `management.tracing.propagation.produce`; all are consumed."""
GRAY: Header = ("canary", "gray")


def traced() -> Header:
    """What an application in front hands on, whose agent has begun the trace."""
    return ("traceparent", f"00-{random.getrandbits(128):032x}-00f067aa0ba902b7-01")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NacosServer]:
    with nacos_server.for_test(nacos_server.VERSIONS[0], tmp_path_factory.mktemp("nacos")) as started:
        yield started


@pytest.fixture(scope="module")
def registrar(server: NacosServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registrar]:
    made = Registrar(server.address, tmp_path_factory.mktemp("sdk"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def mesh(server: NacosServer, registrar: Registrar, new_mesh: Callable[..., Mesh]) -> Mesh:
    """For each way to propagate: a service of Spring Boot behind the edge, which calls C."""
    made = new_mesh()
    made.source = options(server.address, made.directory / "state")
    for tag in ("", "gray"):
        made.pod(f"C{tag}", "sc-C", "spring-cloud-c", tag=tag)
    for name, kind in PROPAGATION.items():
        start_spring(made, made.pod(name, f"sc-{name}", "spring-cloud-b"), kind)
    for pod in made.pods.values():
        registrar.pods(pod.name, pod)
    made.write_services()
    made.start_laneway()
    made.start_apps([made.pods["C"], made.pods["Cgray"]])
    documents = [route(name.lower(), f"sc-{name}") for name in PROPAGATION]
    made.apply(made.gateway(), *documents, flow(False), lane("gray"))
    made.start_edge()
    made.start_sidecars(made.pods.values())
    made.wait_ready()
    for name in PROPAGATION:
        made.wait_chain([name, "C"], path=f"/{name.lower()}", timeout=60)
    return made


def flow(by_trace: bool) -> dict[str, object]:
    return group("order-flow", *APPLICATIONS, colour_by_trace=by_trace)


def start_spring(mesh: Mesh, pod: Pod, kind: str) -> None:
    command = spring(
        (pod.address, pod.app_port),
        (pod.address, 15001),
        app_name=pod.name,
        app_next="http://sc-C/c",
        management_tracing_propagation_produce=kind,
        management_tracing_baggage_enabled="false",
    )
    pod.app = started = mesh.start_command(f"app-{pod.name}", command)
    until(
        lambda: listening((pod.address, pod.app_port)) or not started.alive, 120, f"Spring Boot of {pod.name}"
    )
    assert started.alive, started.tail(60)


@pytest.mark.parametrize("name", PROPAGATION)
def test_its_requests_keep_their_lane(mesh: Mesh, name: str) -> None:
    path = f"/{name.lower()}"
    mesh.apply(flow(False))
    mesh.wait_chain([name, "C"], GRAY, traced(), path=path)  # this is what it hands on: no lane
    mesh.apply(flow(True))
    until(lambda: mesh.chain(path, GRAY, traced()) == [name, "Cgray"], 10, "the lane")

    def wrong(number: int) -> list[object]:
        found: list[object] = []
        with Client(mesh.edge_address) as client:
            for turn in range(25):
                lane_or_base = [GRAY] if (number + turn) % 2 else []
                answer = client.get(path, traced(), *lane_or_base)
                if answer.chain != [name, "Cgray" if lane_or_base else "C"]:
                    found.append((answer.status, answer.body))
        return found

    with ThreadPoolExecutor(4) as pool:
        assert [one for found in pool.map(wrong, range(4)) for one in found] == []
    handed_on = dict(mesh.edge.get(path, GRAY, traced()).json["next"]["headers"])
    assert ("traceparent" in handed_on) == (name == "W3C")
    assert ("b3" in handed_on) == (name == "B3")
    assert ("x-b3-traceid" in handed_on) == (name == "B3-multi")
