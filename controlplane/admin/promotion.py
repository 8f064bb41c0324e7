"""REST over promotion: a lane's instances become base of all applications of its group, in one action."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from controlplane.admin import bodies, effects, openapi
from controlplane.admin.control import ControlPlane
from controlplane.admin.definitions import IF_MATCH, change, found
from controlplane.admin.deployment_answers import NOTHING, Compared, PromotedDeployments
from controlplane.admin.promotion_answers import PromoteRequest, Promotion, shown
from controlplane.model.definitions import Definitions, Key
from controlplane.model.documents import Lane, LaneGroup
from controlplane.model.parsing import validate
from controlplane.model.problems import DefinitionError, Problem
from controlplane.plan.promotion import Action, ServiceVersions

BODY_BYTES = 4 << 10
DryRun = Annotated[bool, Query(description="Only say what would be done, and what is missing")]
NOTES: dict[Action, str] = {
    "promote": "promotion",
    "finish": "promotion finished",
    "rollback": "promotion rolled back",
}
"""What the history says."""
REPLACE = "replace its untagged instances first, or use force"
Found = list[tuple[str, list[ServiceVersions]]]


def add_routes(
    routes: APIRouter, control: ControlPlane, deployments: PromotedDeployments | None = None
) -> None:
    """Promote, finish and roll back."""
    _Actions(control, deployments).add_to(routes)


def _name_parameter() -> dict[str, Any]:
    schema = {"type": "string", **openapi.NAME_SCHEMA}
    named = {"name": "group", "in": "path", "required": True, "schema": schema}
    return {"parameters": [named, IF_MATCH]}


class _Waits(Exception):
    """Base was replaced, and the registry does not yet say all of it."""

    def __init__(self, texts: tuple[str, ...]) -> None:
        super().__init__()
        self.texts = texts


class _Actions:
    def __init__(self, control: ControlPlane, deployments: PromotedDeployments | None) -> None:
        self._control = control
        self._deployments = deployments

    def add_to(self, routes: APIRouter) -> None:
        said = openapi.answer(openapi.reference("Promotion"), "What was or would be done")
        waits = openapi.answer(
            openapi.reference("Promotion"),
            "Base Deployments are being replaced: ask again; `waiting` says why",
        )
        common: dict[str, Any] = {"tags": ["promotion"], "methods": ["POST"]}
        path = "/v1/lane-groups/{group}"
        body = openapi.body(openapi.reference("PromoteRequest"), "The lane")
        routes.add_api_route(
            f"{path}/promote", self.promote, **common, operation_id="promoteLane",
            summary="Make the instances of a lane base of all applications of its group",
            openapi_extra=_name_parameter() | body,
            responses={200: said, **openapi.failures(400, 404, 409, 412, 413, 415, 422, 503)},
        )  # fmt: skip
        routes.add_api_route(
            f"{path}/finish", self.finish, **common, operation_id="finishPromotion",
            summary="Make the untagged instances base again once they are of the promoted version; "
            "disables the lane",
            openapi_extra=_name_parameter(),
            responses={200: said, 202: waits, **openapi.failures(404, 409, 412, 422, 503)},
        )  # fmt: skip
        routes.add_api_route(
            f"{path}/rollback", self.rollback, **common, operation_id="rollBackPromotion",
            summary="Make the untagged instances base at once, and disable the lane",
            openapi_extra=_name_parameter(),
            responses={200: said, **openapi.failures(404, 409, 412, 422, 503)},
        )  # fmt: skip

    async def promote(self, request: Request, dry_run: DryRun = False) -> Response:
        asked = validate(PromoteRequest, await bodies.value(request, BODY_BYTES))
        assert isinstance(asked, PromoteRequest)

        def transform(definitions: Definitions, group: LaneGroup) -> tuple[Definitions, Lane, Found]:
            lane = _lane(definitions, group, asked.lane)
            if group.promoted not in (None, lane.name):
                message = f"has lane {group.promoted} promoted already"
                remedy = f"finish it or roll it back first: laneway finish {group.name}"
                wrong = Problem("promoted", message, lane.name, remedy)
                raise DefinitionError(409, f"Lane group {group.name} {message}", [wrong])
            changed = definitions
            if group.promoted is None:
                changed = definitions.put(group.model_copy(update={"promoted": lane.name}))
            return changed, lane, self._control.versions(definitions, lane, "promote")

        return await self._answer(request, "promote", transform, dry_run)

    async def finish(
        self,
        request: Request,
        dry_run: DryRun = False,
        force: Annotated[bool, Query(description="Finish although something is missing")] = False,
        replace_base: Annotated[
            bool,
            Query(description="First give base Deployments the canaries' pod templates, and wait"),
        ] = False,
    ) -> Response:
        compared = await self._compared(request, dry_run, force, replace_base)
        if compared.waiting and not dry_run:
            return await self._waits(request, compared, compared.waiting)

        def transform(definitions: Definitions, group: LaneGroup) -> tuple[Definitions, Lane, Found]:
            lane = _promoted(definitions, group)
            services = self._control.versions(definitions, lane, "finish")
            problems = [
                Problem(one.service, text, None, REPLACE)
                for _, listed in services
                for one in listed
                for text in one.missing
            ]
            if replace_base and not dry_run and not force and problems:
                raise _Waits(tuple(f"{one.field}: {one.message}" for one in problems))
            problems += (
                []
                if replace_base
                else [
                    Problem(one.base, text, None, REPLACE)
                    for one in compared.pairs
                    for text in one.differences
                ]
            )
            if problems and not force and not dry_run:
                title = (
                    f"The promotion of lane {lane.name} in group {group.name} cannot be finished: "
                    f"{problems[0].field}: {problems[0].message}"
                )
                raise DefinitionError(409, title, problems)
            return _ended(definitions, group, lane), lane, services

        try:
            return await self._answer(request, "finish", transform, dry_run, force, compared, replace_base)
        except _Waits as waits:
            return await self._waits(request, compared, waits.texts)

    @property
    def _replaces(self) -> bool:
        """Whether base Deployments may be replaced."""
        return self._deployments is not None and self._deployments.replaces

    async def _compared(self, request: Request, dry_run: bool, force: bool, replace_base: bool) -> Compared:
        """The Deployments behind the promotion; replaced, where that is asked for."""
        if replace_base and not self._replaces:
            wrong = Problem(
                "replace_base", "is not allowed here", True, "start it with --kubernetes-deployments replace"
            )
            raise DefinitionError(409, "This control plane may not change Deployments", [wrong])
        if self._deployments is None or (force and not replace_base):
            return NOTHING
        definitions = self._control.store.current.definitions
        key = Key("LaneGroup", "", request.path_params["group"])
        group = found(definitions, key)
        bodies.precondition(request)(definitions, key)
        assert isinstance(group, LaneGroup)
        lane = _promoted(definitions, group)
        services = self._control.versions(definitions, lane, "finish")
        if not replace_base or dry_run:
            compared = await self._deployments.compare(services, lane.tag)
            return compared if replace_base else Compared(compared.pairs)
        compared = await self._deployments.replace(services, lane.tag)
        if wrong := [*compared.problems, *compared.failed]:
            title = f"The base Deployments of group {group.name} cannot be replaced: {wrong[0]}"
            remedy = "mend it by hand, or finish without replace_base"
            raise DefinitionError(409, title, [Problem("deployments", one, None, remedy) for one in wrong])
        return compared

    async def _waits(self, request: Request, compared: Compared, texts: tuple[str, ...]) -> Response:
        definitions = self._control.store.current.definitions
        group = found(definitions, Key("LaneGroup", "", request.path_params["group"]))
        assert isinstance(group, LaneGroup)
        lane = _promoted(definitions, group)
        services = self._control.versions(definitions, lane, "finish")
        answer = shown("finish", group, lane, services).model_copy(
            update={"changed": False, "deployments": list(compared.pairs), "waiting": list(texts)}
        )
        return answer.response(202)

    async def rollback(self, request: Request, dry_run: DryRun = False) -> Response:
        def transform(definitions: Definitions, group: LaneGroup) -> tuple[Definitions, Lane, Found]:
            lane = _promoted(definitions, group)
            services = self._control.versions(definitions, lane, "rollback")
            return _ended(definitions, group, lane), lane, services

        return await self._answer(request, "rollback", transform, dry_run)

    async def _answer(
        self,
        request: Request,
        action: Action,
        act: Callable[[Definitions, LaneGroup], tuple[Definitions, Lane, Found]],
        dry_run: bool,
        force: bool = False,
        compared: Compared = NOTHING,
        replace_base: bool = False,
    ) -> Response:
        done: list[Promotion] = []
        precondition = bodies.precondition(request)
        key = Key("LaneGroup", "", request.path_params["group"])

        def transform(definitions: Definitions) -> Definitions:
            group = found(definitions, key)
            precondition(definitions, key)
            assert isinstance(group, LaneGroup)
            changed, lane, services = act(definitions, group)
            missing = any(one.missing for _, listed in services for one in listed)
            differ = any(one.differences for one in compared.pairs)
            # What is missing before base is replaced may be there afterwards.
            lacking = bool(compared.problems) if replace_base else missing or differ
            refused = action == "finish" and lacking and not force
            answer = shown(action, changed.groups[group.name], lane, services)
            update: dict[str, Any] = {
                "dry_run": dry_run,
                "changed": changed is not definitions,
                "refused": refused,
            }
            update |= {"deployments": list(compared.pairs), "problems": list(compared.problems)}
            update |= {"can_replace_base": action == "finish" and self._replaces}
            done[:] = [answer.model_copy(update=update)]
            return changed

        if dry_run:
            effect = await effects.of_change(self._control, request, transform)
            more = {"changes": effect.changes, "moves": effect.moves}
            return done[0].model_copy(update=more).response()
        await change(self._control, request, transform, NOTES[action])
        return done[0].response()


def _lane(definitions: Definitions, group: LaneGroup, name: str) -> Lane:
    lane = definitions.lanes.get(name)
    if lane is None or lane.group != group.name:
        known = sorted(one.name for one in definitions.lanes.values() if one.group == group.name)
        remedy = f"known: {', '.join(known[:10])}" if known else "create one first"
        wrong = Problem("lane", f"is not a lane of group {group.name}", name, remedy)
        raise DefinitionError(422, f"Group {group.name} has no lane {name}", [wrong])
    return lane


def _promoted(definitions: Definitions, group: LaneGroup) -> Lane:
    if group.promoted is None:
        wrong = Problem("promoted", "is absent: no lane is promoted", None, "promote a lane first")
        raise DefinitionError(409, f"No lane of group {group.name} is promoted", [wrong])
    return definitions.lanes[group.promoted]


def _ended(definitions: Definitions, group: LaneGroup, lane: Lane) -> Definitions:
    """The untagged instances are base again, and the lane is disabled."""
    return definitions.change(
        [
            (group.model_copy(update={"promoted": None}), None),
            (lane.model_copy(update={"enabled": False}), None),
        ]
    )
