"""The answers that show connected proxies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, JsonValue

from controlplane.admin.answers import Answer, Count, Page

ResourceType = Literal["cluster", "endpoint", "listener", "route", "virtual_host", "extension", "secret"]
ResourceState = Literal["missing", "rejected", "unanswered", "unsent", "synced"]


class Nack(Answer):
    """A rejection: the message of a proxy that rejected a version."""

    version: str
    message: str
    at: str


class TypeState(Answer):
    """The versions of one type that a proxy was sent last and accepted last. `nack` is set while a
    rejection stands.
    """

    sent: str
    acked: str
    nack: Nack | None


class HeldChange(Answer):
    """A change that a proxy does not get, because `node` rejected it first and the nodes in `confirmed`
    rejected it, too.
    """

    type: str
    name: str
    version: str
    node: str
    nack: Nack | None
    confirmed: list[str]


class Drift(Answer):
    """A resource that a proxy does not have in the form that the snapshot has."""

    type: str
    name: str
    version: str
    state: str
    nack: Nack | None


class Proxy(Answer):
    """One stream of a connected Envoy or gRPC client."""

    node: str
    cluster: str
    role: str
    envoy: str
    variant: str
    identity: Annotated[
        str,
        Field(description="What its certificate says, such as `application shop`; empty where it has none"),
    ] = ""
    connected: str
    types: dict[str, TypeState]
    standing: Annotated[
        Literal["proved", "new", "rejecting", "outvoted", "slow", "silent"],
        Field(description="Whether it has shown that it works, and whether it is waited for"),
    ]
    held: list[HeldChange]
    warnings: list[str]
    drift: Annotated[list[Drift] | None, Field(description="Only where one node is asked for")] = None


class Proxies(Page):
    items: list[Proxy]


class ResourceFilter(NamedTuple):
    """Which resources are asked for: of a type, of a name; None: of any."""

    type: ResourceType | None = None
    name: str | None = None


class SentResource(Answer):
    """A resource that a proxy subscribes to, as the snapshot has it; `state`: whether the proxy has it."""

    type: str
    name: str
    version: Annotated[str, Field(description="Empty where there is no such resource")]
    state: Annotated[
        ResourceState,
        Field(
            description="synced: the proxy has accepted it; rejected: it keeps what it had before; "
            "unanswered: it was sent and has not answered; unsent: it will be sent; "
            "missing: there is no such resource"
        ),
    ]
    size: Annotated[Count, Field(description="Bytes of its encoding")]
    nack: Nack | None = None
    content: Annotated[
        dict[str, JsonValue] | None,
        Field(
            description="The resource as JSON, as Envoy's config_dump has it; only where a name is asked for"
        ),
    ] = None
    omitted: Annotated[str, Field(description="Why a resource that is asked for has no `content`")] = ""


class Configuration(Answer):
    """What one stream of a proxy has been sent."""

    connected: str
    resources: list[SentResource]


class Configurations(Answer):
    """One item a stream."""

    items: list[Configuration]


Compose = Callable[[], Configurations]
"""Makes the answer, which takes time; it may be called in a thread."""
