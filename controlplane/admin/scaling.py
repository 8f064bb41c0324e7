"""REST: the Deployments with the tag of a lane are scaled down, when no request goes there any more."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from controlplane.admin import openapi
from controlplane.admin.control import ControlPlane
from controlplane.admin.definitions import found
from controlplane.admin.deployment_answers import PromotedDeployments, ScaledDown
from controlplane.model.definitions import Definitions, Key
from controlplane.model.documents import Lane
from controlplane.model.problems import DefinitionError, Problem


def add_routes(
    routes: APIRouter, control: ControlPlane, deployments: PromotedDeployments | None = None
) -> None:
    """Scale canaries down."""
    schema = {"type": "string", **openapi.NAME_SCHEMA}
    names = [{"name": one, "in": "path", "required": True, "schema": schema} for one in ("group", "lane")]
    said = openapi.answer(openapi.reference("ScaledDown"), "Deployments that were or would be scaled to 0")
    extra: dict[str, Any] = {"parameters": names}

    async def scale_down(
        request: Request,
        dry_run: Annotated[bool, Query(description="Only say what would be done")] = False,
    ) -> Response:
        definitions = control.store.current.definitions
        lane = found(definitions, Key("Lane", request.path_params["group"], request.path_params["lane"]))
        assert isinstance(lane, Lane)
        if deployments is None or not deployments.replaces:
            wrong = Problem("", "is not allowed here", None, "start it with --kubernetes-deployments replace")
            raise DefinitionError(409, "This control plane may not change Deployments", [wrong])
        if not dry_run:
            _unused(definitions, lane)
        services = control.versions(definitions, lane, "rollback")
        scaled = await deployments.scale_down(services, dry_run)
        return ScaledDown(lane=lane.name, deployments=scaled, dry_run=dry_run).response()

    routes.add_api_route(
        "/v1/lane-groups/{group}/lanes/{lane}/scale-down", scale_down, tags=["promotion"], methods=["POST"],
        operation_id="scaleDownLane", openapi_extra=extra,
        summary="Scale the Deployments of Kubernetes with the lane's tag to 0; the lane must not be in use",
        responses={200: said, **openapi.failures(404, 409, 422, 503)},
    )  # fmt: skip


def _unused(definitions: Definitions, lane: Lane) -> None:
    """Raises DefinitionError 409 while requests may go to the instances of a lane."""
    applications = set(definitions.groups[lane.group].applications)
    for other in definitions.lanes.values():
        group = definitions.groups[other.group]
        if other.tag != lane.tag or not applications & set(group.applications):
            continue
        if other.enabled or group.promoted == other.name:
            message = f"is in use: lane {other.name} of group {group.name} sends requests to tag {lane.tag}"
            remedy = f"disable it first: laneway lane disable {other.name}"
            if group.promoted == other.name:
                remedy = f"finish the promotion or roll it back first: laneway rollback {group.name}"
            wrong = Problem("lane", message, lane.name, remedy)
            raise DefinitionError(409, f"Lane {lane.name} {message}", [wrong])
