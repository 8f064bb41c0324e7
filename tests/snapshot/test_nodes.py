"""What a client says of itself is checked and bounded before anything is made of it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from controlplane.model.definitions import Definitions
from controlplane.model.documents import Gateway
from controlplane.plan.rollout import Deployed
from controlplane.registry.names import ServiceNames
from controlplane.registry.types import Instance, Service
from controlplane.snapshot.nodes import (
    MOST_CALLS,
    MOST_SERVICES,
    GrpcNode,
    NodeError,
    SidecarNode,
    parse_node,
)
from controlplane.snapshot.publisher import Publisher

SIDECAR: dict[str, Any] = {"role": "sidecar", "address": "10.0.0.1"}
LONG = "x" * 300_000


def service(port: object, **more: object) -> dict[str, object]:
    return {"service": "sc-A", "port": port, "app_port": 1, **more}


def refused(cluster: str, metadata: dict[str, Any]) -> str:
    with pytest.raises(NodeError) as caught:
        parse_node(cluster, metadata, None)
    return str(caught.value)


def deep(levels: int) -> object:
    value: object = "end"
    for _ in range(levels):
        value = {"in": [value]}
    return value


HOSTILE: dict[str, dict[str, Any]] = {
    "role": {"role": LONG},
    "role of depth": {"role": deep(90)},
    "tag": {**SIDECAR, "tag": LONG},
    "tag of a client of gRPC": {"role": "grpc", "tag": LONG},
    "address": {**SIDECAR, "address": LONG},
    "address that is a list": {**SIDECAR, "address": [LONG] * 1_000},
    "app_address": {**SIDECAR, "app_address": LONG},
    "egress_address": {**SIDECAR, "egress_address": LONG},
    "capture": {**SIDECAR, "capture": LONG},
    "calls of another kind": {**SIDECAR, "calls": LONG},
    "calls with a long name": {**SIDECAR, "calls": [LONG]},
    "calls that are many": {**SIDECAR, "calls": [str(index) for index in range(MOST_CALLS + 1)]},
    "services of another kind": {**SIDECAR, "services": LONG},
    "services of depth": {**SIDECAR, "services": [deep(90)]},
    "services that are many": {**SIDECAR, "services": [service(p) for p in range(1, MOST_SERVICES + 2)]},
    "service": {**SIDECAR, "services": [service(1, service=LONG)]},
    "port": {**SIDECAR, "services": [service(LONG)]},
    "app_port": {**SIDECAR, "services": [service(1, app_port=[LONG])]},
}


@pytest.mark.parametrize("metadata", HOSTILE.values(), ids=HOSTILE)
def test_a_refusal_is_short_and_names_the_field(metadata: dict[str, Any], request: Any) -> None:
    text = refused("app", metadata)
    assert len(text) < 1_000
    assert request.node.callspec.id.split()[0] in text


@pytest.mark.parametrize("port", [0, -1, 65536, 1.5, float("inf"), float("nan"), True, "80", None, [80], {}])
def test_what_is_no_port(port: object) -> None:
    assert "services[0].port" in refused("app", {**SIDECAR, "services": [service(port)]})


def test_as_many_services_as_may_be() -> None:
    found = parse_node(
        "app", {**SIDECAR, "services": [service(p) for p in range(1, MOST_SERVICES + 1)]}, None
    )
    assert isinstance(found, SidecarNode)
    assert [own.port for own in found.place.services] == list(range(1, MOST_SERVICES + 1))


def test_twenty_thousand_services_cost_no_more_than_reading_them() -> None:
    metadata = {**SIDECAR, "services": [service(1 + port % 60_000) for port in range(20_000)]}
    began = time.process_time()
    for _ in range(100):
        refused("app", metadata)
    assert time.process_time() - began < 1.0  # one took 14 s


@pytest.mark.parametrize(
    "services",
    [[{}], [{"port": "x"}], ["sc-A"], "sc-A", 7, [None], [{"port": [1]}], [{"port": float("nan")}]],
)
def test_warnings_of_what_a_client_of_grpc_says_read_nothing_that_was_not_checked(services: object) -> None:
    node = parse_node("app", {"role": "grpc", "services": services, "address": ["x"]}, None)
    assert isinstance(node, GrpcNode)
    assert Publisher().view(node).warnings() == []


def test_where_a_sidecar_and_the_registry_differ() -> None:
    node = parse_node("app", {**SIDECAR, "tag": "gray", "services": [service(80), service(81)]}, None)
    assert isinstance(node, SidecarNode)
    publisher = Publisher()
    instance = Instance(node.place.address, 80, None, "other")
    services = {"file///S": Service("file///S", "file", "S", (instance,))}
    publisher.publish(Definitions(), Deployed(), services, ServiceNames(services).resolve)
    assert publisher.view(node).warnings() == [
        "the registry says application other, node.cluster says app",
        "the registry says tag None, the node says gray; the registry's counts",
        f"{node.place.address}:81 is not in the registry; served from the node's metadata",
    ]


def test_an_edge_whose_gateway_is_not_defined_is_warned_of_until_it_is() -> None:
    publisher = Publisher()
    view = publisher.view(parse_node("front", {"role": "edge"}, None))
    (warning,) = view.warnings()
    assert "front is not defined" in warning
    gateway = Gateway(name="front", listeners=[{"port": 8080}])  # type: ignore[list-item]
    publisher.publish(Definitions().put(gateway), Deployed(), {}, ServiceNames().resolve)
    assert view.warnings() == []
