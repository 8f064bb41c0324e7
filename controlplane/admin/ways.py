"""REST over single requests: the way of one of them, and who of the applications loses the lane."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Request, Response

from controlplane.admin import bodies, openapi, way_answers
from controlplane.admin.control import ControlPlane
from controlplane.admin.problems import ApiError
from controlplane.admin.way_answers import PropagationRequest, TraceRequest
from controlplane.model.parsing import validate
from controlplane.model.problems import DefinitionError, Problem
from controlplane.tracing.watches import TooMany, Watch
from controlplane.tracing.way import way

BODY_BYTES = 4 << 10


def add_routes(routes: APIRouter, control: ControlPlane) -> None:
    """All of it for `control`."""
    _traces(routes, control)
    _propagation(routes, control)


def _unknown(kind: str, field: str, name: str, known: Any) -> DefinitionError:
    remedy = f"known: {', '.join(sorted(known)[:10])}" if known else "create one first"
    wrong = Problem(field, f"is not a known {kind}", name, remedy)
    return DefinitionError(422, f"There is no {kind} {name}", [wrong])


def _too_many(error: TooMany) -> ApiError:
    wrong = Problem("", "would be one watch too many", None, "wait for one of them to end")
    return ApiError(409, f"{error}.", wrong, {"Retry-After": "10"})


def _traces(routes: APIRouter, control: ControlPlane) -> None:
    def found(request: Request) -> Watch:
        identity = request.path_params["trace"]
        watch = control.watch(identity)
        if watch is None or not watch.token:
            wrong = Problem(
                "trace", "is not known", identity[:100], "it is kept for five minutes: begin anew"
            )
            raise ApiError(404, "There is no such trace.", wrong)
        return watch

    @routes.post(
        "/v1/traces",
        operation_id="beginTrace",
        tags=["traces"],
        summary="Have the way of one request reported",
        status_code=201,
        openapi_extra=openapi.body(openapi.reference("TraceRequest"), "Where the request will come in"),
        responses={
            201: openapi.answer(
                openapi.reference("TraceBegun"), "The header that the request must carry; proxies are ready"
            ),
            **openapi.failures(400, 409, 413, 415, 422, 503),
        },
    )
    async def begin(request: Request) -> Response:
        asked = validate(TraceRequest, await bodies.value(request, BODY_BYTES))
        assert isinstance(asked, TraceRequest)
        gateways = control.store.current.definitions.gateways
        if asked.gateway not in gateways:
            raise _unknown("gateway", "gateway", asked.gateway, gateways)
        try:
            watch = await control.begin_trace(asked.gateway, asked.seconds)
        except TooMany as error:
            raise _too_many(error) from None
        return way_answers.begun(watch, time.monotonic()).response(201)

    @routes.get(
        "/v1/traces/{trace}",
        operation_id="getTrace",
        tags=["traces"],
        summary="The way of the request, as far as proxies have reported it",
        openapi_extra={"parameters": [_parameter]},
        responses={
            200: openapi.answer(openapi.reference("Trace"), "Hop by hop"),
            **openapi.failures(404),
        },
    )
    async def get(request: Request) -> Response:
        watch = found(request)
        reports, running = list(watch.reports), watch.until > time.monotonic()
        return await bodies.in_thread(
            request, lambda: way_answers.trace(watch, way(reports), running).response()
        )

    @routes.delete(
        "/v1/traces/{trace}",
        operation_id="endTrace",
        tags=["traces"],
        summary="Have the proxies report no more; what they reported can be read for five minutes",
        status_code=204,
        openapi_extra={"parameters": [_parameter]},
        responses={204: {"description": "Ended"}, **openapi.failures(404)},
    )
    async def end(request: Request) -> Response:
        control.end_watch(found(request))
        return Response(status_code=204)


_parameter = {"name": "trace", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _propagation(routes: APIRouter, control: ControlPlane) -> None:
    @routes.post(
        "/v1/propagation",
        operation_id="observePropagation",
        tags=["traces"],
        summary="Observe for some seconds which applications hand on the lane",
        status_code=202,
        openapi_extra=openapi.body(openapi.reference("PropagationRequest"), "How long, and which group"),
        responses={
            202: openapi.answer(openapi.reference("Propagation"), "The observation runs"),
            **openapi.failures(400, 409, 413, 415, 422, 503),
        },
    )
    async def observe(request: Request) -> Response:
        asked = validate(PropagationRequest, await bodies.value(request, BODY_BYTES))
        assert isinstance(asked, PropagationRequest)
        groups = control.store.current.definitions.groups
        if asked.group is not None and asked.group not in groups:
            raise _unknown("lane group", "group", asked.group, groups)
        try:
            await control.observe(asked.seconds, asked.group)
        except TooMany as error:
            raise _too_many(error) from None
        return way_answers.propagation(control.propagation()).response(202)

    @routes.delete(
        "/v1/propagation",
        operation_id="endPropagation",
        tags=["traces"],
        summary="End the observation before its time; what it saw until then is judged",
        status_code=204,
        responses={204: {"description": "Ended"}, **openapi.failures(503)},
    )
    async def end() -> Response:
        control.end_observation()
        return Response(status_code=204)

    @routes.get(
        "/v1/propagation",
        operation_id="getPropagation",
        tags=["traces"],
        summary="Which applications hand on the lane, as the last observation saw it",
        responses={
            200: openapi.answer(openapi.reference("Propagation"), "By application and called service"),
            **openapi.failures(503),
        },
    )
    async def get() -> Response:
        return way_answers.propagation(control.propagation()).response()
