"""The documents that users write, one frozen pydantic model per kind.

Shapes, names and rules: docs/reference/documents.md. A document is valid by itself here; the rules across
documents (references, modes of a group, sums of shares) are in `rules`. Validate foreign input through
`parsing`, which turns mistakes into messages; here they raise pydantic.ValidationError.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field, create_model, field_validator, model_validator

from controlplane.model import fields
from controlplane.model.conditions import Operator, Rule, check_value
from controlplane.model.document import Document
from controlplane.model.fields import refuse
from controlplane.model.gateway_fields import AccessLog, HeaderLimits, Listener, Tracing
from controlplane.model.patches import EnvoyPatches
from controlplane.model.route_actions import (
    Cors,
    Methods,
    Redirect,
    Respond,
    ResponseHeaders,
    Retries,
    Rewrite,
    RouteHeaders,
)
from controlplane.model.sticky import Sticky
from controlplane.model.time_fields import Instant, Schedule, seconds_of
from controlplane.model.upstream_fields import CircuitBreaking, HealthCheck, LoadBalancing, Timeouts


class Carriers(Document):
    header: fields.Carrier = "x-lane"
    baggage: fields.Member = "lane"


class Gateway(Document):
    kind: Literal["Gateway"] = "Gateway"
    name: fields.Name
    listeners: Annotated[tuple[Listener, ...], Field(min_length=1, max_length=64)]
    carriers: Carriers = Carriers()
    trust_client_lane: bool = False
    trusted_hops: Annotated[int, Field(ge=0, le=100)] = 0
    headers_with_underscores: Literal["drop", "keep"] = "drop"
    keep_request_id: Literal[True] | None = None
    header_limits: HeaderLimits | None = None
    access_log: AccessLog | None = None
    tracing: Tracing | None = None
    envoy_patches: EnvoyPatches | None = None

    @model_validator(mode="after")
    def _fits(self) -> Gateway:
        if self.keep_request_id and not self.trusted_hops:
            remedy = "set trusted_hops to the number of proxies in front"
            refuse("needs a proxy in front that is trusted", remedy, "keep_request_id")
        return self

    @field_validator("listeners")
    @classmethod
    def _distinct(cls, listeners: tuple[Listener, ...]) -> tuple[Listener, ...]:
        taken: list[tuple[int, int, str]] = []
        for index, one in enumerate(listeners):
            for address in one.addresses:
                for earlier, port, other in taken:
                    if one.port == port and _overlap(address, other):
                        refuse(
                            f"has the port and address of listeners[{earlier}]: {address} and {other}",
                            "give each listener its own port or address",
                            index,
                        )
                taken.append((index, one.port, address))
        return listeners


def _overlap(one: str, other: str) -> bool:
    first, second = ipaddress.ip_address(one), ipaddress.ip_address(other)
    if first.version != second.version:
        return False  # `::` leaves version 4 to a listener that has it
    return first == second or first.is_unspecified or second.is_unspecified


class Application(Document):
    """`callers`: who may call it, applications and `gateway/NAME`; without it everybody.

    `keep_alive`: how long a proxy keeps an idle connection to an instance; `0s`: not at all."""

    kind: Literal["Application"] = "Application"
    name: fields.Name
    services: Annotated[tuple[fields.ServiceName, ...], Field(max_length=10_000)] = ()
    health_check: HealthCheck | None = None
    keep_alive: fields.Duration = "500ms"
    timeouts: Timeouts | None = None
    load_balancing: LoadBalancing | None = None
    circuit_breaking: CircuitBreaking | None = None
    access_log: AccessLog | None = None
    callers: Annotated[tuple[fields.Caller, ...], Field(max_length=10_000)] | None = None

    @field_validator("services")
    @classmethod
    def _distinct(cls, services: tuple[str, ...]) -> tuple[str, ...]:
        return _unique(services)

    @field_validator("callers")
    @classmethod
    def _once(cls, callers: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return callers if callers is None else _unique(callers)


class LaneGroup(Document):
    kind: Literal["LaneGroup"] = "LaneGroup"
    name: fields.Name
    gateway: fields.Name
    applications: Annotated[tuple[fields.Name, ...], Field(min_length=1, max_length=10_000)]
    inherit_tag: bool = True
    colour_by_trace: bool = False
    promoted: fields.Name | None = None

    @field_validator("applications")
    @classmethod
    def _distinct(cls, applications: tuple[str, ...]) -> tuple[str, ...]:
        return _unique(applications)


def _unique(names: tuple[str, ...]) -> tuple[str, ...]:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            refuse("is given twice", "leave one out", index)
        seen.add(name)
    return names


class PathMatch(Document):
    """Exactly one of `prefix`, `exact` and `regex` is set. `ignore_case`: for the letters of ASCII."""

    prefix: fields.Path | None = None
    exact: fields.Path | None = None
    regex: fields.Regex | None = None
    ignore_case: Literal[True] | None = None

    @model_validator(mode="after")
    def _one(self) -> PathMatch:
        given = [name for name in ("prefix", "exact", "regex") if getattr(self, name) is not None]
        if len(given) != 1:
            refuse(
                f"has {' and '.join(given) or 'none'} of prefix, exact and regex",
                "give exactly one of prefix, exact and regex",
            )
        if self.ignore_case and self.regex is not None:
            refuse("cannot be combined with regex", "begin the regex with (?i)", "ignore_case")
        return self


class KeyMatch(Document):
    """A condition on a header or query parameter of a route's requests."""

    name: Annotated[str, Field(min_length=1, max_length=128), AfterValidator(fields.printable)]
    operator: Operator = "=="
    value: fields.ConditionValue | None = None

    @model_validator(mode="after")
    def _fits(self) -> KeyMatch:
        check_value(self.operator, self.value)
        return self


KeyMatches = Annotated[tuple[KeyMatch, ...], Field(min_length=1, max_length=16)]


class RouteMatch(Document):
    """All that is given must be met; of `hosts`, `paths` and `methods` one of each.

    `paths` stands in place of `path`.
    """

    hosts: Annotated[tuple[fields.Host, ...], Field(max_length=256)] = ()
    path: PathMatch | None = PathMatch(prefix="/")
    paths: Annotated[tuple[PathMatch, ...], Field(min_length=1, max_length=32)] | None = None
    methods: Methods | None = None
    headers: KeyMatches | None = None
    query: KeyMatches | None = None

    @field_validator("methods")
    @classmethod
    def _distinct(cls, methods: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return methods if methods is None else _unique(methods)

    @field_validator("headers")
    @classmethod
    def _headers(cls, headers: tuple[KeyMatch, ...] | None) -> tuple[KeyMatch, ...] | None:
        for index, one in enumerate(headers or ()):
            fields.header_name(one.name, index, "name")
        return headers

    @model_validator(mode="after")
    def _one(self) -> RouteMatch:
        if self.paths is not None:
            if "path" in self.model_fields_set and self.path is not None:
                refuse("cannot be combined with path", "put all paths into paths", "paths")
            object.__setattr__(self, "path", None)  # the default is for where neither is given
        return self

    @property
    def every_path(self) -> tuple[PathMatch, ...]:
        """The paths, one of which must match."""
        return self.paths or (self.path or PathMatch(prefix="/"),)


class Route(Document):
    """Exactly one of `service`, `redirect` and `respond` is set.

    `source`: the registry that has the service, where several have one of its name.
    `timeout`: with `0s` the application's holds. `idle_timeout`: `0s` means no limit; without it the
    application's holds, else the edge's own.
    """

    kind: Literal["Route"] = "Route"
    gateway: fields.Name
    name: fields.Name
    match: RouteMatch = RouteMatch()
    priority: fields.Priority = 100
    service: fields.ServiceName | None = None
    source: fields.Name | None = None
    redirect: Redirect | None = None
    respond: Respond | None = None
    timeout: fields.Duration = "0s"
    idle_timeout: fields.Duration | None = None
    rewrite: Rewrite | None = None
    headers: RouteHeaders | None = None
    cors: Cors | None = None
    retries: Retries | None = None

    @property
    def called(self) -> str | None:
        """The name of the service as registries resolve it, its source included."""
        if self.service is None or self.source is None:
            return self.service
        return f"{self.source}/*/{self.service}"

    @model_validator(mode="after")
    def _one(self) -> Route:
        given = [name for name in ("service", "redirect", "respond") if getattr(self, name) is not None]
        remedy = "give exactly one of service, redirect and respond"
        if not given:
            refuse("is missing, and so are redirect and respond", remedy, "service")
        if len(given) > 1:
            refuse(f"cannot be combined with {given[0]}", remedy, given[1])
        if self.service is None:
            for name in ("source", "rewrite", "idle_timeout", "retries"):
                if getattr(self, name) is not None:
                    refuse(
                        f"cannot be combined with {given[0]}, because no service is called",
                        "leave it out",
                        name,
                    )
            if self.headers is not None and self.headers.request is not None:
                message = f"cannot be combined with {given[0]}, because no service is called"
                refuse(message, "leave it out", "headers", "request")
        each = self.retries.per_try_timeout if self.retries is not None else None
        whole = fields.seconds(self.timeout)
        if each is not None and 0 < whole < fields.seconds(each):
            message = f"is longer than the route's timeout, {self.timeout}"
            refuse(message, "give less than the timeout", "retries", "per_try_timeout")
        rewrite = self.rewrite
        for action, prefix in (
            ("rewrite", rewrite and rewrite.prefix),
            ("redirect", self.redirect and self.redirect.prefix),
        ):
            if prefix and any(path.prefix is None for path in self.match.every_path):
                refuse(
                    "has no prefix to replace, because a path of the route's match is not a prefix",
                    "match by prefix, or rewrite by regex"
                    if action == "rewrite"
                    else "match by prefix, or use path",
                    action,
                    "prefix",
                )
        return self


class Ratio(Document):
    """`percent` and the overrides in `routes` (by name of the base route) are 0-100, two decimals."""

    percent: fields.Percent
    routes: dict[fields.Name, fields.Percent] = {}
    sticky: Sticky | None = None

    def share(self, route: str) -> float:
        """Per cent of the requests on the base route `route`."""
        return self.routes.get(route, self.percent)


class _LaneHead(Document):
    kind: Literal["Lane"] = "Lane"
    group: fields.Name
    name: fields.Name
    tag: fields.Tag
    enabled: bool = True
    enabled_until: Instant | None = None


if TYPE_CHECKING:
    _WithFrom = _LaneHead
else:  # `from` is a word of Python, so that a class statement cannot have a field of this name.
    _WithFrom = create_model("_WithFrom", __base__=_LaneHead, **{"from": (Instant | None, None)})


class Lane(_WithFrom):
    """`from`, `until` and `schedule` say when the lane is open, `enabled_until` when its switch goes off."""

    until: Instant | None = None
    schedule: Schedule | None = None
    priority: fields.Priority = 100
    routes: Annotated[tuple[fields.Name, ...], Field(min_length=1, max_length=10_000)] | None = None
    fallback: Annotated[
        Literal["base", "none"] | dict[fields.Name, Literal["base", "none"]], fields.Fallback
    ] = "base"
    response_headers: ResponseHeaders | None = None
    rule: Rule | None = None
    ratio: Ratio | None = None

    @field_validator("routes")
    @classmethod
    def _distinct(cls, routes: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return routes if routes is None else _unique(routes)

    @model_validator(mode="after")
    def _one(self) -> Lane:
        if (self.rule is None) == (self.ratio is None):
            remedy = "give exactly one of rule (by content) and ratio (a share of requests)"
            if self.rule is None:
                refuse("is missing, and so is ratio", remedy, "rule")
            refuse("is given together with rule", remedy, "ratio")
        if self.ratio is not None and self.routes is not None:
            for route in self.ratio.routes:
                if route not in self.routes:
                    refuse(
                        "is a share on a route that the lane's routes leave out",
                        f"add {route} to routes, or take it out of ratio.routes",
                        "ratio",
                        "routes",
                        route,
                    )
        return self

    @model_validator(mode="after")
    def _in_order(self) -> Lane:
        begin = self.begin
        if begin is not None and self.until is not None and seconds_of(self.until) <= seconds_of(begin):
            refuse(f"is not after from, {begin}", "give a later time", "until")
        return self

    @property
    def begin(self) -> str | None:
        """The field `from`."""
        return getattr(self, "from")

    @property
    def mode(self) -> Literal["content", "ratio"]:
        return "content" if self.ratio is None else "ratio"
