"""REST over definitions: the paths of every kind of document, made from the table of kinds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import JSONResponse

from controlplane.admin import bodies, openapi, shapes
from controlplane.admin.control import ControlPlane
from controlplane.admin.problems import ApiError
from controlplane.admin.references import refuse_ambiguous
from controlplane.model import fields
from controlplane.model.definitions import AnyKind, Definitions, Key
from controlplane.model.documents import Gateway, Lane
from controlplane.model.export import etag
from controlplane.model.kinds import KINDS, Kind
from controlplane.model.mistakes import meant
from controlplane.model.parsing import parse_document
from controlplane.model.problems import Problem
from controlplane.store.interface import Stored


def response(
    control: ControlPlane, definitions: Definitions, document: AnyKind, status: int = 200, location: str = ""
) -> Response:
    """The document with its ETag; with Location if it was created."""
    headers = {"ETag": etag(definitions, document)}
    if location:
        headers["Location"] = location
    value = shapes.definition(definitions, document, control.warnings(definitions))
    return JSONResponse(value, status, headers)


def found(definitions: Definitions, key: Key) -> AnyKind:
    """The document with the given `key`. Raises ApiError 404 if it, or its parent, does not exist."""
    document = definitions.get(key)
    if document is None:
        check_parent(definitions, key)
        detail = f"There is no {key}" + (f" in {key.parent}." if key.parent else ".")
        same = [one.name for one in _collection(definitions, key)]
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


def _collection(definitions: Definitions, key: Key) -> Iterator[AnyKind]:
    """The documents of the key's kind and parent, by name."""
    table = definitions.table(key.kind)
    return (table[one] for one in sorted(table) if one.parent == key.parent)


class Endpoints:
    """The operations on one kind; names of the document and its parent come from the URL."""

    def __init__(self, control: ControlPlane, kind: Kind) -> None:
        self._control = control
        self._kind = kind

    def _key(self, request: Request) -> Key:
        kind = self._kind
        parent = request.path_params[KINDS[kind.parent].parameter] if kind.parent else ""
        return Key(kind.name, parent, request.path_params.get(kind.parameter, ""))

    async def list(self, request: Request) -> Response:
        definitions = self._control.store.current.definitions
        key = self._key(request)
        check_parent(definitions, key)

        warnings = self._control.warnings(definitions)

        def listed() -> Response:
            shown = [shapes.definition(definitions, one, warnings) for one in _collection(definitions, key)]
            return JSONResponse({"items": shown})

        return await bodies.in_thread(request, listed)

    async def get(self, request: Request) -> Response:
        definitions = self._control.store.current.definitions
        return response(self._control, definitions, found(definitions, self._key(request)))

    async def put(self, request: Request) -> Response:
        key = self._key(request)
        check_parent(self._control.store.current.definitions, key)
        given = {"name": key.name} | ({self._kind.owner: key.parent} if key.parent else {})
        parsed = parse_document(await bodies.value(request), key.kind, given)
        refuse_ambiguous(self._control, [parsed.document])
        precondition = bodies.precondition(request)
        existed = False
        if isinstance(parsed.document, Gateway):
            await self._control.check(self._control.store.current.definitions.put(*parsed), labelled=False)

        def transform(definitions: Definitions) -> Definitions:
            nonlocal existed
            check_parent(definitions, key)
            precondition(definitions, key)
            existed = definitions.get(key) is not None
            return definitions.put(*parsed)

        stored = await change(self._control, request, transform)
        location = "" if existed else request.url.path
        document = stored.definitions.get(key)
        assert document is not None, "a change answers with what it stored"
        return response(self._control, stored.definitions, document, 200 if existed else 201, location)

    async def delete(self, request: Request) -> Response:
        key = self._key(request)
        precondition = bodies.precondition(request)

        def transform(definitions: Definitions) -> Definitions:
            found(definitions, key)
            precondition(definitions, key)
            return definitions.change([], [key])

        await change(self._control, request, transform)
        return Response(status_code=204)


async def change(control: ControlPlane, request: Request, transform: Any, note: str = "") -> Stored:
    """Make a change under the name of the caller's token."""
    return await control.store.change(transform, request.scope["state"]["author"], note)


def _with_parameters(kind: Kind, member: bool) -> dict[str, Any]:
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


def _path(kind: Kind, member: bool) -> str:
    """The path of all documents of a kind (under one parent), or of one of them."""
    parent = _path(KINDS[kind.parent], True) if kind.parent else "/v1"
    return f"{parent}/{kind.plural}" + (f"/{{{kind.parameter}}}" if member else "")


PRECONDITIONS = [
    {"name": name, "in": "header", "required": False, "schema": {"type": "string"}, "description": text}
    for name, text in (
        ("If-Match", "ETag that the definition must have, or * for any"),
        ("If-None-Match", "* : only if it does not exist"),
    )
]


def add_routes(routes: APIRouter, control: ControlPlane) -> None:
    """The routes of every kind, and enable, disable and matches of lanes."""
    for kind in KINDS.values():
        _add(routes, Endpoints(control, kind), kind)
    _add_lane_actions(routes, control)


def _add(routes: APIRouter, endpoints: Endpoints, kind: Kind) -> None:
    words, name = kind.words, kind.name
    collection, member = _path(kind, False), _path(kind, True)
    one = openapi.reference(name)
    tags: list[Any] = [kind.plural]
    parameters = _with_parameters(kind, True)
    guarded = {"parameters": [*parameters["parameters"], *PRECONDITIONS]}
    routes.add_api_route(
        collection, endpoints.list, methods=["GET"], operation_id=f"list{name}", summary=f"List {words}s",
        tags=tags, openapi_extra=_with_parameters(kind, False),
        responses={200: openapi.answer(openapi.items(name), "All of them"), **openapi.failures(404, 503)},
    )  # fmt: skip
    routes.add_api_route(
        member, endpoints.get, methods=["GET"], operation_id=f"get{name}", summary=f"Get {kind.one}",
        tags=tags, openapi_extra=parameters,
        responses={
            200: openapi.answer(one, "The definition", ETag="Its entity tag"),
            **openapi.failures(404, 503),
        },
    )  # fmt: skip
    routes.add_api_route(
        member, endpoints.put, methods=["PUT"], operation_id=f"put{name}",
        summary=f"Create or replace {kind.one}",
        tags=tags, openapi_extra=guarded | openapi.body(openapi.reference(f"{name}Body"), f"The {words}"),
        responses={
            200: openapi.answer(one, "Replaced, or left as it was", ETag="Its entity tag"),
            201: openapi.answer(one, "Created", ETag="Its entity tag", Location="Its path"),
            **openapi.failures(400, 404, 409, 412, 413, 415, 422, 503),
        },
    )  # fmt: skip
    routes.add_api_route(
        member, endpoints.delete, methods=["DELETE"], operation_id=f"delete{name}",
        summary=f"Delete {kind.one}",
        tags=tags, openapi_extra=guarded, status_code=204, response_class=Response,
        responses={204: {"description": "Deleted"}, **openapi.failures(404, 409, 412, 503)},
    )  # fmt: skip


def _add_lane_actions(routes: APIRouter, control: ControlPlane) -> None:
    parameters = _with_parameters(KINDS["Lane"], True)
    path = _path(KINDS["Lane"], True)
    shown_lane = openapi.answer(openapi.reference("Lane"), "The lane", ETag="Its entity tag")

    def switch(enabled: bool) -> Any:
        async def endpoint(request: Request) -> Response:
            key = Key("Lane", request.path_params["group"], request.path_params["lane"])
            precondition = bodies.precondition(request)

            def transform(definitions: Definitions) -> Definitions:
                lane = found(definitions, key)
                precondition(definitions, key)
                assert isinstance(lane, Lane)
                if lane.enabled == enabled:
                    return definitions
                return definitions.put(lane.model_copy(update={"enabled": enabled}))

            stored = await change(control, request, transform)
            return response(control, stored.definitions, found(stored.definitions, key))

        return endpoint

    for word, enabled in (("enable", True), ("disable", False)):
        routes.add_api_route(
            f"{path}/{word}", switch(enabled), methods=["POST"], operation_id=f"{word}Lane",
            summary=f"{word.capitalize()} a lane", tags=["lanes"],
            openapi_extra={"parameters": [*parameters["parameters"], *PRECONDITIONS]},
            responses={200: shown_lane, **openapi.failures(404, 412, 422, 503)},
        )  # fmt: skip

    async def matches(request: Request) -> Response:
        key = Key("Lane", request.path_params["group"], request.path_params["lane"])
        found(control.store.current.definitions, key)
        return shapes.matches(control.matches(key.name)).response()

    async def matches_of_tag(request: Request, tag: Annotated[fields.Tag, Query()]) -> Response:
        group = request.path_params["group"]
        found(control.store.current.definitions, Key("LaneGroup", "", group))
        return shapes.matches(control.matches_of_tag(group, tag)).response()

    routes.add_api_route(
        f"{_path(KINDS['LaneGroup'], True)}/matches", matches_of_tag, methods=["GET"],
        operation_id="matchTag", tags=["lanes"],
        summary="Instances that would serve a lane with this tag, before there is one",
        openapi_extra=_with_parameters(KINDS["LaneGroup"], True),
        responses={
            200: openapi.answer(openapi.reference("Matches"), "By application and service"),
            **openapi.failures(404, 422, 503),
        },
    )  # fmt: skip
    routes.add_api_route(
        f"{path}/matches", matches, methods=["GET"], operation_id="matchLane", tags=["lanes"],
        summary="Instances that would serve the lane", openapi_extra=parameters,
        responses={
            200: openapi.answer(openapi.reference("Matches"), "By application and service"),
            **openapi.failures(404, 503),
        },
    )  # fmt: skip
