"""The body of the answer of explain, as `answers`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from controlplane.admin.answers import Answer, Count, InLane, Resting


class ShownCondition(Answer):
    """A condition. A long text is cut, and `length` is its whole length; `left_out` is the number of
    texts of a long list that are not shown. `name` and `value` are absent if the condition has none.
    """

    source: str
    name: str = ""
    operator: str
    value: str | float | list[str] | None = None
    length: Count = 0
    left_out: Count = 0


class ConditionOutcome(Answer):
    """A condition and its outcome. `value` is the request's, null if it has none; a long value is cut,
    and `length` is its whole length in bytes.
    """

    condition: ShownCondition
    value: str | None
    met: bool
    length: Count = 0


class LaneOutcome(Answer):
    lane: str
    matched: bool
    conditions: list[ConditionOutcome]


class Inherited(Answer):
    """The lane of a call that these instances make without naming a lane; null if that is base."""

    lane: str | None
    reason: str


class Calls(Answer):
    """What the application of a service defines for calls to it, if it differs from the default. Times
    are in seconds.
    """

    load_balancing: str = ""
    request_timeout: float = 0.0
    idle_timeout: float | None = None
    circuit_breaking: dict[str, Count] = {}
    health_check: str = ""
    keep_alive: Annotated[
        float | None, Field(description="How long proxies keep an idle connection; absent: 0.5 s")
    ] = None


class Hop(Answer):
    """The instances that would serve the request in one service. fallback: base serves in place of the
    lane. refused: no instance serves, because the lane has no fallback there.
    """

    application: str
    service: str
    tag: str | None
    instances: list[str]
    unhealthy: Annotated[
        list[str], Field(description="Instances with the lane's tag that are registered, and unhealthy")
    ] = []
    fallback: bool
    refused: bool = False
    inherited: Annotated[Inherited | None, Field(description="Only where instances of the lane serve")] = None
    calls: Annotated[Calls | None, Field(description="Only where the application says something")] = None
    by_trace: Annotated[
        bool, Field(description="Calls from there that lost the lane take that of their trace")
    ] = False
    access_log: Annotated[
        str, Field(description="Where the application's sidecars write a line; absent: nowhere")
    ] = ""
    tracing: Annotated[
        str, Field(description="Where its sidecars send spans, as the gateway of its group says")
    ] = ""
    observed: Annotated[InLane | None, Field(description="In the lane; absent where nothing was counted")] = (
        None
    )


class Candidate(Answer):
    """A lane, or base, and the share of the requests that it gets, in percent."""

    lane: str | None
    share: float


class Forwarded(Answer):
    path: Annotated[str, Field(description="The path that the application gets, with its query")]
    host: Annotated[str, Field(description="The host that the application gets")]


class Answered(Answer):
    """The answer that the edge gives by itself."""

    status: Count
    location: Annotated[
        str | None, Field(description="Where a redirect leads; without `port`, as it does without TLS")
    ] = None


class HeaderChange(Answer):
    """A header that the edge changes because of a definition, and whose: of the route, of the lane, the
    route's `cors`, the cookie of a share, or the listener's `http3`. `add` gives a further line.
    """

    change: Literal["set", "add", "remove"]
    name: str
    value: str = ""
    by: Literal["route", "lane", "cors", "share", "listener"]


class Retries(Answer):
    """When the route has an answer tried again, and how often a request is sent at most because of it, the
    first time included. `per_try_timeout` in seconds; absent: none.
    """

    conditions: list[str] = []
    statuses: list[Count] = []
    tries: Count
    per_try_timeout: float = 0.0


class Entrance(Answer):
    """The listener at which the request enters. `certificate`: the file or secret that a client gets which
    asks for the host by TLS; absent: none. `http3`: the UDP port that answers tell of.
    """

    port: Count
    addresses: list[str]
    certificate: str = ""
    proxy_protocol: bool = False
    http3: Count = 0
    redirect_to_https: Count = 0


class Explained(Answer):
    route: str | None
    lane: str | None
    reason: str
    path: Annotated[
        str,
        Field(
            description="The path that routes match; unless `forwarded` says another, the application gets it"
        ),
    ]
    client_address: Annotated[
        str, Field(description="The client's address, as the gateway's trusted_hops say")
    ]
    removed_headers: Annotated[
        list[str], Field(description="Names of the request's headers that no application gets")
    ]
    evaluated: list[LaneOutcome]
    evaluated_left_out: Annotated[
        Count, Field(description="Lanes that were looked at and are not listed")
    ] = 0
    hops: list[Hop]
    candidates: list[Candidate] = []
    resting: Annotated[
        list[Resting],
        Field(description="Enabled lanes of the route that their times close now, by priority"),
    ] = []
    forwarded: Annotated[
        Forwarded | None, Field(description="Only where the route rewrites the path or the host")
    ] = None
    answered: Annotated[
        Answered | None, Field(description="Only where the edge answers by itself, as the route says")
    ] = None
    request_timeout: Annotated[
        float, Field(description="Seconds, as the route says or else the application; absent: no limit")
    ] = 0.0
    idle_timeout: Annotated[
        float | None, Field(description="As request_timeout; 0: no limit; absent: the edge's own")
    ] = None
    listener: Annotated[
        Entrance | None, Field(description="Absent where the gateway has several and the question no `port`")
    ] = None
    request_headers: Annotated[
        list[HeaderChange], Field(description="What the service gets besides what the client sent")
    ] = []
    response_headers: Annotated[
        list[HeaderChange], Field(description="What the client gets besides what the service sent, in order")
    ] = []
    cors_allowed: Annotated[
        bool | None,
        Field(description="Whether pages of the request's Origin may read the answer; absent: no CORS"),
    ] = None
    retries: Annotated[Retries | None, Field(description="Only where the route has any")] = None
    keeps_request_id: Annotated[
        bool, Field(description="The application gets the x-request-id that arrived")
    ] = False
    access_log: Annotated[str, Field(description="Where the edge writes a line; absent: nowhere")] = ""
    tracing: Annotated[str, Field(description="Where the edge sends spans; absent: nowhere")] = ""
