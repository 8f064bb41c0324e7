"""The bodies of answers: instances of these models, of which the OpenAPI description is made, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from starlette.responses import Response

from controlplane.registry.types import Health, SourceState

Count = Annotated[int, Field(ge=0)]
Slot = Annotated[int, Field(ge=0, le=10_000)]
Scalar = str | int | float | bool | None
Since = Annotated[str, Field(description="From when on, because of the times of lanes; absent: from now on")]


class Answer(BaseModel):
    """Base of every body of an answer. A field with a default is left out if it has that value."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def response(
        self, status: int = 200, media: str = "application/json", headers: Mapping[str, str] | None = None
    ) -> Response:
        """The HTTP response with this body."""
        return Response(self.model_dump_json(exclude_defaults=True), status, headers, media)


class Mistake(Answer):
    """One wrong field. `document` is `Kind/name` if a change concerns several documents."""

    field: str
    value: Scalar
    message: str
    remedy: str
    document: str = ""


class Problem(Answer):
    """An error as RFC 9457 defines it."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[Mistake]


class Warned(Answer):
    """A likely mistake in one definition, `kind/name`."""

    document: str
    message: str


class Kept(Answer):
    """A field that stays as it is stored, because the document does not give it."""

    document: str
    field: str
    value: Scalar


class WarnedService(Answer):
    """What is likely to be wrong with a service."""

    service: str
    message: str


class Warnings(Answer):
    items: list[Warned]
    services: list[WarnedService]


class Place(Answer):
    """Where a request goes. route: null where the edge answers 404. lane: null for base.

    by_share: its lane is drawn, by the shares of the route.
    """

    route: str | None
    lane: str | None
    by_share: bool = False


class Move(Answer):
    """Requests such as the one that `explain` asks about go from `before` to `after`."""

    gateway: str
    before: Place
    after: Place
    explain: Annotated[str, Field(description="The command that explains such a request")]
    since: Since = ""


class ShareChange(Answer):
    """A lane's share of the requests of a route, in per cent."""

    gateway: str
    route: str
    lane: str
    before: float
    after: float
    since: Since = ""


class Moves(Answer):
    """Requests that a change moves. incomplete: there may be more."""

    items: list[Move]
    shares: list[ShareChange]
    incomplete: bool = False


class FieldChange(Answer):
    """One field that differs; null where it is absent."""

    field: str
    before: JsonValue
    after: JsonValue


class Changed(Answer):
    """A definition that a change concerns, `kind/name`, and its fields that differ."""

    document: str
    change: Literal["created", "changed", "deleted"]
    fields: list[FieldChange]


class Effect(Answer):
    """What a change would do: the differences field by field, and the requests that would go elsewhere."""

    changes: list[Changed] = []
    moves: Moves | None = None


class Deleted(Answer):
    """What was deleted, or would be, with all that goes with it; and what was named and does not exist.

    moves: only of a dry run.
    """

    deleted: list[str]
    absent: list[str]
    moves: Moves | None = None


class Restored(Answer):
    """What the way back to a revision changed."""

    changes: list[Changed]


class Applied(Answer):
    """What was changed, or would be, as kind/name. moves: only of a dry run."""

    created: list[str]
    changed: list[str]
    unchanged: list[str]
    warnings: list[Warned] = []
    kept: list[Kept] = []
    moves: Moves | None = None
    deleted: Annotated[list[str], Field(description="What pruning deletes")] = []
    changes: Annotated[list[Changed], Field(description="Field by field, other definitions included")] = []


class Status(BaseModel):
    """What the control plane adds to a document. It is not read, except the slots of a lane that has none."""

    warnings: list[str] = []


class Times(Answer):
    """What the times of a lane say at the moment of the answer, whether the lane is enabled or not."""

    open: Annotated[bool, Field(description="Whether they let the lane be used")]
    reason: Annotated[str, Field(description="What closes it")] = ""
    opens: Annotated[
        str | None, Field(description="When it opens next, by itself; absent where it does not")
    ] = None
    closes: Annotated[str | None, Field(description="When it closes next, by itself")] = None


class Resting(Answer):
    """An enabled lane that its times close at the moment of the answer."""

    lane: str
    reason: str
    opens: str | None = None


class LaneStatus(Status):
    times: Annotated[
        Times | None, Field(description="Only of a lane with from, until, enabled_until or schedule")
    ] = None
    slots: Annotated[
        dict[str, list[tuple[Slot, Slot]]],
        Field(description="By base route: ranges [start, end] of 0-9999, end exclusive."),
    ] = {}


STATUSES: dict[str, type[Status]] = {"Lane": LaneStatus}
"""The status of kinds that have more than an empty one."""


class Instance(Answer):
    address: str
    port: Count
    tag: str | None
    application: str
    health: Health
    weight: float
    held: bool
    metadata: dict[str, str]


class Refused(Answer):
    """An instance that is not used, and the reason."""

    address: str
    port: Count
    reason: str


class Service(Answer):
    service: str
    source: str
    updated: str | None
    held: bool
    protocol: str | None
    instances: list[Instance]
    refused: list[Refused]
    conflicts: list[str]
    warnings: list[str]


class Source(Answer):
    """The state of a registry."""

    name: str
    version: str | None
    state: Annotated[
        SourceState,
        Field(
            description="waiting: not all services were read yet; complete; incomplete: some services "
            "cannot be used; stale: the registry cannot be reached, its last report is served"
        ),
    ]
    problem: str | None
    unreachable_since: str | None
    updated: str | None
    age: Annotated[Count | None, Field(description="Seconds since `updated`")]
    services: Count
    instances: Count
    held_services: Count
    held_instances: Count


class Page(Answer):
    """A part of a list, or all of it."""

    following: Annotated[
        str | None,
        Field(serialization_alias="continue", description="For the next page; absent on the last one"),
    ] = None


class Services(Page):
    items: list[Service]
    sources: list[Source]


class InLane(Answer):
    """Requests of a lane to one service in the last minute, as their callers counted them."""

    requests: Count
    fallbacks: Annotated[Count, Field(description="Those that base answered in place of the lane")]
    refusals: Annotated[Count, Field(description="Those for which there was no instance")]
    ejected: Annotated[
        Count,
        Field(description="Instances of the lane that one proxy leaves out now, the most of any of them"),
    ] = 0
    ejected_by: Annotated[Count, Field(description="Proxies that leave any out")] = 0


class ServiceMatch(Answer):
    """The instances of a service that have the lane's tag, and the number of its base instances.

    fallback: no tagged instance can be reached, and base serves the lane. refused: base must not serve the
    lane either, so calls are answered with 503.
    """

    service: str
    tagged: list[str]
    unhealthy: Annotated[
        list[str], Field(description="Those of `tagged` that the registry says are unhealthy")
    ] = []
    base: Count
    base_unhealthy: Annotated[
        Count,
        Field(description="Those of base that the registry says are unhealthy, and that get no requests"),
    ] = 0
    fallback: bool
    refused: bool = False
    callers: Annotated[
        list[str] | None, Field(description="The only callers, besides the application; absent: everybody")
    ] = None
    observed: Annotated[
        InLane | None,
        Field(
            description="Fallbacks although `fallback` is false: proxies cannot reach the instances. Absent "
            "where nothing was counted"
        ),
    ] = None


class ApplicationMatch(Answer):
    application: str
    services: list[ServiceMatch]


class Matches(Answer):
    applications: list[ApplicationMatch]
    times: Annotated[Times | None, Field(description="Only of a lane that has times")] = None


class Revision(Answer):
    revision: Count
    at: str | None
    who: str
    note: str
    what: list[str]
    diff: str
    changes: list[Changed] = []


class Revisions(Answer):
    items: list[Revision]


class Store(Answer):
    problem: Annotated[
        str | None,
        Field(description="Why the definitions that are served may not hold, or cannot be changed"),
    ]
    read_only: Annotated[bool, Field(description="Whether changes are refused for that reason")]


class Ready(Answer):
    ready: bool
    waiting: list[str]
    store: Store
    sources: list[Source]


class NotReady(Problem):
    """The control plane is not ready; `detail` says what it waits for."""

    store: Store
    sources: list[Source]


class Alive(Answer):
    status: Literal["ok"]
    version: Annotated[str, Field(description="The version of Laneway")]
