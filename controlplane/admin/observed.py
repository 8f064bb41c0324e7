"""REST over what is observed: services of the registries, and connected proxies."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from controlplane.admin import bodies, lists, openapi, shapes, tags
from controlplane.admin.control import ControlPlane
from controlplane.admin.problems import ApiError
from controlplane.admin.proxy_answers import Proxies, ResourceFilter, ResourceType
from controlplane.model.problems import Problem
from controlplane.registry.names import AmbiguousService, UnknownService


def add_routes(routes: APIRouter, control: ControlPlane, watching: lists.Watching) -> None:
    """Lists of services and proxies, and one of each."""
    _services(routes, control, watching)
    _proxies(routes, control, watching)


def _services(routes: APIRouter, control: ControlPlane, watching: lists.Watching) -> None:
    def contents() -> lists.Contents:
        decided, warned = shapes.overrides(control), control.warnings().services
        known = sorted(control.services().items())
        conflicts = [control.conflicts(name) for name, _ in known]
        sources = [one.model_dump(mode="json") for one in shapes.sources(control)]

        def show(index: int) -> bytes:
            name, one = known[index]
            found = shapes.service(one, decided.get(name), conflicts[index], warned.get(name, ()))
            return found.model_dump_json(exclude_defaults=True).encode()

        lasting = [{name: value for name, value in one.items() if name != "age"} for one in sources]
        return lists.Contents(
            ("service",),
            [(name,) for name, _ in known],
            show,
            {"sources": sources},
            {"sources": lasting},
        )

    def mark() -> tuple[object, ...]:
        definitions = control.store.current.definitions
        return definitions, control.services(), control.warnings(definitions)

    collection = lists.Collection(watching, contents, mark, control.look)
    collection.add_route(routes, "/v1/services", "Services", "What the registries say")

    @routes.get(
        "/v1/services/{service:path}",
        operation_id="getService",
        tags=["observed"],
        summary="One service, by its canonical id or an unambiguous suffix",
        openapi_extra={"parameters": [openapi.path_parameter("service")]},
        responses={
            200: openapi.answer(openapi.reference("Service"), "Its instances", ETag="A weak entity tag"),
            **openapi.UNCHANGED,
            **openapi.failures(404, 409, 503),
        },
    )
    async def service(request: Request) -> Response:
        name = request.path_params["service"]
        try:
            one = control.resolve_service(name)
        except AmbiguousService as error:
            wrong = Problem(
                "service", "may be any of several", name, f"say which: {', '.join(error.candidates)}"
            )
            raise ApiError(409, str(error), wrong) from error
        except UnknownService as error:
            remedy = error.remedy or "see /v1/services"
            wrong = Problem("service", "is not known to any registry", name, remedy)
            raise ApiError(404, f"No registry knows the service {name[:200]}.", wrong) from error
        decided = shapes.overrides(control).get(one.id)
        warned = (await control.look()).services.get(one.id, ())
        shown = shapes.service(one, decided, control.conflicts(one.id), warned)
        body = shown.model_dump_json(exclude_defaults=True).encode()
        return tags.answer(request, body, tags.weak(body))


def _proxies(routes: APIRouter, control: ControlPlane, watching: lists.Watching) -> None:
    def contents() -> lists.Contents:
        found = sorted(control.proxies(), key=lambda one: (one.node, one.connected))
        return lists.Contents(
            ("node", "connected"),
            [(one.node, one.connected) for one in found],
            lambda index: found[index].model_dump_json(exclude_defaults=True).encode(),
        )

    seconds: list[int] = []

    def mark() -> tuple[object, ...]:
        """Another object every second: what proxies acknowledge is told nowhere."""
        now = int(asyncio.get_running_loop().time())
        if seconds[:1] != [now]:
            seconds[:] = [now]
        return (seconds[0],)

    collection = lists.Collection(watching, contents, mark)
    collection.add_route(routes, "/v1/proxies", "Proxies", "The connected Envoys, one item a stream")

    @routes.get(
        "/v1/proxies/{node:path}",
        operation_id="getProxy",
        tags=["observed"],
        summary="The streams of one node id, with what it does not have as the snapshot has it",
        openapi_extra={"parameters": [openapi.path_parameter("node")]},
        responses={
            200: openapi.answer(openapi.reference("Proxies"), "One item a stream"),
            **openapi.failures(404),
        },
    )
    async def proxy(request: Request) -> Response:
        node = request.path_params["node"]
        found = control.proxies(node)
        if not found:
            raise _not_connected(node)
        return await bodies.in_thread(request, lambda: Proxies(items=found).response())

    @routes.get(
        "/v1/configuration/{node:path}",
        operation_id="getConfiguration",
        tags=["observed"],
        summary="The resources that a proxy has been sent; those of one name with their content",
        openapi_extra={"parameters": [openapi.path_parameter("node")]},
        responses={
            200: openapi.answer(openapi.reference("Configurations"), "One item a stream"),
            **openapi.failures(404),
        },
    )
    async def configuration(
        request: Request,
        type_name: Annotated[
            ResourceType | None, Query(alias="type", description="Only resources of this type")
        ] = None,
        name: Annotated[
            str | None,
            Query(max_length=4096, description="Only resources of this name, with content; never of secrets"),
        ] = None,
    ) -> Response:
        node = request.path_params["node"]
        compose = control.configuration(node, ResourceFilter(type_name, name))
        if compose is None:
            raise _not_connected(node)
        return await bodies.in_thread(request, lambda: compose().response())


def _not_connected(node: str) -> ApiError:
    wrong = Problem("node", "is not the id of a connected proxy", node, "see /v1/proxies")
    return ApiError(404, f"No proxy with the node id {node[:200]} is connected.", wrong)
