"""Conditions: where their values are carried at the edge, and their outcome for a request in Python.

Values are bytes throughout, as they are on the wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

import re2
import xxhash

from controlplane.model.conditions import Condition, Rule
from controlplane.model.networks import Network, network, with_mapped
from controlplane.plan.hosts import asked_host

PATH_HEADER = "x-laneway-path"
"""The path that routes match: normalised, without its query."""
HOST_HEADER = "x-laneway-asked-host"
"""The host as `asked_host` writes it."""
CLIENT_HEADER = "x-envoy-external-address"
"""The client's address, as `trusted_hops` of the gateway say: Envoy sets it, whatever a client sent.

https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers#x-envoy-external-address
"""

REFERER_HEADER = "x-laneway-referer"
"""The Referer as the client sent it: Envoy removes one that it takes for no URL."""


def carried_in(condition: Condition) -> str:
    """The header in which the value of a condition stands when the edge matches it.

    Query parameters and cookies are copied into headers whose names derive from the name of the parameter or
    cookie.
    """
    match condition.source:
        case "header":
            name = (condition.name or "").lower()
            return {"host": ":authority", "referer": REFERER_HEADER}.get(name, name)
        case "method":
            return ":method"
        case "path":
            return PATH_HEADER
        case "host":
            return HOST_HEADER
        case "client_address":
            return CLIENT_HEADER
        case "query" | "cookie":
            return lifted_header(condition.source, condition.name or "")


def lifted_header(source: str, name: str) -> str:
    """The header into which the edge copies a query parameter or a cookie of that name."""
    return f"x-laneway-{source[0]}-{name.encode(errors='surrogateescape').hex()}"


def texts(condition: Condition) -> tuple[str, ...]:
    """The texts that a condition compares with, in the form in which they are compared: hosts are lower
    case.
    """
    value = condition.value
    found = value if isinstance(value, tuple) else () if value is None else (str(value),)
    if condition.source == "host" and condition.operator in ("==", "!=", "in"):
        return tuple(asked_host(one) for one in found)
    if condition.source == "host" and condition.operator == "prefix":
        return tuple(one.encode().lower().decode() for one in found)
    return found


@lru_cache(maxsize=1_000)
def _networks(value: tuple[str, ...]) -> tuple[Network, ...]:
    return with_mapped(network(one) for one in value)


def networks_of(condition: Condition) -> tuple[Network, ...]:
    """The networks of a condition on the client's address, IPv4-mapped forms included."""
    return _networks(texts(condition))


@lru_cache(maxsize=10_000)
def compiled(pattern: str) -> Any:
    """`pattern` as Envoy's RE2 compiles it. Raises re2.error for an invalid one."""
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options)


def full_match(pattern: str, value: bytes) -> bool:
    r"""Whether RE2 matches all of `value`. As in Envoy, bytes that are not UTF-8 match nothing but `\C`."""
    return compiled(pattern).fullmatch(value) is not None


def share(value: bytes) -> int:
    """The percentage bucket of a value, from 0 to 99: XXH64 with seed 0, modulo 100."""
    return xxhash.xxh64_intdigest(value, seed=0) % 100


def met(condition: Condition, value: bytes | None) -> bool:
    """Whether the condition holds for the value found (None: the key is absent)."""
    if value is None:
        return condition.operator == "absent"
    if condition.source == "client_address":
        return _in_networks(condition, value) == (condition.operator == "in")
    match condition.operator:
        case "exists":
            return True
        case "absent":
            return False
        case "percentage":
            return share(value) < float(condition.value)  # type: ignore[arg-type]
        case "regex":
            return full_match(str(condition.value), value)
        case "prefix":
            return value.startswith(texts(condition)[0].encode())
        case "!=":
            return value != texts(condition)[0].encode()
        case "==" | "in":
            return any(value == choice.encode() for choice in texts(condition))


def _in_networks(condition: Condition, value: bytes) -> bool:
    address = ip_address(value.decode())
    return any(address in one for one in networks_of(condition))


def matches(rule: Rule, values: Mapping[str, bytes]) -> bool:
    """Whether a rule matches. `values` has the bytes of each header that `carried_in` names."""
    outcomes = (met(c, values.get(carried_in(c))) for c in rule.conditions)
    return all(outcomes) if rule.match == "all" else any(outcomes)
