"""The bodies of promote, finish and rollback."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from controlplane.admin.answers import Answer, Changed, Moves
from controlplane.admin.deployment_answers import DeploymentPair
from controlplane.model.documents import Lane, LaneGroup
from controlplane.model.fields import Name
from controlplane.plan.promotion import Action, Member, ServiceVersions


class PromoteRequest(BaseModel):
    """The lane whose instances become base."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lane: Name


class PromotionInstance(Answer):
    """An instance; `version` is empty where its metadata says none. held: its source does not report it."""

    address: str
    version: str
    healthy: bool
    held: bool = False


class PromotionService(Answer):
    """The instances of a service with the lane's tag, and the untagged ones. missing: what the action needs
    and does not find there.
    """

    service: str
    tagged: list[PromotionInstance]
    base: list[PromotionInstance]
    missing: list[str] = []


class PromotionApplication(Answer):
    application: str
    services: list[PromotionService]


class Promotion(Answer):
    """What was done, or with `dry_run` would be done, by application and service.

    changes, moves: only of a dry run.
    """

    action: Action
    group: str
    lane: str
    tag: str
    promoted: Annotated[str | None, Field(description="The promoted lane of the group afterwards")]
    changed: Annotated[bool, Field(description="False if it was so before")]
    dry_run: bool = False
    refused: Annotated[
        bool, Field(description="Without force it is refused, because something is missing")
    ] = False
    applications: list[PromotionApplication]
    changes: list[Changed] = []
    moves: Moves | None = None
    deployments: Annotated[
        list[DeploymentPair], Field(description="Deployments of Kubernetes that were compared")
    ] = []
    problems: Annotated[list[str], Field(description="Why base Deployments cannot be replaced")] = []
    waiting: Annotated[list[str], Field(description="What is waited for until it can be finished")] = []
    can_replace_base: Annotated[
        bool, Field(description="Of finish: this control plane may replace base Deployments (replace_base)")
    ] = False


def shown(
    action: Action, group: LaneGroup, lane: Lane, services: list[tuple[str, list[ServiceVersions]]]
) -> Promotion:
    """`group` as it is afterwards."""
    return Promotion(
        action=action,
        group=group.name,
        lane=lane.name,
        tag=lane.tag,
        promoted=group.promoted,
        changed=True,
        applications=[
            PromotionApplication(
                application=application,
                services=[
                    PromotionService(
                        service=one.service,
                        tagged=[_instance(member) for member in one.tagged],
                        base=[_instance(member) for member in one.base],
                        missing=list(one.missing),
                    )
                    for one in listed
                ],
            )
            for application, listed in services
        ],
    )


def _instance(one: Member) -> PromotionInstance:
    return PromotionInstance(address=one.address, version=one.version, healthy=one.healthy, held=one.held)
