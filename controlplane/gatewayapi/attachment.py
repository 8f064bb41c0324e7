"""Which listeners of which Gateway an HTTPRoute is attached to, and for which hosts. Pure.

The rules are those of `ParentReference`, `Listener` and `AllowedRoutes` in the Gateway API, version 1.6.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

from controlplane.gatewayapi.objects import GROUP, Json, Name, Record, Said, World

PROTOCOLS = ("HTTP", "HTTPS")
"""Protocols of listeners to which HTTPRoutes can be attached."""


def parent_of(reference: Json, route: Record) -> Name | None:
    """Namespace and name of the Gateway that a parentRef names; None where it names something else."""
    if reference.get("group", GROUP) != GROUP or reference.get("kind", "Gateway") != "Gateway":
        return None
    return reference.get("namespace") or route.namespace, reference["name"]


def attach(reference: Json, route: Record, gateway: Record, world: World) -> list[str] | Said:
    """The hosts for which `route` counts, [] for all; or the condition Accepted that says why it does not."""
    section, port = reference.get("sectionName"), reference.get("port")
    listeners: list[Json] = [one for one in gateway.spec.get("listeners") or () if is_meant(reference, one)]
    if not listeners:
        wanted = f"named {section}" if section is not None else f"with port {port}"
        return Said("Accepted", False, "NoMatchingParent", f"Gateway {gateway} has no listener {wanted}.")
    allowing = [one for one in listeners if allows(one, route, gateway, world)]
    if not allowing:
        text = f"No listener of Gateway {gateway} allows HTTPRoutes of namespace {route.namespace}."
        return Said("Accepted", False, "NotAllowedByListeners", text)
    named: list[str] = list(route.spec.get("hostnames") or ())
    hosts: list[str] = []
    for one in allowing:
        common = common_hosts(one.get("hostname") or "", named)
        if common == []:
            continue
        if common is None:
            return []
        hosts += [host for host in common if host not in hosts]
    if not hosts:
        text = f"No host of the HTTPRoute is one of a listener of Gateway {gateway}."
        return Said("Accepted", False, "NoMatchingListenerHostname", text)
    return hosts


def is_meant(reference: Json, listener: Json) -> bool:
    """Whether a parentRef of a Gateway means this listener of it."""
    section, port = reference.get("sectionName"), reference.get("port")
    return section in (None, listener["name"]) and port in (None, listener["port"])


def allows(listener: Json, route: Record, gateway: Record, world: World) -> bool:
    """Whether a listener takes HTTPRoutes of the namespace of `route`."""
    if listener["protocol"] not in PROTOCOLS:
        return False
    allowed = listener.get("allowedRoutes") or {}
    kinds = allowed.get("kinds") or ()
    if kinds and not any(_is_http_route(one) for one in kinds):
        return False
    namespaces = allowed.get("namespaces") or {}
    match namespaces.get("from") or "Same":
        case "All":
            return True
        case "Same":
            return route.namespace == gateway.namespace
        case "Selector":
            namespace = world.namespaces.get(("", route.namespace))
            return namespace is not None and selects(namespaces.get("selector") or {}, namespace.labels)
        case _:
            return False


def _is_http_route(kind: Json) -> bool:
    return kind.get("group", GROUP) == GROUP and kind.get("kind") == "HTTPRoute"


def unknown_kinds(listener: Json) -> list[str]:
    """The kinds that a listener allows and Laneway does not know."""
    kinds = (listener.get("allowedRoutes") or {}).get("kinds") or ()
    return [str(one.get("kind")) for one in kinds if not _is_http_route(one)]


def common_hosts(listener: str, route: Iterable[str]) -> list[str] | None:
    """The hosts that a listener and a route have in common; None: all hosts.

    "" is a listener for all hosts, and a route without hosts takes those of its listener.
    """
    named = list(route)
    if not named:
        return [listener] if listener else None
    if not listener:
        return named
    found: list[str] = []
    for host in named:
        if host == listener or (listener.startswith("*.") and host.endswith(listener[1:])):
            found.append(host)
        elif host.startswith("*.") and listener.endswith(host[1:]):
            found.append(listener)
    return found


def selects(selector: Json, labels: Mapping[str, str]) -> bool:
    """Whether a label selector (meta/v1) is met."""
    wanted = cast("Mapping[str, str]", selector.get("matchLabels") or {})
    if any(labels.get(name) != value for name, value in wanted.items()):
        return False
    return all(_meets(one, labels) for one in selector.get("matchExpressions") or ())


def _meets(expression: Json, labels: Mapping[str, str]) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case _:
            return False


def permitted(route: Record, namespace: str, service: str, grants: Iterable[Record]) -> bool:
    """Whether an HTTPRoute may lead to a Service of a namespace: its own, or one with a ReferenceGrant."""
    if namespace == route.namespace:
        return True
    for grant in grants:
        if grant.namespace != namespace:
            continue
        comes = any(
            one.get("group") == GROUP
            and one.get("kind") == "HTTPRoute"
            and one.get("namespace") == route.namespace
            for one in grant.spec.get("from") or ()
        )
        goes = any(
            one.get("group", "") == "" and one.get("kind") == "Service" and one.get("name") in (None, service)
            for one in grant.spec.get("to") or ()
        )
        if comes and goes:
            return True
    return False
