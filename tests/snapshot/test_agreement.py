"""What a sidecar says of its place, beside its certificate and the registry."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.model.definitions import Definitions
from controlplane.plan.rollout import Deployed
from controlplane.registry.names import ServiceNames
from controlplane.registry.types import Instance, Service
from controlplane.snapshot.publisher import Publisher
from controlplane.xds.identity import Identity
from controlplane.xds.node import DeniedNode, Node

SHOP = Identity("application", "shop")


@pytest.fixture
def publisher() -> Publisher:
    made = Publisher()
    instances = {
        "shop": Instance("10.0.0.1", 80, application="shop"),
        "bank": Instance("10.0.0.2", 80, application="bank"),
    }
    services = {
        f"file///{name}": Service(f"file///{name}", "file", name, instances=(one,))
        for name, one in instances.items()
    }
    names = ServiceNames()
    for service in services:
        names.add(service)
    made.publish(Definitions(), Deployed({}, frozenset()), services, names.resolve)
    return made


def node(
    service: str,
    address: str,
    identity: Identity | None = SHOP,
    addresses: tuple[str, ...] = (),
    port: int = 80,
) -> Node:
    metadata: dict[str, Any] = {
        "role": "sidecar",
        "address": address,
        "services": [{"service": service, "port": port, "app_port": 8080}],
    }
    return Node("n", "shop", metadata, identity=identity, addresses=addresses)


@pytest.mark.parametrize(
    "said",
    [
        node("shop", "10.0.0.1"),
        node("new", "10.0.0.9"),  # not registered yet
        node("shop", "10.0.0.9"),
        node("bank", "10.0.0.2", identity=None),  # nobody is known
        node("shop", "10.0.0.1", addresses=("10.0.0.1", "10.0.0.7")),
        node("shop", "fd00::1", addresses=("FD00:0:0:0:0:0:0:1",)),
        node("shop", "10.0.0.1", Identity("application", "shop", address="10.0.0.1")),
    ],
)
def test_what_agrees_is_served(publisher: Publisher, said: Node) -> None:
    publisher.classify(said).release()


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (node("shop", "10.0.0.2"), "10.0.0.2:80 for application bank"),
        (node("bank", "10.0.0.2"), "10.0.0.2:80 for application bank"),
        (node("bank", "10.0.0.9"), "service bank belongs to other applications"),
        (node("shop", "10.0.0.9", addresses=("10.0.0.1",)), "for address 10.0.0.1, but"),
        (
            node("shop", "10.0.0.9", Identity("application", "shop", address="10.0.0.1")),
            "for address 10.0.0.1",
        ),
    ],
)
def test_what_does_not_agree_is_denied(publisher: Publisher, said: Node, says: str) -> None:
    with pytest.raises(DeniedNode, match=says):
        publisher.classify(said)
