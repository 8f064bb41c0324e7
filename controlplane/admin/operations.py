"""REST over everything else: apply, export, explain, health and metrics."""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from prometheus_client import CollectorRegistry, exposition
from prometheus_client.openmetrics import exposition as openmetrics

from controlplane.admin import (
    answers,
    bodies,
    explaining,
    lane_times,
    lists,
    observed,
    openapi,
    removal,
    revisions,
    shapes,
)
from controlplane.admin.changes import TAKE_OVER, DryRun, Note, caller_of, change_or_try
from controlplane.admin.control import ControlPlane, ExplainRequest
from controlplane.admin.problems import MEDIA_TYPE, not_ready
from controlplane.admin.references import refuse_ambiguous
from controlplane.model import fields
from controlplane.model.definitions import Applied, Definitions, Key
from controlplane.model.documents import Lane
from controlplane.model.export import export
from controlplane.model.parsing import validate
from controlplane.model.problems import DefinitionError, Problem
from controlplane.model.time_fields import Instant, seconds_of
from controlplane.release import actions
from controlplane.store.history import changes_between

OPENMETRICS = "application/openmetrics-text"
EXPLAIN_BYTES = 512 << 10  # eight times the headers that an edge takes


def add_routes(
    routes: APIRouter, control: ControlPlane, metrics: CollectorRegistry, watching: lists.Watching
) -> None:
    """All of it for `control`; `metrics` is what /metrics shows."""
    _definitions(routes, control)
    revisions.add_routes(routes, control)
    removal.add_routes(routes, control)
    observed.add_routes(routes, control, watching)
    _health(routes, control, metrics)


def _definitions(routes: APIRouter, control: ControlPlane) -> None:
    any_document = openapi.reference("AnyDocument")
    many = openapi.body(
        {"anyOf": [any_document, {"type": "array", "items": any_document}]},
        "Documents in any order: a YAML stream, or a JSON object or array",
    )

    @routes.post(
        "/v1/apply",
        operation_id="apply",
        tags=["definitions"],
        summary="Create or change many definitions, all or nothing",
        openapi_extra=many,
        responses={
            200: openapi.answer(openapi.reference("Applied"), "What was or would be done, as kind/name"),
            **openapi.failures(400, 409, 413, 415, 422, 503),
        },
    )
    async def apply(
        request: Request,
        dry_run: DryRun = False,
        prune_gateway: Annotated[
            list[fields.Name],
            Query(description="Delete routes, groups and lanes of this gateway that no document defines"),
        ] = [],  # noqa: B006 - FastAPI reads the default, nothing changes it
        prune_group: Annotated[
            list[fields.Name], Query(description="Delete lanes of this group that no document defines")
        ] = [],  # noqa: B006 - as above
        note: Note = "",
        take_over: Annotated[bool, Query(description=TAKE_OVER)] = False,
    ) -> Response:
        parsed = await bodies.documents(request)
        refuse_ambiguous(control, [one.document for one in parsed], labelled=True)
        applied: list[Applied] = []
        based: list[Definitions] = []
        prune = [Key("Gateway", "", one) for one in prune_gateway]
        prune += [Key("LaneGroup", "", one) for one in prune_group]
        removal.check_known(control.store.current.definitions, prune)
        known = control.warnings()

        def transform(definitions: Definitions) -> Definitions:
            base = definitions
            if take_over:
                lanes = [one.document.name for one in parsed if isinstance(one.document, Lane)]
                definitions = actions.taken_over(definitions, lanes, caller_of(request).name, time.time())
            applied[:], based[:] = [definitions.apply(parsed, prune)], [base]
            return applied[0].definitions

        request.scope["state"]["dry_run"] = dry_run
        await change_or_try(control, request, transform, note or "apply", dry_run)
        done = applied[0]
        # Only now: the change does not wait for warnings on its way to the proxies.
        before = await control.look(based[0])
        warned = shapes.warned(
            [one.document for one in parsed],
            (known, before),
            await control.look(done.definitions),
            done.definitions,
        )
        created, changed, unchanged = map(list, (done.created, done.changed, done.unchanged))
        moves = shapes.moves(await control.moves(done.definitions)) if dry_run else None
        answer = answers.Applied(
            created=created,
            changed=changed,
            unchanged=unchanged,
            warnings=warned,
            deleted=list(done.deleted),
            changes=shapes.changes(changes_between(based[0], done.definitions)),
            kept=[answers.Kept(**one._asdict()) for one in done.kept],
            moves=moves,
        )
        return answer.response()

    @routes.get(
        "/v1/warnings",
        operation_id="listWarnings",
        tags=["definitions"],
        summary="Likely mistakes in all definitions, and in what the registries say",
        responses={
            200: openapi.answer(openapi.reference("Warnings"), "By definition and by service"),
            **openapi.failures(503),
        },
    )
    async def get_warnings() -> Response:
        definitions = control.store.current.definitions
        return shapes.warnings(definitions, control.services(), await control.look(definitions)).response()

    @routes.get(
        "/v1/export",
        operation_id="export",
        tags=["definitions"],
        summary="Every definition as one YAML stream",
        response_class=Response,
        responses={
            200: openapi.answer({"type": "string"}, "What apply takes back", bodies.YAML),
            **openapi.failures(503),
        },
    )
    async def get_export(request: Request) -> Response:
        # A second for ten thousand definitions, in which the proxies are to be served.
        definitions = control.store.current.definitions
        text = await bodies.in_thread(request, lambda: export(definitions))
        return Response(text, media_type=bodies.YAML)

    @routes.post(
        "/v1/explain",
        operation_id="explain",
        tags=["lanes"],
        summary="Which route, lane and instances a request would get, and why",
        openapi_extra=openapi.body(openapi.reference("ExplainRequest"), "The request"),
        responses={
            200: openapi.answer(openapi.reference("Explained"), "The decision"),
            **openapi.failures(400, 413, 415, 422, 503),
        },
    )
    async def explain(
        request: Request,
        by: Annotated[
            Literal["served", "definitions"],
            Query(
                alias="as",
                description="served: what the proxies do now, also while a lane is switched; "
                "definitions: what they will do once every lane is rolled out",
            ),
        ] = "served",
        at: Annotated[
            Instant | None,
            Query(description="By the definitions, with the lanes that are open at this time"),
        ] = None,
    ) -> Response:
        asked = validate(ExplainRequest, await bodies.value(request, EXPLAIN_BYTES))
        assert isinstance(asked, ExplainRequest)
        gateways = control.store.current.definitions.gateways
        if asked.gateway not in gateways:
            remedy = f"known: {', '.join(sorted(gateways)[:10])}" if gateways else "create one first"
            wrong = Problem("gateway", "is not a known gateway", asked.gateway, remedy)
            raise DefinitionError(422, f"There is no gateway {asked.gateway}", [wrong])
        ports = {one.port for one in gateways[asked.gateway].listeners}
        if asked.port is not None and asked.port not in ports:
            remedy = f"it has: {', '.join(map(str, sorted(ports)))}"
            wrong = Problem("port", "is not a port of the gateway", asked.port, remedy)
            raise DefinitionError(422, f"Gateway {asked.gateway} has no port {asked.port}", [wrong])
        async with request.app.state.heavy:
            moment = seconds_of(at) if at is not None else None
            explanation = await control.explain(asked, by == "definitions", moment)
        route = explanation.decision.route
        name = route.name if route is not None else None
        resting = lane_times.resting(control, asked.gateway, name, moment)
        return explaining.explained(explanation, resting, control.seen_in_lanes()).response()


def _health(routes: APIRouter, control: ControlPlane, metrics: CollectorRegistry) -> None:
    ready_answer = openapi.answer(openapi.reference("Ready"), "Ready")
    unready_answer = openapi.answer(openapi.reference("NotReady"), "What is waited for", MEDIA_TYPE)

    @routes.get(
        "/healthz",
        operation_id="health",
        tags=["health"],
        summary="The process is alive",
        responses={200: openapi.answer(openapi.reference("Alive"), "Alive")},
    )
    async def healthz() -> Response:
        return answers.Alive(status="ok", version=version("laneway")).response()

    @routes.get(
        "/readyz",
        operation_id="ready",
        tags=["health"],
        summary="The store is loaded and every source has synced once",
        responses={200: ready_answer, 503: unready_answer},
    )
    async def readyz() -> Response:
        waiting = control.ready()
        store, sources = shapes.store(control), shapes.sources(control)
        if waiting:
            wrong = [Problem("", one, None, "wait; the log says more") for one in waiting]
            detail = f"Not ready: {'; '.join(waiting)}."
            return not_ready(detail, wrong, store, sources)
        return answers.Ready(ready=True, waiting=[], store=store, sources=sources).response()

    @routes.get(
        "/metrics",
        operation_id="metrics",
        tags=["health"],
        summary="Metrics as Prometheus reads them",
        response_class=Response,
        responses={200: openapi.either("Metrics; OpenMetrics has exemplars", "text/plain", OPENMETRICS)},
    )
    async def get_metrics(request: Request) -> Response:
        # The library's own choice fails at versions that are no numbers, and answers whatever is asked for.
        accepted = {one.partition(";")[0].strip() for one in request.headers.get("accept", "").split(",")}
        form = openmetrics if OPENMETRICS in accepted else exposition
        return Response(form.generate_latest(metrics), headers={"Content-Type": form.CONTENT_TYPE_LATEST})
