"""The cases of the golden files: testdata/NAME.in.yaml and what each of its nodes gets.

Keys of a case: `definitions` (documents), `services`, `nodes` (`known`: by a certificate); further `slots`
(gateway/route to ranges), `rollout: {coloured: [...], switching: true}` (the lanes that edges may choose;
absent: every enabled one; switching: what is promoted is known by its name alone, and edges colour base with
it), `sent_at_once` (of the Publisher), `watch: {tokens: {GATEWAY: [...]}, applications: [...]}`, `show`
(patterns of Kind/name that the output has; absent: everything).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, cast

import yaml

from controlplane.model.definitions import AnyKind, Definitions, SlotRange
from controlplane.model.kinds import KINDS
from controlplane.plan.base import Base
from controlplane.plan.rollout import Deployed, settled
from controlplane.registry.names import ServiceNames
from controlplane.registry.types import Health, Instance, Protocol, Service
from controlplane.snapshot.nodes import parse_node
from controlplane.snapshot.publisher import SENT_AT_ONCE, Publisher
from controlplane.xds.resource import LISTENER, VIRTUAL_HOST, Resource
from controlplane.xds.view import View

TESTDATA = Path(__file__).parent / "testdata"
NAMES = sorted(path.name.removesuffix(".in.yaml") for path in TESTDATA.glob("*.in.yaml"))


@dataclass(frozen=True)
class Sent:
    """A resource that a node gets."""

    node: str
    type_url: str
    resource: Resource

    @property
    def kind(self) -> str:
        """The message's name without its package."""
        return self.type_url.rsplit(".", 1)[-1]


def read(name: str) -> dict[str, Any]:
    """The case as it is written."""
    return _loaded(f"{name}.in.yaml")


def golden(name: str) -> dict[str, Any]:
    """What the golden file of the case says."""
    return _loaded(f"{name}.out.yaml")


def _loaded(file: str) -> dict[str, Any]:
    # These files have thousands of lines: the loader in Python takes seconds for them.
    return yaml.load((TESTDATA / file).read_bytes(), Loader=yaml.CSafeLoader)


def published(case: dict[str, Any]) -> Publisher:
    """The publisher after the case's definitions and services."""
    definitions = read_definitions(case["definitions"], case.get("slots", {}))
    services = read_services(case["services"])
    deployed = _deployed(definitions, case.get("rollout", {}))
    publisher = Publisher(case.get("sent_at_once", SENT_AT_ONCE))
    names = ServiceNames(services)
    publisher.publish(definitions, deployed, services, names.resolve)
    watch = case.get("watch", {"tokens": {}, "applications": []})
    tokens = {gateway: frozenset(given) for gateway, given in watch["tokens"].items()}
    publisher.watch(tokens, frozenset(watch["applications"]))
    return publisher


def _deployed(definitions: Definitions, rollout: dict[str, Any]) -> Deployed:
    now = settled(definitions)
    deployed = replace(now, coloured=frozenset(rollout.get("coloured", now.coloured)))
    if "switching" in rollout:  # sidecars have not heard of what is promoted but by its name
        names = {now.base.name: now.base}
        deployed = replace(deployed, base=Base(), versions=names, colour=now.base.name)
    return deployed


def sent(case: dict[str, Any]) -> Iterator[Sent]:
    """What each node of the case gets and `show` names, in order of node, kind and name."""
    publisher = published(case)
    # A view is kept until all are read: what several nodes share goes with the last of them.
    views = [(node["id"], _view(publisher, node)) for node in case["nodes"]]
    shown = case.get("show", ["*"])
    for node, view in views:
        for type_url, collections in view.collections.items():
            found = [collection.get(name) for collection in collections for name in collection.names()]
            for resource in sorted((r for r in found if r is not None), key=lambda r: r.name):
                one = Sent(node, type_url, resource)
                if any(fnmatchcase(f"{one.kind}/{resource.name}", pattern) for pattern in shown):
                    yield one


def _view(publisher: Publisher, node: dict[str, Any]) -> View:
    parsed = parse_node(node["cluster"], node["metadata"], None)
    view = publisher.view(parsed, known=node.get("known", False))
    if "asks" in node:
        view.wanted(LISTENER if parsed.role == "grpc" else VIRTUAL_HOST, node["asks"])
    return view


def read_definitions(documents: list[dict[str, Any]], slots: dict[str, list[list[Any]]]) -> Definitions:
    parsed = [KINDS[one["kind"]].model.model_validate(one) for one in documents]
    return Definitions.of(
        cast("list[AnyKind]", parsed),
        {
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


def fallback_tags(lane: str) -> list[dict[str, Any]]:
    """The labels of the counter of fallbacks as Envoy reads them. The golden files lack their rules, which
    xds-protos does not know. `lane`: Envoy's command for the lane's name.
    """
    kind = "type.googleapis.com/envoy.extensions.matching"
    value = {"name": "value", "typed_config": {"@type": f"{kind}.common_inputs.stats.v3.StatTagValueInput"}}

    def does(what: str) -> dict[str, Any]:
        transformed = {"@type": f"{kind}.actions.transform_stat.v3.TransformStat", what: {}}
        return {"action": {"name": "transform", "typed_config": transformed}}

    def where(matched: dict[str, str], then: str) -> dict[str, Any]:
        predicate = {"single_predicate": {"input": value, "value_match": matched}}
        return {"matcher_list": {"matchers": [{"predicate": predicate, "on_match": does(then)}]}}

    falls_back = {**where({"suffix": ">base"}, "drop_tag"), "on_no_match": does("drop_stat")}
    return [
        {"name": "routed", "value_format": "%UPSTREAM_CLUSTER_RAW%", "rules": falls_back},
        {
            "name": "laneway.service",
            "value_format": "%UPSTREAM_METADATA(lane:base)%",
            "rules": where({"exact": ""}, "drop_stat"),
        },
        {"name": "laneway.lane", "value_format": lane},
    ]
