"""What the admin API needs of the control plane: the composition root implements it, tests a small one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from controlplane.admin.proxy_answers import Compose, Proxy, ResourceFilter
from controlplane.model.addresses import ClientAddress
from controlplane.model.definitions import Definitions, Key
from controlplane.model.documents import Lane
from controlplane.model.fields import refuse
from controlplane.model.releases import Release
from controlplane.plan.moves import Moves
from controlplane.plan.preview import Explanation, ServiceMatch
from controlplane.plan.promotion import Action, ServiceVersions
from controlplane.plan.request import ANY_CLIENT
from controlplane.plan.warnings import Warnings
from controlplane.registry.types import Service, SourceStatus
from controlplane.release.engine import Advice
from controlplane.store.interface import DefinitionStore
from controlplane.tracing.propagation import Observed
from controlplane.tracing.watches import Watch
from controlplane.traffic.exchange import Everywhere, Interest
from controlplane.traffic.figures import Seen, Traffic, Window

METHOD = "^[A-Za-z]{1,32}$"


def _method(value: str) -> str:
    if re.fullmatch(METHOD[1:-1], value) is None:
        refuse("is not a method", "write GET, POST or another one")
    return value


def _target(value: str) -> str:
    if not value.startswith("/"):
        refuse("does not start with '/'", "write the path with its query, without scheme and host")
    return value


class ExplainRequest(BaseModel):
    """A request as it would arrive at a gateway. `headers`: its lines in order, as [name, value].

    `client_address`: the IP address from which the connection to the edge comes; behind proxies, that of the
    last one. `port`: of the listener; without it the gateway's only one is meant, if it has one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    gateway: Annotated[str, Field(min_length=1, max_length=63)]
    method: Annotated[str, AfterValidator(_method), Field(json_schema_extra={"pattern": METHOD})] = "GET"
    host: Annotated[str, Field(max_length=512)] = ""
    path: Annotated[
        str, AfterValidator(_target), Field(max_length=16_384, json_schema_extra={"pattern": "^/"})
    ] = "/"
    headers: Annotated[tuple[tuple[str, str], ...], Field(max_length=1000)] = ()
    client_address: ClientAddress = ANY_CLIENT
    port: Annotated[int, Field(ge=1, le=65535)] | None = None


@dataclass(frozen=True)
class StoreStatus:
    """`problem`: why the served definitions may be outdated or cannot be changed; "" if there is no
    problem. `read_only`: whether changes are refused for that reason.
    """

    problem: str = ""
    read_only: bool = False


class Look(Protocol):
    """A look at a release. at: seconds since the epoch."""

    @property
    def at(self) -> float: ...

    @property
    def advice(self) -> Advice: ...


class ControlPlane(Protocol):
    """The running control plane, as the admin API sees it. Nothing here blocks."""

    @property
    def store(self) -> DefinitionStore:
        """The store. Raises StoreUnavailable until the definitions are loaded, because an unknown set of
        definitions is not an empty one.
        """
        ...

    def now(self) -> float:
        """The time by which lanes open and close, in seconds since the epoch."""
        ...

    def resting(self) -> frozenset[str]:
        """The lanes that their times close now, enabled or not."""
        ...

    def store_status(self) -> StoreStatus:
        """The state of the store of definitions, also while it is not loaded."""
        ...

    @property
    def identity(self) -> str:
        """Differs between any two processes."""
        ...

    @property
    def traffic(self) -> Traffic:
        """What the proxies of this control plane have counted."""
        ...

    def seen_in_lanes(self) -> Mapping[tuple[str, str], Seen]:
        """What proxies have seen of the instances of lanes lately, by lane and service."""
        ...

    async def everywhere(self, window: Window, interest: Interest) -> Everywhere:
        """What the proxies of all control planes have counted in that window; without those control planes
        that do not answer in time, which it names.
        """
        ...

    def reporters(self) -> int:
        """Connected edges and sidecars: those that report traffic."""
        ...

    def services(self) -> Mapping[str, Service]:
        """Every service that the sources know, by canonical id."""
        ...

    def sources(self) -> Sequence[SourceStatus]:
        """The state of each source of services."""
        ...

    def resolve_service(self, name: str) -> Service:
        """The service with a canonical id, or with an unambiguous suffix of it.

        Raises UnknownService or AmbiguousService (of registry.names).
        """
        ...

    def matches(self, lane_name: str) -> Sequence[tuple[str, Sequence[ServiceMatch]]]:
        """The services of each application of the lane's group, and the instances that would serve the
        lane. The lane must exist.
        """
        ...

    def matches_of_tag(self, group: str, tag: str) -> Sequence[tuple[str, Sequence[ServiceMatch]]]:
        """As `matches`, for a lane that does not exist yet. The group must exist."""
        ...

    def versions(
        self, definitions: Definitions, lane: Lane, action: Action
    ) -> list[tuple[str, list[ServiceVersions]]]:
        """The tagged and the untagged instances of each application of the lane's group, with their versions,
        and what `action` misses.
        """
        ...

    async def explain(self, request: ExplainRequest, wanted: bool, at: float | None = None) -> Explanation:
        """What an edge does with a request, by the configuration that is served now; `wanted`: by the
        definitions, as if every lane were rolled out. `at`: as `wanted`, with the lanes that are open
        then, in seconds since the epoch. The gateway must exist.
        """
        ...

    async def check(self, before: Definitions, after: Definitions, labelled: bool) -> None:
        """Try what gateways ask of Envoy that `after` has and `before` has not, or not in this way. Raises
        DefinitionError (422) where that fails; `labelled`: its errors name their document.
        """
        ...

    def warnings(self, definitions: Definitions | None = None) -> Warnings:
        """What `look` found last."""
        ...

    async def look(self, definitions: Definitions | None = None) -> Warnings:
        """Likely mistakes in `definitions` (None: the current ones) and in the services."""
        ...

    async def moves(self, definitions: Definitions) -> Moves:
        """What a change of the current definitions to `definitions` moves to other lanes and routes."""
        ...

    def proxies(self, node: str | None = None) -> list[Proxy]:
        """One item for each stream; or those of one node id, with their drift."""
        ...

    def configuration(self, node: str, wanted: ResourceFilter) -> Compose | None:
        """What the streams of a node id have been sent. None where there is no such stream."""
        ...

    def conflicts(self, service_id: str) -> list[str]:
        """Sentences about addresses that this service shares with another one."""
        ...

    async def begin_trace(self, gateway: str, seconds: float) -> Watch:
        """Have proxies report the way of one request. The gateway exists. Raises TooMany."""
        ...

    def watch(self, identity: str) -> Watch | None:
        """A watch that runs or ended a short time ago."""
        ...

    def end_watch(self, watch: Watch) -> None:
        """Have the proxies report no more."""
        ...

    async def observe(self, seconds: float, group: str | None) -> None:
        """Have sidecars report all requests, of one lane group or of all. Raises TooMany."""
        ...

    def end_observation(self) -> None:
        """Judge what the observation that runs has seen so far."""
        ...

    def refused_urls(self, release: Release) -> list[str]:
        """Sentences about URLs of this release that no administrator has allowed."""
        ...

    def release_look(self, key: Key) -> Look | None:
        """What was found when a release that is under way was looked at last; None before that."""
        ...

    def propagation(self) -> Observed:
        """What the last observation found."""
        ...

    def ready(self) -> list[str]:
        """Sentences about what the control plane still waits for; empty if it is ready."""
        ...
