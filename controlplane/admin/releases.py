"""REST over releases: start, pause, resume, approve and abort one, and how it does."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from controlplane.admin import bodies, effects, lists, openapi
from controlplane.admin.changes import DryRun, caller_of, change
from controlplane.admin.control import ControlPlane
from controlplane.admin.definitions import IF_MATCH, check_parent, found, response
from controlplane.admin.release_answers import Preflight, ReleaseEvent, ReleaseLook, ReleaseStatus
from controlplane.model.definitions import Definitions, Key, key_of
from controlplane.model.documents import Lane, Ratio
from controlplane.model.problems import DefinitionError, Problem
from controlplane.model.releases import Decision, Release, Target
from controlplane.plan.overlaps import UNDECIDED
from controlplane.release import actions
from controlplane.store.interface import Transform

PATH = "/v1/lane-groups/{group}/releases/{release}"
WORDS: tuple[actions.Word, ...] = ("pause", "resume", "approve", "abort")
MOST_COLLECTIONS = 1000
"""Releases whose events are remembered for watches."""
SUMMARIES = {
    "pause": "Make no further step; checks that fail still end the release",
    "resume": "Go on with a paused release",
    "approve": "Let a step that waits for approval end",
    "abort": "End the release: the lane's share is 0 at once",
}


def add_routes(routes: APIRouter, control: ControlPlane, watching: lists.Watching) -> None:
    """All of it for `control`."""
    parameters = {"parameters": [openapi.path_parameter("group"), openapi.path_parameter("release")]}
    guarded = {"parameters": [*parameters["parameters"], IF_MATCH]}
    either = {"anyOf": [openapi.reference("Release"), openapi.reference("Effect")]}
    shown = openapi.answer(either, "The release; in a dry run what would change", ETag="Its entity tag")

    async def done(request: Request, transform: Transform, key: Key, word: str, dry_run: bool) -> Response:
        precondition = bodies.precondition(request)

        def checked(definitions: Definitions) -> Definitions:
            _found(definitions, key)
            precondition(definitions, key)
            return transform(definitions)

        if dry_run:
            return (await effects.of_change(control, request, checked)).response()
        stored = await change(control, request, checked, f"release {key.name}: {word}")
        return await response(control, stored.definitions, found(stored.definitions, key))

    @routes.post(
        f"{PATH}/start",
        operation_id="startRelease",
        tags=["releases"],
        summary="Enable the lane with the share of the first step, if its instances are there",
        openapi_extra=guarded,
        responses={200: shown, **openapi.failures(404, 409, 412, 422, 503)},
    )
    async def start(
        request: Request,
        force: Annotated[bool, Query(description="Start although the preflight found something")] = False,
        dry_run: DryRun = False,
    ) -> Response:
        key = _key(request)
        release = _found(control.store.current.definitions, key)
        wrong = [] if force or dry_run else (await preflight(control, release)).wrong
        if wrong:
            problems = [Problem("lane", one, release.lane, "mend that, or start with force") for one in wrong]
            raise DefinitionError(409, f"{key} cannot start: {'; '.join(wrong)}", problems)
        author = caller_of(request).name

        def transform(definitions: Definitions) -> Definitions:
            return actions.start(definitions, key, author, time.time())

        return await done(request, transform, key, "start", dry_run)

    def acting(word: actions.Word) -> Any:
        async def endpoint(request: Request, dry_run: DryRun = False) -> Response:
            key, author = _key(request), caller_of(request).name
            _found(control.store.current.definitions, key)

            def transform(definitions: Definitions) -> Definitions:
                return actions.act(definitions, key, word, author, time.time())

            return await done(request, transform, key, word, dry_run)

        return endpoint

    for word in WORDS:
        routes.add_api_route(
            f"{PATH}/{word}", acting(word), methods=["POST"], operation_id=f"{word}Release",
            tags=["releases"], summary=SUMMARIES[word], openapi_extra=guarded,
            responses={200: shown, **openapi.failures(404, 409, 412, 422, 503)},
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
        answer = ReleaseStatus(release=release, look=look, preflight=await preflight(control, release))
        return Response(answer.model_dump_json(), media_type="application/json")

    collections: dict[Key, lists.Collection] = {}

    @routes.get(
        f"{PATH}/events",
        operation_id="releaseEvents",
        tags=["releases"],
        summary="What was decided in the present run of a release, with the figures",
        openapi_extra=parameters,
        responses={
            200: openapi.listed(openapi.items("ReleaseEvent")),
            **openapi.UNCHANGED,
            **openapi.failures(404, 422, 503),
        },
    )
    async def events(
        request: Request,
        limit: lists.Limit = None,
        after: lists.Continue = None,
        watch: lists.Watch = False,
    ) -> Response:
        key = _key(request)
        _found(control.store.current.definitions, key)
        if len(collections) > MOST_COLLECTIONS:
            collections.clear()
        if key not in collections:
            collections[key] = lists.Collection(
                watching,
                lambda: _events(control.store.current.definitions, key),
                lambda: (control.store.current.definitions,),
            )
        return await collections[key].answer(request, limit, after, watch)


def _events(definitions: Definitions, key: Key) -> lists.Contents:
    release = definitions.get(key)
    progress = release.progress if isinstance(release, Release) else None
    decisions = progress.decisions if progress is not None else ()
    names = [(name,) for name in event_names(decisions)]

    def show(index: int) -> bytes:
        one = decisions[index]
        at = datetime.fromtimestamp(one.at, UTC).isoformat(timespec="milliseconds")
        event = ReleaseEvent(
            name=names[index][0], at=at, step=one.step, what=one.what, findings=list(one.findings)
        )
        return event.model_dump_json().encode()

    return lists.Contents(("name",), names, show)


def event_names(decisions: Sequence[Decision]) -> list[str]:
    """Names in the order of the decisions: their times, which never go back."""
    names: list[str] = []
    last, number = 0.0, 0
    for one in decisions:
        number = number + 1 if one.at <= last else 0
        last = max(last, one.at)
        names.append(f"{last:015.3f}-{number:03d}")
    return names


async def preflight(control: ControlPlane, release: Release) -> Preflight:
    """What stands in the way of a release of this lane now. Once it is under way, warnings are not looked
    for.
    """
    lane = control.store.current.definitions.lanes.get(release.lane)
    if lane is None or lane.group != release.group or lane.ratio is None:
        return Preflight(wrong=[f"{release.lane} is no ratio lane of group {release.group}"], notes=[])
    wrong = control.refused_urls(release)
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
    if not wrong and not release.unfinished:
        for text in await _warnings(control, release, lane, lane.ratio):
            (notes if text.startswith(UNDECIDED) else wrong).append(text)
    return Preflight(wrong=wrong, notes=notes)


async def _warnings(control: ControlPlane, release: Release, lane: Lane, ratio: Ratio) -> tuple[str, ...]:
    """Those on the lane that it has in the first step."""
    definitions = control.store.current.definitions
    target = actions.capped(Target(percent=ratio.percent, routes=ratio.routes), release.steps[0].percent)
    share = ratio.model_copy(update={"percent": target.percent, "routes": target.routes})
    if not lane.enabled or share != ratio:
        with contextlib.suppress(DefinitionError):  # where there is no room, the start says so
            definitions = definitions.put(lane.model_copy(update={"enabled": True, "ratio": share}))
    return (await control.look(definitions)).of(key_of(lane))


def _key(request: Request) -> Key:
    return Key("Release", request.path_params["group"], request.path_params["release"])


def _found(definitions: Definitions, key: Key) -> Release:
    check_parent(definitions, key)
    document = found(definitions, key)
    assert isinstance(document, Release)
    return document
