"""Objects of Kubernetes, as its API server sends them, to services and instances."""

from __future__ import annotations

import random
import subprocess
import sys
from typing import Any

import pytest

from controlplane.registry.kubernetes.cluster import Cluster
from controlplane.registry.kubernetes.objects import (
    PodRef,
    pod_reader,
    read_service,
    read_slice,
)
from controlplane.registry.metadata import Conventions
from controlplane.registry.metadata import read_service as instances_of

KEY = ("default", "sc-a")
ID = "kubernetes/default//sc-a"
READ_POD = pod_reader(Conventions().tells)


def service(*ports: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "default", "name": "sc-a"},
        "spec": {"ports": list(ports or ({"port": 80, "protocol": "TCP"},)), "ipFamilies": ["IPv4"], **spec},
    }


def endpoint(address: str, pod: str = "", **conditions: bool | None) -> dict[str, Any]:
    found: dict[str, Any] = {"addresses": [address], "conditions": conditions}
    if pod:
        found["targetRef"] = {"kind": "Pod", "name": pod, "namespace": "default", "uid": f"uid-{pod}"}
    return found


def slice_(*endpoints: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "default",
            "name": "sc-a-x",
            "labels": {"kubernetes.io/service-name": "sc-a"},
        },
        "addressType": "IPv4",
        "ports": [{"name": "", "port": 20001, "protocol": "TCP"}],
        "endpoints": list(endpoints),
        **more,
    }


def pod(name: str, address: str = "", **more: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "default",
            "name": name,
            "uid": f"uid-{name}",
            "labels": more.pop("labels", {}),
            "annotations": more.pop("annotations", {}),
        },
        "spec": {"hostNetwork": more.pop("host_network", False)},
        "status": {"podIPs": [{"ip": address}] if address else [], **more},
    }


def cluster(of: dict[str, Any], *slices: dict[str, Any], pods: tuple[dict[str, Any], ...] = ()) -> Cluster:
    made = Cluster()
    made.put_service(KEY, read_service(of))
    for number, one in enumerate(slices):
        made.put_slice(("default", f"sc-a-{number}"), read_slice(one))
    for one in pods:
        made.put_pod(("default", one["metadata"]["name"]), READ_POD(one))
    return made


def used(made: Cluster, service_id: str = ID) -> list[tuple[str, int, str | None]]:
    reading = instances_of(made.reported(KEY)[service_id])
    return [(one.address, one.port, one.tag) for one in reading.instances]


def test_tag_and_application_come_from_the_labels_of_the_pod_then_from_its_annotations() -> None:
    made = cluster(
        service(),
        slice_(endpoint("10.0.0.1", "a"), endpoint("10.0.0.2", "b"), endpoint("10.0.0.3", "c")),
        pods=(
            pod("a", labels={"alicloud.service.tag": "gray", "msePilotCreateAppName": "spring-cloud-a"}),
            pod("b", annotations={"opensergo.io/canary-blue": "blue", "app": "shop", "note": "x" * 9999}),
            pod("c", labels={"lane": "green"}, annotations={"lane": "red"}),
        ),
    )
    reading = instances_of(made.reported(KEY)[ID])
    assert [(i.tag, i.application) for i in reading.instances] == [
        ("gray", "spring-cloud-a"),
        ("blue", "shop"),
        ("green", "sc-a"),
    ]
    assert "note" not in reading.instances[1].metadata


def test_keys_of_the_operator() -> None:
    conventions = Conventions(tag_keys=("shop.example/track",), application_keys=("shop.example/app",))
    made = Cluster()
    made.put_service(KEY, read_service(service()))
    made.put_slice(("default", "x"), read_slice(slice_(endpoint("10.0.0.1", "a"))))
    found = pod(
        "a", labels={"lane": "no"}, annotations={"shop.example/track": "gray", "shop.example/app": "s"}
    )
    made.put_pod(("default", "a"), pod_reader(conventions.tells)(found))
    (one,) = instances_of(made.reported(KEY)[ID], conventions).instances
    assert (one.tag, one.application) == ("gray", "s")


def test_an_endpoint_whose_pod_is_not_known_is_never_base() -> None:
    made = cluster(service(), slice_(endpoint("10.0.0.1", "a")))
    reading = instances_of(made.reported(KEY)[ID])
    assert not reading.instances
    assert "its pod default/a is not known" in reading.refused[0].reason
    made.taken()
    made.put_pod(("default", "a"), READ_POD(pod("a", labels={"lane": "gray"})))
    assert made.taken().services == {KEY}
    assert used(made) == [("10.0.0.1", 20001, "gray")]


def test_a_pod_that_came_back_under_its_name_is_another_pod() -> None:
    """As those of a StatefulSet do: the slice still has the former one."""
    made = cluster(service(), slice_(endpoint("10.0.0.1", "a")), pods=(pod("a"),))
    assert used(made) == [("10.0.0.1", 20001, None)]
    second = pod("a")
    second["metadata"]["uid"] = "another"
    made.put_pod(("default", "a"), READ_POD(second))
    assert used(made) == []


@pytest.mark.parametrize(
    ("conditions", "is_used"),
    [
        ({}, True),
        ({"ready": None, "serving": None, "terminating": None}, True),
        ({"ready": True, "serving": True, "terminating": False}, True),
        ({"ready": False, "serving": False, "terminating": False}, False),
        ({"ready": False, "serving": True, "terminating": True}, True),
        ({"ready": False, "serving": False, "terminating": True}, False),
        ({"ready": False}, False),
    ],
)
def test_conditions_of_the_only_endpoint(conditions: dict[str, bool | None], is_used: bool) -> None:
    made = cluster(service(), slice_(endpoint("10.0.0.1", **conditions)))
    assert bool(used(made)) == is_used


def test_a_terminating_endpoint_serves_only_while_its_tag_has_no_other() -> None:
    terminating = {"ready": False, "serving": True, "terminating": True}
    of = slice_(
        endpoint("10.0.0.1", "a", **terminating),
        endpoint("10.0.0.2", "b", ready=True),
        endpoint("10.0.0.3", "c", **terminating),
    )
    made = cluster(service(), of, pods=(pod("a"), pod("b"), pod("c", labels={"lane": "gray"})))
    assert used(made) == [("10.0.0.2", 20001, None), ("10.0.0.3", 20001, "gray")]


def test_ports_by_name_and_number() -> None:
    made = cluster(
        service(
            {"name": "http", "port": 80, "appProtocol": "http"},
            {"name": "rpc", "port": 9090, "appProtocol": "kubernetes.io/h2c"},
            {"name": "db", "port": 5432, "appProtocol": "postgresql"},
            {"name": "dns", "port": 53, "protocol": "UDP"},
        ),
        slice_(
            endpoint("10.0.0.1"),
            ports=[
                {"name": "http", "port": 20001},
                {"name": "rpc", "port": 20002},
                {"name": "db", "port": 5432},
            ],
        ),
        # A named targetPort may mean another number in other pods; those are in a slice of their own.
        slice_(endpoint("10.0.0.2"), ports=[{"name": "http", "port": 30001}]),
    )
    found = made.reported(KEY)
    assert {id_: one.protocol for id_, one in found.items()} == {
        ID: "http1",
        f"{ID}:rpc": "http2",
        f"{ID}:db": "tcp",
    }
    assert found[ID].aliases == ("sc-a:80", "sc-a:http")
    assert found[f"{ID}:rpc"].aliases == ("sc-a:9090",)
    assert used(made) == [("10.0.0.1", 20001, None), ("10.0.0.2", 30001, None)]
    assert used(made, f"{ID}:rpc") == [("10.0.0.1", 20002, None)]


def test_what_makes_no_service() -> None:
    assert read_service(service(type="ExternalName")) is None
    assert read_slice({**slice_(), "metadata": {"namespace": "default", "name": "x"}}) is None
    made = cluster(service(), slice_(endpoint("a.example.com"), addressType="FQDN"))
    assert used(made) == []


def test_an_endpoint_in_two_slices_is_one_instance() -> None:
    made = cluster(
        service(), slice_(endpoint("10.0.0.1")), slice_(endpoint("10.0.0.1"), endpoint("10.0.0.2"))
    )
    reading = instances_of(made.reported(KEY)[ID])
    assert [one.address for one in reading.instances] == ["10.0.0.1", "10.0.0.2"]
    assert not reading.refused


def test_zones() -> None:
    made = cluster(service(), slice_({**endpoint("10.0.0.1"), "zone": "eu-1a"}))
    assert [one.zone for one in instances_of(made.reported(KEY)[ID]).instances] == ["eu-1a"]


def test_pods_in_the_network_of_their_node_and_finished_ones_own_no_address() -> None:
    assert READ_POD(pod("a", "10.0.0.1")).addresses == ("10.0.0.1",)
    assert READ_POD(pod("a", "10.0.0.1", host_network=True)).addresses == ()
    assert READ_POD(pod("a", "10.0.0.1", phase="Succeeded")).addresses == ()


def test_what_a_slice_refers_to() -> None:
    found = read_slice(slice_(endpoint("10.0.0.1", "a")))
    assert found is not None
    assert found.endpoints[0].pod == PodRef("default", "a", "uid-a")


def test_any_order_of_events_leads_to_the_same() -> None:
    """The streams of the three kinds have no common order."""
    chance = random.Random(7)
    pods = [pod(f"p{n}", f"10.0.0.{n}", labels={"lane": "gray"} if n % 2 else {}) for n in range(6)]
    states = [
        slice_(
            *(
                endpoint(f"10.0.0.{n}", f"p{n}", ready=chance.random() < 0.7)
                for n in chance.sample(range(6), 4)
            )
        )
        for _ in range(20)
    ]
    expected = cluster(service(), states[-1], pods=tuple(pods)).reported(KEY)
    for _ in range(20):
        made = Cluster()
        events = [("pod", one) for one in pods] + [("service", service())]
        chance.shuffle(events)
        places = sorted(chance.choices(range(len(events) + 1), k=len(states)))
        for at, state in reversed(list(zip(places, states, strict=True))):
            events.insert(at, ("slice", state))
        for kind, one in events:
            if kind == "pod":
                made.put_pod(("default", one["metadata"]["name"]), READ_POD(one))
            elif kind == "slice":
                made.put_slice(("default", "sc-a-0"), read_slice(one))
            else:
                made.put_service(KEY, read_service(one))
        assert made.reported(KEY) == expected


def test_nothing_of_it_is_imported_where_kubernetes_is_not_configured() -> None:
    code = (
        "import sys; from controlplane.app import serving, parts, settings; "
        "chosen = settings.load(None, {'services': '.', 'store': 'sqlite:x.db'}); "
        "parts.sources_of(chosen); store = parts.store_of(chosen); assert not chosen.stores_in_kubernetes; "
        "serving._reporting(chosen, store, None); serving._gateway_api(chosen, store, None); "
        "serving._deployments(chosen, []); only = ('kubernetes', 'gatewayapi', 'controlplane.deployments'); "
        "print([m for m in sys.modules if any(one in m for one in only)])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
