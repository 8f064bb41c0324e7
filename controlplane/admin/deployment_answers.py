"""Deployments of Kubernetes behind a promotion: what the admin API asks of them, and its answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

from pydantic import Field, JsonValue

from controlplane.admin.answers import Answer
from controlplane.plan.promotion import ServiceVersions

Services = Sequence[tuple[str, Sequence[ServiceVersions]]]


class DeploymentImage(Answer):
    """A container of both; an image is empty where one of them has no such container."""

    container: str
    base: str
    canary: str


class DeploymentPair(Answer):
    """The base Deployment of an application, and the one with the lane's tag, as `namespace/name`."""

    application: str
    base: str
    canary: str
    images: list[DeploymentImage]
    differences: Annotated[list[str], Field(description="Why base is not of the canary's version")]
    warnings: Annotated[list[str], Field(description="What to look at before base is replaced")]
    template: Annotated[
        dict[str, JsonValue] | None,
        Field(description="The pod template that base would get; absent if it has it"),
    ] = None
    canary_replicas: Annotated[int, Field(ge=0)] = 0


class Scaled(Answer):
    """A Deployment and how many replicas it had, or has."""

    deployment: str
    replicas: Annotated[int, Field(ge=0)]


class ScaledDown(Answer):
    """The Deployments with the tag of a lane that were, or would be, scaled to 0."""

    lane: str
    deployments: list[Scaled]
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Compared:
    """problems: why some Deployments cannot be paired. waiting: what rollouts still wait for. failed: those
    that do not go on.
    """

    pairs: tuple[DeploymentPair, ...] = ()
    problems: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


NOTHING = Compared()


class PromotedDeployments(Protocol):
    """`replaces`: whether Deployments may be changed. Methods raise ApiError where the API server refuses, or
    cannot be reached.
    """

    @property
    def replaces(self) -> bool: ...

    async def compare(self, services: Services, tag: str) -> Compared:
        """The Deployments behind the tagged and the untagged instances of `services`."""
        ...

    async def replace(self, services: Services, tag: str) -> Compared:
        """Give each base Deployment the pod template of its canary; what is so already stays."""
        ...

    async def scale_down(self, services: Services, dry_run: bool) -> list[Scaled]:
        """Scale the Deployments of the tagged instances to 0. Returns those that were not."""
        ...
