"""Golden files: testdata/NAME.in.yaml (definitions and services) -> NAME.out.yaml (what Envoy gets).

`make golden` regenerates them; a change of a golden file is a change of what every proxy is sent.
"""

from __future__ import annotations

import json
import pkgutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import any_pb2, json_format
from pydantic import TypeAdapter

import envoy
from controlplane.model.definitions import Definitions, SlotRange
from controlplane.model.documents import AnyDocument, Application, Gateway, Lane, LaneGroup, Route
from controlplane.plan.lanes import enabled_lanes
from controlplane.plan.rollout import Deployed
from controlplane.registry.names import ServiceNames
from controlplane.registry.types import Health, Instance, Protocol, Service
from controlplane.snapshot.nodes import EdgeNode, GrpcNode, SidecarNode, parse_node
from controlplane.snapshot.publisher import Publisher
from controlplane.xds.resources import LISTENER, View

TESTDATA = Path(__file__).parent / "testdata"
CASES = sorted(path.name.removesuffix(".in.yaml") for path in TESTDATA.glob("*.in.yaml"))


def read_definitions(documents: list[dict[str, Any]], slots: dict[str, list[list[Any]]]) -> Definitions:
    parsed = [TypeAdapter(AnyDocument).validate_python(d) for d in documents]

    def of(kind: type) -> list[Any]:
        return [d for d in parsed if isinstance(d, kind)]

    return Definitions(
        gateways={d.name: d for d in of(Gateway)},
        routes={(d.gateway, d.name): d for d in of(Route)},
        applications={d.name: d for d in of(Application)},
        groups={d.name: d for d in of(LaneGroup)},
        lanes={d.name: d for d in of(Lane)},
        slots={
            (key.split("/")[0], key.split("/")[1]): tuple(SlotRange(*r) for r in ranges)
            for key, ranges in slots.items()
        },
    )


def read_services(listed: list[dict[str, Any]]) -> dict[str, Service]:
    found: dict[str, Service] = {}
    for entry in listed:
        instances = tuple(
            Instance(
                address=i["address"],
                port=i["port"],
                tag=i.get("tag"),
                application=i.get("application", ""),
                weight=i.get("weight", 1.0),
                health=Health(i.get("health", "healthy")),
                protocol=Protocol(i.get("protocol", "")),
            )
            for i in entry["instances"]
        )
        service_id = f"file///{entry['name']}"
        former = tuple((address, port) for address, port in entry.get("former", []))
        found[service_id] = Service(service_id, "file", entry["name"], instances, former=former)
    return found


def rendered(view: View) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for type_url, collections in view.collections.items():
        resources = [collection.get(name) for collection in collections for name in collection.names()]
        for resource in sorted((r for r in resources if r is not None), key=lambda r: r.name):
            symbol = any_pb2.Any(type_url=type_url, value=resource.body)
            kind = shown.setdefault(type_url.rsplit(".", 1)[-1], {})
            text = json_format.MessageToJson(symbol, preserving_proto_field_name=True)
            kind[resource.name] = json.loads(text)
    return shown


@pytest.fixture(autouse=True, scope="module")
def _every_extension() -> None:
    """Import the generated modules, so that each Any can be shown."""
    for module in pkgutil.walk_packages(envoy.__path__, "envoy."):
        if module.name.endswith("_pb2"):
            __import__(module.name)


def translate(case: str) -> str:
    given = yaml.safe_load((TESTDATA / f"{case}.in.yaml").read_text(encoding="utf-8"))
    definitions = read_definitions(given["definitions"], given.get("slots", {}))
    services = read_services(given["services"])
    known = enabled_lanes(definitions)
    publisher = Publisher()
    names = ServiceNames(services)
    publisher.publish(definitions, Deployed(known, frozenset(known)), services, names.resolve)
    shown: dict[str, Any] = {}
    for node in given["nodes"]:
        parsed = parse_node(node["cluster"], node["metadata"], None)
        if isinstance(parsed, GrpcNode):
            view = publisher.grpc_clients.view(parsed)
            view.wanted(LISTENER, node["asks"])
        elif isinstance(parsed, EdgeNode):
            view = publisher.edge_view(parsed)
        else:
            assert isinstance(parsed, SidecarNode)
            view = publisher.sidecar_view(parsed)
        shown[node["id"]] = rendered(view)
    return yaml.safe_dump(shown, sort_keys=True, allow_unicode=True, width=110)


@pytest.mark.parametrize("case", CASES)
def test_golden(case: str, request: pytest.FixtureRequest) -> None:
    output = TESTDATA / f"{case}.out.yaml"
    actual = translate(case)
    if request.config.getoption("--golden-update"):
        output.write_text(actual, encoding="utf-8")
    assert actual == output.read_text(encoding="utf-8"), "run `make golden` and review the difference"
