"""The answers that show connected proxies."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from controlplane.admin.answers import Answer, Page


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
