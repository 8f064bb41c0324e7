"""REST over definitions: the paths of every kind of document, made from the table of kinds."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import JSONResponse

from controlplane.admin import bodies, lane_times, lists, openapi, shapes, tags
from controlplane.admin.changes import TAKE_OVER, caller_of, change
from controlplane.admin.control import ControlPlane
from controlplane.admin.paths import path
from controlplane.admin.problems import ApiError
from controlplane.admin.references import refuse_ambiguous
from controlplane.model import fields
from controlplane.model.definitions import AnyKind, Definitions, Key
from controlplane.model.documents import Lane
from controlplane.model.export import etag
from controlplane.model.kinds import KINDS, Kind
from controlplane.model.merging import patched
from controlplane.model.mistakes import meant
from controlplane.model.parsing import parse_document
from controlplane.model.problems import Problem
from controlplane.model.time_fields import Ttl, instant_of
from controlplane.release import actions


async def response(
    control: ControlPlane, definitions: Definitions, document: AnyKind, status: int = 200, location: str = ""
) -> Response:
    """The document after a change, with its own ETag; with Location if it was created."""
    headers = {"ETag": etag(document)}
    if location:
        headers["Location"] = location
    value = shapes.definition(definitions, document, await control.look(definitions), control.now())
    return JSONResponse(value, status, headers)


def found(definitions: Definitions, key: Key) -> AnyKind:
    """The document with the given `key`. Raises ApiError 404 if it, or its parent, does not exist."""
    document = definitions.get(key)
    if document is None:
        check_parent(definitions, key)
        detail = f"There is no {key}" + (f" in {key.parent}." if key.parent else ".")
        same = [one.name for one in _keys(definitions, key)]
        raise _absent(detail, KINDS[key.kind].parameter, key.name, same)
    return document


def check_parent(definitions: Definitions, key: Key) -> None:
    """Raises ApiError 404 if the parent in the URL does not exist."""
    parent = KINDS.get(KINDS[key.kind].parent)
    if parent is None:
        return
    known = [one.name for one in definitions.table(parent.name)]
    if key.parent not in known:
        detail = f"There is no {parent.words} {key.parent}."
        raise _absent(detail, parent.parameter, key.parent, sorted(known))


def _absent(detail: str, parameter: str, name: str, known: list[str]) -> ApiError:
    remedy = meant(name, known[:20], "known:") if known else "create it with PUT"
    return ApiError(404, detail, Problem(parameter, "does not exist", name, remedy))


def _keys(definitions: Definitions, key: Key) -> list[Key]:
    """The keys of all documents of the key's kind, and of its parent where it has one."""
    everywhere = not key.parent
    return sorted(one for one in definitions.table(key.kind) if everywhere or one.parent == key.parent)


class Endpoints:
    """The operations on one kind; names of the document and its parent come from the URL."""

    def __init__(self, control: ControlPlane, kind: Kind, watching: lists.Watching) -> None:
        self._control = control
        self._kind = kind
        self._watching = watching
        self._collections: dict[str, lists.Collection] = {}

    def _key(self, request: Request) -> Key:
        kind = self._kind
        parent = request.path_params.get(KINDS[kind.parent].parameter, "") if kind.parent else ""
        return Key(kind.name, parent, request.path_params.get(kind.parameter, ""))

    async def list(
        self,
        request: Request,
        limit: lists.Limit = None,
        after: lists.Continue = None,
        watch: lists.Watch = False,
    ) -> Response:
        key = self._key(request)
        definitions = self._control.store.current.definitions
        if key.parent:
            check_parent(definitions, key)
        return await self._collection(key).answer(request, limit, after, watch)

    def _collection(self, key: Key) -> lists.Collection:
        """The documents of a kind, all of them or those of one parent. Only what exists comes here, and what
        is gone is forgotten once there are many.
        """
        if len(self._collections) > MOST_PARENTS:
            self._collections.clear()
        if key.parent not in self._collections:
            control = self._control

            def mark() -> tuple[object, ...]:
                definitions = control.store.current.definitions
                return definitions, control.warnings(definitions), control.services(), control.resting()

            self._collections[key.parent] = lists.Collection(
                self._watching, lambda: self._contents(key), mark, control.look
            )
        return self._collections[key.parent]

    def _contents(self, key: Key) -> lists.Contents:
        definitions = self._control.store.current.definitions
        warnings, at = self._control.warnings(definitions), self._control.now()
        found = _keys(definitions, key)
        table = definitions.table(key.kind)
        several = bool(self._kind.owner) and not key.parent
        return lists.Contents(
            (self._kind.owner, "name") if several else ("name",),
            [(one.parent, one.name) if several else (one.name,) for one in found],
            lambda index: lists.encoded(shapes.definition(definitions, table[found[index]], warnings, at)),
        )

    async def get(self, request: Request) -> Response:
        definitions = self._control.store.current.definitions
        document = found(definitions, self._key(request))
        warnings = await self._control.look(definitions)
        value = shapes.definition(definitions, document, warnings, self._control.now())
        body = lists.encoded(value)
        return tags.answer(request, body, tags.of_definition(etag(document), body))

    async def put_lane(
        self, request: Request, take_over: Annotated[bool, Query(description=TAKE_OVER)] = False
    ) -> Response:
        return await self.put(request, (self._key(request).name,) if take_over else ())

    async def put(self, request: Request, take_over: tuple[str, ...] = ()) -> Response:
        key = self._key(request)
        check_parent(self._control.store.current.definitions, key)
        given = {"name": key.name} | ({self._kind.owner: key.parent} if key.parent else {})
        parsed = parse_document(await bodies.value(request), key.kind, given)
        refuse_ambiguous(self._control, [parsed.document])
        precondition = bodies.precondition(request)
        existed = False

        author = caller_of(request).name

        def transform(definitions: Definitions) -> Definitions:
            nonlocal existed
            check_parent(definitions, key)
            precondition(definitions, key)
            definitions = actions.taken_over(definitions, take_over, author, time.time())
            existed = definitions.get(key) is not None
            return definitions.put(*parsed)

        stored = await change(self._control, request, transform, labelled=False)
        location = "" if existed else request.url.path
        document = stored.definitions.get(key)
        assert document is not None, "a change answers with what it stored"
        return await response(self._control, stored.definitions, document, 200 if existed else 201, location)

    async def patch(self, request: Request) -> Response:
        key = self._key(request)
        patch = await bodies.value(request, patch=True)
        precondition = bodies.precondition(request)
        now = patched(found(self._control.store.current.definitions, key), patch)
        refuse_ambiguous(self._control, [now.document])

        def transform(definitions: Definitions) -> Definitions:
            document = found(definitions, key)
            precondition(definitions, key)
            return definitions.put(*patched(document, patch))

        stored = await change(self._control, request, transform, labelled=False)
        return await response(self._control, stored.definitions, found(stored.definitions, key))

    async def delete(self, request: Request) -> Response:
        key = self._key(request)
        precondition = bodies.precondition(request)

        def transform(definitions: Definitions) -> Definitions:
            found(definitions, key)
            precondition(definitions, key)
            return definitions.change([], [key])

        await change(self._control, request, transform)
        return Response(status_code=204)


def _with_parameters(kind: Kind, member: bool) -> dict[str, Any]:
    """The names in the path of one document, or of the collection of one parent's documents."""
    names = [KINDS[kind.parent].parameter] if kind.parent else []
    names += [kind.parameter] if member else []
    return {
        "parameters": [
            {
                "name": name,
                "in": "path",
                "required": True,
                "schema": {"type": "string", **openapi.NAME_SCHEMA},
            }
            for name in names
        ]
    }


MOST_PARENTS = 10_000
"""Parents whose collections are remembered."""
PRECONDITIONS: list[dict[str, Any]] = [
    {"name": name, "in": "header", "required": False, "schema": {"type": "string"}, "description": text}
    for name, text in (
        ("If-Match", "ETag that the definition must have, or * for any"),
        ("If-None-Match", "* : only if it does not exist"),
    )
]
IF_MATCH = PRECONDITIONS[0]


def add_routes(routes: APIRouter, control: ControlPlane, watching: lists.Watching) -> None:
    """The routes of every kind, and enable, disable and matches of lanes."""
    for kind in KINDS.values():
        _add(routes, Endpoints(control, kind, watching), kind)
    _add_lane_actions(routes, control)


def _add(routes: APIRouter, endpoints: Endpoints, kind: Kind) -> None:
    words, name = kind.words, kind.name
    collection, member = path(kind, False), path(kind, True)
    one = openapi.reference(name)
    labels: list[Any] = [kind.plural]
    parameters = _with_parameters(kind, True)
    guarded = {"parameters": [*parameters["parameters"], *PRECONDITIONS]}
    listed = {
        200: openapi.listed(openapi.items(name)),
        **openapi.UNCHANGED,
        **openapi.failures(404, 422, 503),
    }

    async def put_other(request: Request) -> Response:
        return await endpoints.put(request)

    put = endpoints.put_lane if name == "Lane" else put_other
    routes.add_api_route(
        collection, endpoints.list, methods=["GET"], operation_id=f"list{name}", summary=f"List {words}s",
        tags=labels, openapi_extra=_with_parameters(kind, False), responses=listed,
    )  # fmt: skip
    if kind.parent:
        routes.add_api_route(
            f"/v1/{kind.plural}", endpoints.list, methods=["GET"], operation_id=f"listEvery{name}",
            summary=f"List {words}s of every {KINDS[kind.parent].words}", tags=labels, responses=listed,
        )  # fmt: skip
    routes.add_api_route(
        member, endpoints.get, methods=["GET"], operation_id=f"get{name}", summary=f"Get {kind.one}",
        tags=labels, openapi_extra={"parameters": [*parameters["parameters"], *openapi.IF_NONE_MATCH]},
        responses={
            200: openapi.answer(one, "The definition", ETag="A weak entity tag, which covers the status too"),
            **openapi.UNCHANGED,
            **openapi.failures(404, 503),
        },
    )  # fmt: skip
    routes.add_api_route(
        member, put, methods=["PUT"], operation_id=f"put{name}",
        summary=f"Create or replace {kind.one}",
        tags=labels, openapi_extra=guarded | openapi.body(openapi.reference(f"{name}Body"), f"The {words}"),
        responses={
            200: openapi.answer(one, "Replaced, or left as it was", ETag="Its entity tag"),
            201: openapi.answer(one, "Created", ETag="Its entity tag", Location="Its path"),
            **openapi.failures(400, 404, 409, 412, 413, 415, 422, 503),
        },
    )  # fmt: skip
    routes.add_api_route(
        member, endpoints.patch, methods=["PATCH"], operation_id=f"patch{name}",
        summary=f"Change fields of {kind.one} by a merge patch (RFC 7396)",
        tags=labels, openapi_extra=guarded | openapi.patch(kind.model, f"What changes in the {words}"),
        responses={
            200: openapi.answer(one, "Changed, or left as it was", ETag="Its entity tag"),
            **openapi.failures(400, 404, 409, 412, 413, 415, 422, 503),
        },
    )  # fmt: skip
    routes.add_api_route(
        member, endpoints.delete, methods=["DELETE"], operation_id=f"delete{name}",
        summary=f"Delete {kind.one}",
        tags=labels, openapi_extra=guarded, status_code=204, response_class=Response,
        responses={204: {"description": "Deleted"}, **openapi.failures(404, 409, 412, 503)},
    )  # fmt: skip


def _add_lane_actions(routes: APIRouter, control: ControlPlane) -> None:
    parameters = _with_parameters(KINDS["Lane"], True)
    lane = path(KINDS["Lane"], True)
    shown_lane = openapi.answer(openapi.reference("Lane"), "The lane", ETag="Its entity tag")

    async def switch(request: Request, enabled: bool, until: str | None) -> Response:
        key = Key("Lane", request.path_params["group"], request.path_params["lane"])
        precondition = bodies.precondition(request)

        def transform(definitions: Definitions) -> Definitions:
            lane = found(definitions, key)
            precondition(definitions, key)
            assert isinstance(lane, Lane)
            if lane.enabled == enabled and lane.enabled_until == until:
                return definitions
            return definitions.put(lane.model_copy(update={"enabled": enabled, "enabled_until": until}))

        stored = await change(control, request, transform)
        return await response(control, stored.definitions, found(stored.definitions, key))

    async def enable(
        request: Request,
        ttl: Annotated[
            Ttl | None,
            Query(description="How long it stays enabled, such as 2h; without it, until it is disabled"),
        ] = None,
    ) -> Response:
        until = None if ttl is None else instant_of(control.now() + fields.seconds(ttl))
        return await switch(request, True, until)

    async def disable(request: Request) -> Response:
        return await switch(request, False, None)

    for word, endpoint in (("enable", enable), ("disable", disable)):
        routes.add_api_route(
            f"{lane}/{word}", endpoint, methods=["POST"], operation_id=f"{word}Lane",
            summary=f"{word.capitalize()} a lane", tags=["lanes"],
            openapi_extra={"parameters": [*parameters["parameters"], *PRECONDITIONS]},
            responses={200: shown_lane, **openapi.failures(404, 412, 422, 503)},
        )  # fmt: skip

    async def matches(request: Request) -> Response:
        key = Key("Lane", request.path_params["group"], request.path_params["lane"])
        lane = found(control.store.current.definitions, key)
        assert isinstance(lane, Lane)
        times, counted = lane_times.told(lane, control.now()), control.seen_in_lanes()
        return shapes.matches(control.matches(key.name), times, counted, key.name).response()

    async def matches_of_tag(request: Request, tag: Annotated[fields.Tag, Query()]) -> Response:
        group = request.path_params["group"]
        found(control.store.current.definitions, Key("LaneGroup", "", group))
        return shapes.matches(control.matches_of_tag(group, tag)).response()

    routes.add_api_route(
        f"{path(KINDS['LaneGroup'], True)}/matches", matches_of_tag, methods=["GET"],
        operation_id="matchTag", tags=["lanes"],
        summary="Instances that would serve a lane with this tag, before there is one",
        openapi_extra=_with_parameters(KINDS["LaneGroup"], True),
        responses={
            200: openapi.answer(openapi.reference("Matches"), "By application and service"),
            **openapi.failures(404, 422, 503),
        },
    )  # fmt: skip
    routes.add_api_route(
        f"{lane}/matches", matches, methods=["GET"], operation_id="matchLane", tags=["lanes"],
        summary="Instances that would serve the lane", openapi_extra=parameters,
        responses={
            200: openapi.answer(openapi.reference("Matches"), "By application and service"),
            **openapi.failures(404, 503),
        },
    )  # fmt: skip
