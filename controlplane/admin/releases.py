"""REST over releases: start, pause, resume, approve and abort one, and how it does."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from controlplane.admin import openapi
from controlplane.admin.changes import caller_of, change
from controlplane.admin.control import ControlPlane
from controlplane.admin.definitions import check_parent, found, response
from controlplane.admin.release_answers import Preflight, ReleaseLook, ReleaseStatus
from controlplane.model.definitions import Definitions, Key
from controlplane.model.problems import DefinitionError, Problem
from controlplane.model.releases import Release
from controlplane.release import actions

PATH = "/v1/lane-groups/{group}/releases/{release}"
WORDS: tuple[actions.Word, ...] = ("pause", "resume", "approve", "abort")
SUMMARIES = {
    "pause": "Make no further step; checks that fail still end the release",
    "resume": "Go on with a paused release",
    "approve": "Let a step that waits for approval end",
    "abort": "End the release: the lane's share is 0 at once",
}


def add_routes(routes: APIRouter, control: ControlPlane) -> None:
    """All of it for `control`."""
    parameters = {"parameters": [openapi.path_parameter("group"), openapi.path_parameter("release")]}
    shown = openapi.answer(openapi.reference("Release"), "The release", ETag="Its entity tag")

    @routes.post(
        f"{PATH}/start",
        operation_id="startRelease",
        tags=["releases"],
        summary="Enable the lane with the share of the first step, if its instances are there",
        openapi_extra=parameters,
        responses={200: shown, **openapi.failures(404, 409, 422, 503)},
    )
    async def start(
        request: Request,
        force: Annotated[bool, Query(description="Start although the preflight found something")] = False,
    ) -> Response:
        key = _key(request)
        release = _found(control.store.current.definitions, key)
        wrong = [] if force else preflight(control, release).wrong
        if wrong:
            problems = [Problem("lane", one, release.lane, "mend that, or start with force") for one in wrong]
            raise DefinitionError(409, f"{key} cannot start: {'; '.join(wrong)}", problems)
        author = caller_of(request).name

        def transform(definitions: Definitions) -> Definitions:
            return actions.start(definitions, key, author, time.time())

        stored = await change(control, request, transform, f"release {key.name}: start")
        return await response(control, stored.definitions, found(stored.definitions, key))

    def acting(word: actions.Word) -> Any:
        async def endpoint(request: Request) -> Response:
            key, author = _key(request), caller_of(request).name
            _found(control.store.current.definitions, key)

            def transform(definitions: Definitions) -> Definitions:
                return actions.act(definitions, key, word, author, time.time())

            stored = await change(control, request, transform, f"release {key.name}: {word}")
            return await response(control, stored.definitions, found(stored.definitions, key))

        return endpoint

    for word in WORDS:
        routes.add_api_route(
            f"{PATH}/{word}", acting(word), methods=["POST"], operation_id=f"{word}Release",
            tags=["releases"], summary=SUMMARIES[word], openapi_extra=parameters,
            responses={200: shown, **openapi.failures(404, 409, 503)},
        )  # fmt: skip

    @routes.get(
        f"{PATH}/status",
        operation_id="releaseStatus",
        tags=["releases"],
        summary="Where a release is, why, and what its checks see now",
        openapi_extra=parameters,
        responses={
            200: openapi.answer(openapi.reference("ReleaseStatus"), "With every decision and its figures"),
            **openapi.failures(404, 503),
        },
    )
    async def status(request: Request) -> Response:
        key = _key(request)
        release = _found(control.store.current.definitions, key)
        seen = control.release_look(key) if release.unfinished else None
        look = None
        if seen is not None:
            at = datetime.fromtimestamp(seen.at, UTC).isoformat(timespec="seconds")
            advice = seen.advice
            look = ReleaseLook(at=at, did=advice.do, why=advice.what, findings=list(advice.findings))
        answer = ReleaseStatus(release=release, look=look, preflight=preflight(control, release))
        return Response(answer.model_dump_json(), media_type="application/json")


def preflight(control: ControlPlane, release: Release) -> Preflight:
    """What stands in the way of a release of this lane now."""
    lane = control.store.current.definitions.lanes.get(release.lane)
    if lane is None or lane.group != release.group or lane.ratio is None:
        return Preflight(wrong=[f"{release.lane} is no ratio lane of group {release.group}"], notes=[])
    wrong: list[str] = []
    notes: list[str] = []
    services = [one for _, some in control.matches(lane.name) for one in some]
    if not any(one.tagged and not one.fallback for one in services):
        wrong.append(f"no instance with the tag {lane.tag} can be reached, so base would serve every request")
    for one in services:
        if one.tagged and one.fallback:
            wrong.append(f"{one.service} has instances with the tag {lane.tag}, and none can be reached")
        elif one.fallback:
            notes.append(f"{one.service} has no instance with the tag {lane.tag}: base serves it")
    applications = control.store.current.definitions.groups[lane.group].applications
    for one in control.propagation().findings:
        if one.verdict == "loses" and one.application in applications:
            wrong.append(f"{one.application} loses the lane in its calls to {one.to}")
    return Preflight(wrong=wrong, notes=notes)


def _key(request: Request) -> Key:
    return Key("Release", request.path_params["group"], request.path_params["release"])


def _found(definitions: Definitions, key: Key) -> Release:
    check_parent(definitions, key)
    document = found(definitions, key)
    assert isinstance(document, Release)
    return document
