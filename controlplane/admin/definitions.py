"""REST over definitions: the paths of the five kinds of documents, made from one description."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse

from controlplane.admin import bodies, openapi
from controlplane.admin.control import ControlPlane
from controlplane.admin.problems import ApiError
from controlplane.admin.references import refuse_ambiguous
from controlplane.model.definitions import AnyKind, Definitions, Key, key_of
from controlplane.model.documents import Lane
from controlplane.model.export import etag, shown
from controlplane.model.mistakes import meant
from controlplane.model.parsing import parse_document
from controlplane.model.problems import Problem
from controlplane.store.interface import Stored


@dataclass(frozen=True)
class Resource:
    """A kind in URLs: `/v1/<plural>`, or `/v1/<parents>/{parent}/<plural>` for what has a parent.

    `field` is the document's field that names the parent, and the word for it.
    """

    kind: str
    plural: str
    parents: str = ""
    parent_kind: str = ""
    field: str = ""

    @property
    def words(self) -> str:
        """What the kind is called in sentences."""
        return {"LaneGroup": "lane group"}.get(self.kind, self.kind.lower())


RESOURCES = (
    Resource("Gateway", "gateways"),
    Resource("Route", "routes", "gateways", "Gateway", "gateway"),
    Resource("Application", "applications"),
    Resource("LaneGroup", "lane-groups"),
    Resource("Lane", "lanes", "lane-groups", "LaneGroup", "group"),
)
PARAMETERS = {
    "Gateway": "gateway",
    "Route": "route",
    "Application": "application",
    "LaneGroup": "group",
    "Lane": "lane",
}


def response(definitions: Definitions, document: AnyKind, status: int = 200, location: str = "") -> Response:
    """The document with its ETag, and Location where it was created."""
    headers = {"ETag": etag(definitions, document)}
    if location:
        headers["Location"] = location
    return JSONResponse(shown(definitions, document), status, headers)


def found(definitions: Definitions, key: Key) -> AnyKind:
    """The document of `key`. Raises ApiError 404, for an unknown parent, too."""
    document = definitions.get(key)
    if document is None:
        check_parent(definitions, key)
        detail = f"There is no {key}" + (f" in {key.parent}." if key.parent else ".")
        same = [one.name for one in _collection(definitions, key)]
        raise _absent(detail, PARAMETERS[key.kind], key.name, same)
    return document


def check_parent(definitions: Definitions, key: Key) -> None:
    """Raises ApiError 404 if the parent in the URL is absent."""
    parents = {"Route": ("gateway", definitions.gateways), "Lane": ("lane group", definitions.groups)}
    if key.kind in parents:
        words, known = parents[key.kind]
        if key.parent not in known:
            parameter = "gateway" if key.kind == "Route" else "group"
            raise _absent(f"There is no {words} {key.parent}.", parameter, key.parent, sorted(known))


def _absent(detail: str, parameter: str, name: str, known: list[str]) -> ApiError:
    remedy = meant(name, known[:20], "known:") if known else "create it with PUT"
    return ApiError(404, detail, Problem(parameter, "does not exist", name, remedy))


def _collection(definitions: Definitions, key: Key) -> Iterator[AnyKind]:
    """The documents of the key's kind and parent."""
    for document in definitions.documents():
        if document.kind == key.kind and key_of(document).parent == key.parent:
            yield document


class Endpoints:
    """The operations on one Resource; `name` and `parent` come from the URL."""

    def __init__(self, control: ControlPlane, resource: Resource) -> None:
        self._control = control
        self._resource = resource

    def _key(self, request: Request) -> Key:
        kind = self._resource.kind
        parent = request.path_params[PARAMETERS[self._resource.parent_kind]] if self._resource.parents else ""
        return Key(kind, parent, request.path_params.get(PARAMETERS[kind], ""))

    async def list(self, request: Request) -> Response:
        definitions = self._control.store.current.definitions
        key = self._key(request)
        check_parent(definitions, key)
        return JSONResponse({"items": [shown(definitions, one) for one in _collection(definitions, key)]})

    async def get(self, request: Request) -> Response:
        definitions = self._control.store.current.definitions
        return response(definitions, found(definitions, self._key(request)))

    async def put(self, request: Request) -> Response:
        key = self._key(request)
        check_parent(self._control.store.current.definitions, key)
        given = {"name": key.name} | ({self._resource.field: key.parent} if key.parent else {})
        parsed = parse_document(await bodies.value(request), key.kind, given)
        refuse_ambiguous(self._control, [parsed.document])
        precondition = bodies.precondition(request)
        existed = False

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
        return response(stored.definitions, document, 200 if existed else 201, location)

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
    """Run a change in the name of who asks for it."""
    return await control.store.change(transform, request.scope["state"]["author"], note)


def _with_parameters(resource: Resource, member: bool) -> dict[str, Any]:
    names = [PARAMETERS[resource.parent_kind]] if resource.parents else []
    names += [PARAMETERS[resource.kind]] if member else []
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


PRECONDITIONS = [
    {"name": name, "in": "header", "required": False, "schema": {"type": "string"}, "description": text}
    for name, text in (
        ("If-Match", "ETag that the definition must have, or * for any"),
        ("If-None-Match", "* : only if it does not exist"),
    )
]


def add_routes(routes: APIRouter, control: ControlPlane) -> None:
    """The routes of every Resource, and enable, disable and matches of lanes."""
    for resource in RESOURCES:
        _add(routes, Endpoints(control, resource), resource)
    _add_lane_actions(routes, control)


def _add(routes: APIRouter, endpoints: Endpoints, resource: Resource) -> None:
    words, kind = resource.words, resource.kind
    prefix = f"/v1/{resource.parents}/{{{PARAMETERS[resource.parent_kind]}}}" if resource.parents else "/v1"
    collection = f"{prefix}/{resource.plural}"
    member = f"{collection}/{{{PARAMETERS[kind]}}}"
    one = openapi.reference(kind)
    tags: list[Any] = [resource.plural]
    parameters = _with_parameters(resource, True)
    guarded = {"parameters": [*parameters["parameters"], *PRECONDITIONS]}
    routes.add_api_route(
        collection, endpoints.list, methods=["GET"], operation_id=f"list{kind}", summary=f"List {words}s",
        tags=tags, openapi_extra=_with_parameters(resource, False),
        responses={200: openapi.answer(openapi.items(kind), "All of them"), **openapi.failures(404)},
    )  # fmt: skip
    routes.add_api_route(
        member, endpoints.get, methods=["GET"], operation_id=f"get{kind}", summary=f"Get a {words}",
        tags=tags, openapi_extra=parameters,
        responses={
            200: openapi.answer(one, "The definition", ETag="Its entity tag"),
            **openapi.failures(404),
        },
    )  # fmt: skip
    routes.add_api_route(
        member, endpoints.put, methods=["PUT"], operation_id=f"put{kind}",
        summary=f"Create or replace a {words}",
        tags=tags, openapi_extra=guarded | openapi.body(openapi.reference(f"{kind}Body"), f"The {words}"),
        responses={
            200: openapi.answer(one, "Replaced, or left as it was", ETag="Its entity tag"),
            201: openapi.answer(one, "Created", ETag="Its entity tag", Location="Its path"),
            **openapi.failures(400, 404, 409, 412, 413, 415, 422, 503),
        },
    )  # fmt: skip
    routes.add_api_route(
        member, endpoints.delete, methods=["DELETE"], operation_id=f"delete{kind}",
        summary=f"Delete a {words}",
        tags=tags, openapi_extra=guarded, status_code=204, response_class=Response,
        responses={204: {"description": "Deleted"}, **openapi.failures(404, 409, 412, 503)},
    )  # fmt: skip


def _add_lane_actions(routes: APIRouter, control: ControlPlane) -> None:
    lane_resource = RESOURCES[-1]
    parameters = _with_parameters(lane_resource, True)
    path = "/v1/lane-groups/{group}/lanes/{lane}"
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
            return response(stored.definitions, found(stored.definitions, key))

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
        return JSONResponse(control.matches(key.name))

    routes.add_api_route(
        f"{path}/matches", matches, methods=["GET"], operation_id="matchLane", tags=["lanes"],
        summary="Instances that would serve the lane", openapi_extra=parameters,
        responses={
            200: openapi.answer(openapi.reference("Matches"), "By application and service"),
            **openapi.failures(404),
        },
    )  # fmt: skip
