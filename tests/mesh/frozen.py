"""Copies of what a real Envoy has got, as static configurations of Envoys without a control plane."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from tests.mesh.client import Address, fetch

Config = dict[str, Any]
OFF = "type.googleapis.com/envoy.config.route.v3.FilterConfig"


def frozen(admin: Address, listener: str, at: Address, own_admin: Address) -> Config:
    """The listener whose name starts so, at another address, with all routes, filters and clusters inline."""
    url = "/config_dump?include_eds"
    dump = {c["@type"].rpartition(".")[2]: c for c in json.loads(fetch(admin, url).body)["configs"]}
    routes = _by_name(dump["RoutesConfigDump"].get("dynamic_route_configs", []), "route_config", "name")
    filters = _by_name(dump["EcdsConfigDump"]["ecds_filters"], "ecds_filter", "name")
    hosts = _by_name(
        dump["EndpointsConfigDump"]["dynamic_endpoint_configs"], "endpoint_config", "cluster_name"
    )
    (chosen,) = [
        found["active_state"]["listener"]
        for found in dump["ListenersConfigDump"]["dynamic_listeners"]
        if found["name"].startswith(listener)
    ]
    chosen = _plain(chosen)
    chosen["address"]["socket_address"] |= {"address": at[0], "port_value": at[1]}
    manager = chosen["filter_chains"][0]["filters"][0]["typed_config"]
    manager["route_config"] = routes[manager.pop("rds")["route_config_name"]]
    manager["route_config"].pop("vhds", None)
    for one in manager["http_filters"]:
        if one.pop("config_discovery", None):
            one["typed_config"] = filters[one["name"]]["typed_config"]
    clusters = [_plain(c["cluster"]) for c in dump["ClustersConfigDump"]["dynamic_active_clusters"]]
    for cluster in clusters:
        if cluster.pop("eds_cluster_config", None):
            cluster |= {"type": "STATIC", "load_assignment": hosts[cluster["name"]]}
            for locality in hosts[cluster["name"]].get("endpoints", []):
                locality.pop("load_balancing_weight", None)  # Envoy writes a zero here, which it refuses
    kept = {k: v for k, v in dump["BootstrapConfigDump"]["bootstrap"].items() if k in _KEPT}
    return kept | {
        "admin": {"address": {"socket_address": {"address": own_admin[0], "port_value": own_admin[1]}}},
        "static_resources": {"listeners": [chosen], "clusters": clusters},
    }


_KEPT = ("stats_config", "deferred_stat_options", "layered_runtime")


def ungated(config: Config) -> Config:
    """The same with every filter on for every request."""
    found = copy.deepcopy(config)
    for one in _messages(found):
        for name, value in list(one.get("typed_per_filter_config", {}).items()):
            if value["@type"] == OFF:
                del one["typed_per_filter_config"][name]
    return found


def switched_off(config: Config) -> set[str]:
    """The names of the filters that some route turns off."""
    return {
        name
        for one in _messages(config)
        for name, value in one.get("typed_per_filter_config", {}).items()
        if value["@type"] == OFF
    }


def _messages(value: Any) -> Iterator[Config]:
    if isinstance(value, dict):
        yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _messages(child)


def _plain(value: Config) -> Config:
    """A message of its own in place of an Any."""
    found = copy.deepcopy(value)
    found.pop("@type")
    return found


def _by_name(found: list[Config], inner: str, name: str) -> dict[str, Config]:
    return {one[inner][name]: one[inner] if inner == "ecds_filter" else _plain(one[inner]) for one in found}
