"""REST over traffic: by application, service, lane, gateway and route, and a stream of all at a glance."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import StreamingResponse

from controlplane.admin import bodies, openapi, traffic_shapes
from controlplane.admin.control import ControlPlane
from controlplane.admin.problems import ApiError
from controlplane.model.fields import seconds
from controlplane.model.problems import DefinitionError, Problem
from controlplane.registry.names import AmbiguousService, UnknownService
from controlplane.traffic.exchange import Interest, tell
from controlplane.traffic.figures import Window
from controlplane.traffic.series import COARSE, HISTORY, SLOT

DURATION = r"[0-9]{1,5}(s|m|h)"
MOST_STEPS = 720
MOST_STREAMS = 50
EVERY = 1.0
"""Seconds between two summaries of a stream."""
LOOK = 0.25
"""Seconds between two looks at whether definitions or services have changed."""

Asked = Annotated[
    str, Query(pattern=f"^{DURATION}$", description="How far back, at most 1h: 30s, 5m", max_length=8)
]
Each = Annotated[
    str,
    Query(
        pattern=f"^{DURATION}$",
        description="Length of a step, at least 5s; beyond the last 14 minutes at least 1m",
        max_length=8,
    ),
]

Slot = Annotated[int, Query(ge=0, le=1 << 40, description="Number of a slot: seconds since the epoch / 5")]
Names = Annotated[
    Sequence[str], Query(max_length=1_000, description="Series of these; of all if nothing is named")
]


def add_routes(routes: APIRouter, control: ControlPlane, stopping: asyncio.Event) -> None:
    """All of it for `control`. `stopping`: set when the server stops."""
    _targets(routes, control)
    _lanes(routes, control)
    _gateways(routes, control)
    _stream(routes, control, stopping)
    _own(routes, control)


def _window(control: ControlPlane, window: str, step: str) -> Window:
    """Raises DefinitionError 422."""
    found: list[float] = []
    for field, text, least, most in (("window", window, SLOT, HISTORY), ("step", step, SLOT, HISTORY)):
        value = seconds(text) if re.fullmatch(DURATION, text) else 0.0
        if not least <= value <= most:
            wrong = Problem(field, "is out of bounds", text, f"give {least}s to {most // 60}m")
            raise DefinitionError(422, f"The parameter {field} {wrong.message}.", [wrong])
        found.append(value)
    if found[0] / found[1] > MOST_STEPS:
        wrong = Problem("step", f"makes more than {MOST_STEPS} steps", step, "give a longer one")
        raise DefinitionError(422, f"The parameter step {wrong.message}.", [wrong])
    return control.traffic.window(*found)


def _absent(what: str, name: str) -> ApiError:
    wrong = Problem(what, "is not known", name[:200], f"see the {what}s that are defined or registered")
    return ApiError(404, f"There is no {what} {name[:200]}.", wrong)


def _targets(routes: APIRouter, control: ControlPlane) -> None:
    @routes.get(
        "/v1/metrics/applications/{application}",
        operation_id="applicationTraffic",
        tags=["traffic"],
        summary="Total, exception and gray QPS of an application, with latencies, by tag and lane",
        openapi_extra={"parameters": [openapi.path_parameter("application")]},
        responses={
            200: openapi.answer(openapi.reference("ApplicationTraffic"), "Its traffic"),
            **openapi.failures(404, 422, 503),
        },
    )
    async def application(request: Request, window: Asked = "5m", step: Each = "5s") -> Response:
        name = request.path_params["application"]
        within = _window(control, window, step)
        if name not in traffic_shapes.known_applications(control):
            raise _absent("application", name)
        seen = await control.everywhere(within, Interest(applications=frozenset({name})))
        return await bodies.in_thread(
            request, lambda: traffic_shapes.application(seen, name, within).response()
        )

    @routes.get(
        "/v1/metrics/services/{service:path}",
        operation_id="serviceTraffic",
        tags=["traffic"],
        summary="The traffic of one service, by tag and lane",
        openapi_extra={"parameters": [openapi.path_parameter("service")]},
        responses={
            200: openapi.answer(openapi.reference("ServiceTraffic"), "Its traffic"),
            **openapi.failures(404, 409, 422),
        },
    )
    async def service(request: Request, window: Asked = "5m", step: Each = "5s") -> Response:
        name = request.path_params["service"]
        within = _window(control, window, step)
        try:
            one = control.resolve_service(name).id
        except AmbiguousService as error:
            remedy = f"say which: {', '.join(error.candidates)}"
            raise ApiError(
                409, str(error), Problem("service", "may be any of several", name, remedy)
            ) from error
        except UnknownService as error:
            raise _absent("service", name) from error
        seen = await control.everywhere(within, Interest(services=frozenset({one})))
        return await bodies.in_thread(request, lambda: traffic_shapes.service(seen, one, within).response())


def _lanes(routes: APIRouter, control: ControlPlane) -> None:
    @routes.get(
        "/v1/metrics/lanes/{lane}",
        operation_id="laneTraffic",
        tags=["traffic"],
        summary="A lane beside base: share, errors, latencies, fallbacks and refusals",
        openapi_extra={"parameters": [openapi.path_parameter("lane")]},
        responses={
            200: openapi.answer(openapi.reference("LaneTraffic"), "Its traffic"),
            **openapi.failures(404, 422, 503),
        },
    )
    async def lane(request: Request, window: Asked = "5m", step: Each = "5s") -> Response:
        name = request.path_params["lane"]
        within = _window(control, window, step)
        definitions = control.store.current.definitions
        one = definitions.lanes.get(name)
        if one is None:
            raise _absent("lane", name)
        group = definitions.groups[one.group]
        of = Interest(applications=frozenset(group.applications), gateways=frozenset({group.gateway}))
        seen = await control.everywhere(within, of)
        return await bodies.in_thread(
            request, lambda: traffic_shapes.lane(control, seen, one, group, within).response()
        )


def _gateways(routes: APIRouter, control: ControlPlane) -> None:
    @routes.get(
        "/v1/metrics/gateways/{gateway}",
        operation_id="gatewayTraffic",
        tags=["traffic"],
        summary="The traffic of a gateway's edges, by route, lane and tag",
        openapi_extra={"parameters": [openapi.path_parameter("gateway")]},
        responses={
            200: openapi.answer(openapi.reference("GatewayTraffic"), "Its traffic"),
            **openapi.failures(404, 422, 503),
        },
    )
    async def gateway(request: Request, window: Asked = "5m", step: Each = "5s") -> Response:
        name = request.path_params["gateway"]
        within = _window(control, window, step)
        if name not in control.store.current.definitions.gateways:
            raise _absent("gateway", name)
        seen = await control.everywhere(within, Interest(gateways=frozenset({name})))
        return await bodies.in_thread(request, lambda: traffic_shapes.gateway(seen, name, within).response())

    @routes.get(
        "/v1/metrics/gateways/{gateway}/routes/{route}",
        operation_id="routeTraffic",
        tags=["traffic"],
        summary="The traffic of a base route, by lane and tag",
        openapi_extra={"parameters": [openapi.path_parameter("gateway"), openapi.path_parameter("route")]},
        responses={
            200: openapi.answer(openapi.reference("RouteTraffic"), "Its traffic"),
            **openapi.failures(404, 422, 503),
        },
    )
    async def route(request: Request, window: Asked = "5m", step: Each = "5s") -> Response:
        gateway, name = request.path_params["gateway"], request.path_params["route"]
        within = _window(control, window, step)
        if (gateway, name) not in control.store.current.definitions.routes:
            raise _absent("route", name)
        seen = await control.everywhere(within, Interest(gateways=frozenset({gateway})))
        return await bodies.in_thread(
            request, lambda: traffic_shapes.route(seen, gateway, name, within).response()
        )


def _stream(routes: APIRouter, control: ControlPlane, stopping: asyncio.Event) -> None:
    latest: tuple[float, bytes] = (0.0, b"")
    open_streams = 0

    async def glance() -> bytes:
        definitions, window = control.store.current.definitions, traffic_shapes.at_a_glance(control)
        seen = await control.everywhere(window, Interest())
        made = await asyncio.to_thread(traffic_shapes.summary, seen, definitions, window)
        return made.model_dump_json(exclude_defaults=True).encode()

    async def event() -> bytes:
        """The summary, made once for all who ask within a second."""
        nonlocal latest
        now = asyncio.get_running_loop().time()
        if now - latest[0] >= EVERY / 2:
            latest = now, b""
            made = await glance()
            latest = now, made
        return latest[1]

    @routes.get(
        "/v1/metrics/summary",
        operation_id="trafficSummary",
        tags=["traffic"],
        summary="Every gateway, application and lane in the last ten seconds",
        responses={
            200: openapi.answer(openapi.reference("TrafficSummary"), "At a glance"),
            **openapi.failures(503),
        },
    )
    async def summary() -> Response:
        return Response(await glance(), media_type="application/json")

    @routes.get(
        "/v1/metrics/stream",
        operation_id="trafficStream",
        tags=["traffic"],
        summary="The same every second, as server-sent events named summary; and one named changed, with the "
        "revision, when definitions or services are others",
        response_class=Response,
        responses={
            200: openapi.answer({}, "Events without end, each a TrafficSummary", "text/event-stream"),
            **openapi.failures(503),
        },
    )
    async def stream() -> Response:
        nonlocal open_streams
        if open_streams >= MOST_STREAMS:
            wrong = Problem(
                "", f"would be one of more than {MOST_STREAMS} streams", None, "close others first"
            )
            raise ApiError(503, f"The request {wrong.message}.", wrong, {"Retry-After": "5"})
        _ = control.store  # so that what is wrong is answered with its status

        async def events() -> AsyncIterator[bytes]:
            nonlocal open_streams
            open_streams += 1
            loop = asyncio.get_running_loop()
            seen: tuple[object, object] = (None, None)
            due = loop.time()
            try:
                while not stopping.is_set():
                    current = control.store.current
                    now = (current.definitions, control.services())
                    if now[0] is not seen[0] or now[1] is not seen[1]:
                        seen = now
                        yield b'event: changed\ndata: {"revision":%d}\n\n' % current.revision
                    if loop.time() >= due:
                        due = loop.time() + EVERY
                        if made := await event():
                            yield b"event: summary\ndata: " + made + b"\n\n"
                    await asyncio.sleep(LOOK)
            finally:
                open_streams -= 1

        return StreamingResponse(
            events(), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )


def _own(routes: APIRouter, control: ControlPlane) -> None:
    @routes.get(
        "/v1/metrics/own",
        operation_id="ownTraffic",
        tags=["traffic"],
        summary="What this control plane has counted itself; the others ask for it",
        responses={
            200: openapi.answer(openapi.reference("OwnTraffic"), "Its series in that window"),
            **openapi.failures(422),
        },
    )
    async def own(
        request: Request,
        first: Slot,
        last: Slot,
        step: Annotated[int, Query(ge=1, le=HISTORY // SLOT, description="Slots of a step")],
        application: Names = (),
        service: Names = (),
        gateway: Names = (),
        lanes: Annotated[bool, Query(description="Only what callers counted in lanes")] = False,
    ) -> Response:
        if not first < last <= first + HISTORY // SLOT + COARSE:
            wrong = Problem(
                "last", "is out of bounds", last, "give a slot after first, at most an hour later"
            )
            raise DefinitionError(422, f"The parameter last {wrong.message}.", [wrong])
        window = Window(first, last, step)
        of = Interest(frozenset(application), frozenset(service), frozenset(gateway), lanes)
        connected = control.reporters()

        def made() -> Response:
            told = tell(control.traffic, connected, window, of)
            return traffic_shapes.own(control.identity, told).response()

        return await bodies.in_thread(request, made)
