"""Objects of the Gateway API as they are read, and what is made of them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

GROUP = "gateway.networking.k8s.io"
CONTROLLER = "laneway.dev/gateway"
"""The `controllerName` of GatewayClasses whose Gateways are Laneway's."""
PREFIX = "httproute."
"""Names of routes that are made of HTTPRoutes begin with it; all of these are written and deleted here."""

Json = Mapping[str, Any]
Name = tuple[str, str]
"""Namespace and name of an object."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is used of an object. `version` is its resourceVersion, `created` its time as RFC 3339."""

    namespace: str
    name: str
    generation: int
    version: str
    created: str
    spec: Json = field(hash=False)
    status: Json = field(hash=False)
    labels: Mapping[str, str] = field(hash=False)

    @property
    def at(self) -> Name:
        return self.namespace, self.name

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def read(found: Json) -> Record:
    """An object as the API server sends it. Raises LookupError, TypeError or AttributeError."""
    metadata = found["metadata"]
    return Record(
        metadata.get("namespace") or "",
        metadata["name"],
        metadata.get("generation") or 0,
        metadata["resourceVersion"],
        metadata["creationTimestamp"],
        found.get("spec") or {},
        found.get("status") or {},
        metadata.get("labels") or {},
    )


Lookup = Callable[[str, str, int], str | None]
"""The canonical id of the port of a Service, by namespace, name and number; None where there is none."""


@dataclass(frozen=True, slots=True)
class World:
    """All that a judgement depends on. known: the gateways that Laneway has."""

    classes: Mapping[Name, Record]
    gateways: Mapping[Name, Record]
    routes: Mapping[Name, Record]
    grants: Mapping[Name, Record]
    namespaces: Mapping[Name, Record]
    known: frozenset[str]
    service: Lookup


class Said(NamedTuple):
    """A condition. `reason` is of the specification where it has one."""

    type: str
    status: bool
    reason: str
    message: str = ""


class Unsupported(Exception):
    """A part of an HTTPRoute that no route of Laneway can express; the text says which and why."""
