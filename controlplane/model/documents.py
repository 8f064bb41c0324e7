"""The documents that users write, one frozen pydantic model per kind.

Shapes, names and rules: docs/reference/documents.md. A document is valid by itself here; the rules across
documents (references, modes of a group, sums of shares) are in `definitions`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Document(BaseModel):
    """Base of every model here: immutable, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Listener(Document):
    port: int
    address: str = "0.0.0.0"


class Carriers(Document):
    header: str = "x-lane"
    baggage: str = "lane"


class Gateway(Document):
    kind: Literal["Gateway"] = "Gateway"
    name: str
    listeners: tuple[Listener, ...]
    carriers: Carriers = Carriers()
    trust_client_lane: bool = False
    trusted_hops: int = 0


class PathMatch(Document):
    """Exactly one of the three is set."""

    prefix: str | None = None
    exact: str | None = None
    regex: str | None = None


class RouteMatch(Document):
    hosts: tuple[str, ...] = ()
    path: PathMatch = PathMatch(prefix="/")


class Route(Document):
    kind: Literal["Route"] = "Route"
    gateway: str
    name: str
    match: RouteMatch = RouteMatch()
    priority: int = 100
    service: str
    timeout: str = "0s"
    idle_timeout: str | None = None


class HealthCheck(Document):
    path: str
    interval: str = "5s"


class Application(Document):
    kind: Literal["Application"] = "Application"
    name: str
    services: tuple[str, ...] = ()
    health_check: HealthCheck | None = None


class LaneGroup(Document):
    kind: Literal["LaneGroup"] = "LaneGroup"
    name: str
    gateway: str
    applications: tuple[str, ...]
    inherit_tag: bool = True


class Condition(Document):
    """`value` is a str for ==, != and regex; a tuple of str for `in`; an int or float 0-100 for percentage."""

    source: Literal["header", "query", "cookie"]
    name: str
    operator: Literal["==", "!=", "in", "percentage", "regex"]
    value: str | tuple[str, ...] | float


class Rule(Document):
    match: Literal["all", "any"] = "all"
    conditions: tuple[Condition, ...]


class Sticky(Document):
    """Exactly one of the three is set."""

    header: str | None = None
    cookie: str | None = None
    client_address: bool | None = None


class Ratio(Document):
    percent: float
    routes: dict[str, float] = {}
    sticky: Sticky | None = None


class Lane(Document):
    kind: Literal["Lane"] = "Lane"
    group: str
    name: str
    tag: str
    enabled: bool = True
    priority: int = 100
    routes: tuple[str, ...] | None = None
    fallback: Literal["base", "none"] | dict[str, Literal["base", "none"]] = "base"
    rule: Rule | None = None
    ratio: Ratio | None = None


AnyDocument = Annotated[Gateway | Route | Application | LaneGroup | Lane, Field(discriminator="kind")]
