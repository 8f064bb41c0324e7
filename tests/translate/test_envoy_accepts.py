"""Envoy itself accepts what the documentation's examples and the golden cases become at an edge.

`envoy --mode validate` asks no xDS server, so the same resources are put into a static configuration.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import any_pb2, json_format

from controlplane.cli.envoy_config import bootstrap, edge_metadata
from controlplane.model.definitions import Definitions
from controlplane.model.parsing import parse_documents
from tests.mesh.documents import route
from tests.model.full import FULL
from tests.translate import cases

ENVOY = Path(sys.executable).with_name("envoy")
REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "documents.md"
EDGE = {"id": "edge", "cluster": "edge", "metadata": edge_metadata(), "known": True}
SERVICES = [{"name": "sc-A", "instances": [{"address": "127.0.1.1", "port": 20001, "application": "a"}]}]
GROUP = {"kind": "LaneGroup", "name": "order-flow", "gateway": "edge", "applications": ["a"]}
GATEWAY = {"kind": "Gateway", "name": "edge", "listeners": [{"port": 8080, "address": "127.0.0.1"}]}


def written() -> list[dict[str, Any]]:
    """Every definition of the reference; times are texts, as in JSON."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", REFERENCE.read_text(encoding="utf-8"), re.M | re.S)
    documents = [one for block in blocks for one in yaml.safe_load_all(block) if "kind" in one]
    return json.loads(json.dumps(documents, default=datetime.isoformat))


def examples() -> list[dict[str, Any]]:
    """Of one name the last, and a gateway in any case."""
    documents = written()
    found: dict[tuple[str, str], Any] = {("Gateway", "edge"): GATEWAY, ("LaneGroup", "order-flow"): GROUP}
    return list((found | {(one["kind"], one["name"]): one for one in documents}).values())


def static(case: dict[str, Any]) -> dict[str, Any]:
    """A bootstrap with what the case's edge is sent."""
    sent: dict[str, dict[str, Any]] = {}
    for one in cases.sent({**case, "nodes": [EDGE], "show": ["*"]}):
        packed = any_pb2.Any(type_url=one.type_url, value=one.resource.body)
        shown = json.loads(json_format.MessageToJson(packed, preserving_proto_field_name=True))
        del shown["@type"]
        sent.setdefault(one.kind, {})[one.resource.name] = shown
    listeners = list(sent["Listener"].values())
    for listener in listeners:
        for chain in listener["filter_chains"]:
            for network in chain["filters"]:
                _inline(network["typed_config"], sent)
    config = bootstrap("edge", "edge", edge_metadata(), ("127.0.0.1", 1), ("127.0.0.1", 0))
    resources = config["static_resources"]
    resources["listeners"] = listeners
    resources["secrets"] = list(sent.get("Secret", {}).values())
    resources["clusters"] = [*resources["clusters"], *sent.get("Cluster", {}).values()]
    for name in ("lds_config", "cds_config"):
        config["dynamic_resources"].pop(name, None)
    return config


def _inline(manager: dict[str, Any], sent: dict[str, dict[str, Any]]) -> None:
    if rds := manager.pop("rds", None):
        manager["route_config"] = sent["RouteConfiguration"][rds["route_config_name"]]
    for log in manager["access_log"]:
        if log["typed_config"]["@type"].endswith(".access_loggers.stats.v3.Config"):
            # xds-protos does not know these fields, so JSON made from its messages lacks them.
            log["typed_config"]["stats_scope"] = {"prefix": "laneway"}
            if log["name"] == "fallbacks":
                stat = log["typed_config"]["counters"][0]["stat"]
                stat["tags"] = cases.fallback_tags(stat["tags"][-1]["value_format"])
    for http in manager["http_filters"]:
        if http.pop("config_discovery", None):
            http["typed_config"] = sent["TypedExtensionConfig"][http["name"]]["typed_config"]


def accepted(config: dict[str, Any], directory: Path) -> None:
    file = directory / "bootstrap.json"
    file.write_text(json.dumps(config), encoding="utf-8")
    command = [ENVOY, "--mode", "validate", "--disable-hot-restart", "-l", "error", "-c", file]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_the_documentation_describes_fields_that_laneway_accepts_and_so_does_envoy(tmp_path: Path) -> None:
    documents = examples()
    assert {one["name"] for one in documents} >= {
        "users",
        "versions",
        "orders",
        "headers",
        "cart",
        "stock",
        "closed",
    }
    called = {name for one in documents if one["kind"] == "Application" for name in one["services"]}
    documents += [route(f"to-{name.lower()}", name) for name in sorted(called)]  # an edge gets their clusters
    stream = "\n---\n".join(json.dumps(one) for one in documents)
    assert Definitions().apply(parse_documents(stream.encode())).created
    config = static(
        {"definitions": documents, "services": [*SERVICES, *(service(x) for x in called - {"sc-A"})]}
    )
    assert '"secret:main"' in json.dumps(config["static_resources"]["listeners"])
    clusters = json.dumps(config["static_resources"]["clusters"])
    for text in ("/healthz", "grpc_health_check", "tcp_health_check", "MAGLEV", "RING_HASH", '"2s"'):
        assert text in clusters, text
    accepted(config, tmp_path)


def service(name: str) -> dict[str, Any]:
    instance = {"address": "127.0.1.9", "port": 20001, "application": name, "protocol": "grpc"}
    return {"name": name, "instances": [instance]}


MAPS = {"set", "add", "value", "routes"}
"""Fields whose keys are no fields."""
ELSEWHERE = {("Lane", "enabled_until"), ("Lane", "fallback", "spring-cloud-a")}
"""`laneway lane enable --ttl` writes the one; the other is the name of an application."""


def fields_in(value: Any, at: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Of every field that a document gives, the way to it. One path is as good as several."""
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, dict) and at[-1] not in MAPS:
            for name, inner in one.items():
                way = (*at, "path" if name == "paths" else name)
                yield way
                yield from fields_in(inner, way)


@pytest.mark.parametrize("kind", ["Gateway", "Route", "Application", "Lane"])
def test_the_documentation_has_an_example_of_every_field(kind: str) -> None:
    wanted = {way for _, one in FULL.values() if one["kind"] == kind for way in fields_in(one, (kind,))}
    shown = {way for one in written() if one["kind"] == kind for way in fields_in(one, (kind,))}
    assert wanted - shown - ELSEWHERE == set()
    assert len(wanted) > 15


FIRST = ("route-", "gateway-", "application-", "lane-", "health-", "sticky-", "timeouts")
CASES = [name for name in cases.NAMES if name.startswith(FIRST)]


@pytest.mark.parametrize("name", CASES)
def test_golden_cases(name: str, tmp_path: Path) -> None:
    accepted(static(cases.read(name)), tmp_path)


def test_a_mistake_would_be_seen(tmp_path: Path) -> None:
    config = static(cases.read("route-rewrite"))
    config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"][
        "route_config"
    ]["virtual_hosts"][0]["domains"] = []
    with pytest.raises(AssertionError, match="error initializing"):
        accepted(config, tmp_path)
