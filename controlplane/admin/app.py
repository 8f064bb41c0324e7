"""The admin API as an ASGI application."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Match, Route

from controlplane.admin import (
    console,
    definitions,
    docs,
    lists,
    openapi,
    operations,
    permissions,
    promotion,
    releases,
    scaling,
    signing_in,
    traffic,
    ways,
)
from controlplane.admin.audit import Audited, Nowhere, Sink
from controlplane.admin.control import ControlPlane
from controlplane.admin.deployment_answers import PromotedDeployments
from controlplane.admin.hosts import Hosts
from controlplane.admin.logins import Logins
from controlplane.admin.middleware import Guard
from controlplane.admin.problems import ApiError, problem
from controlplane.admin.read_only import ReadOnlyHeader
from controlplane.admin.sessions import Sessions
from controlplane.auth.tokens import Authentication
from controlplane.model.mistakes import meant, said
from controlplane.model.problems import DefinitionError, Problem
from controlplane.store.interface import OutcomeUnknown, StoreUnavailable

DESCRIPTION = "Lane definitions in, and what became of them out. Errors are RFC 9457 problems."


@dataclass(frozen=True)
class AdminSettings:
    """Settings of the admin API. `tokens`: who finds out who asks; None if nobody has to say it.
    `metrics`: what /metrics shows.
    `failed_logins`: wrong tokens that an address may send in a minute. `counters`: numbers of refused
    requests since the start. `certificates`: whether clients have to show one. `origins`: of pages that may
    call. `stopping`: set when the server stops, so that answers without an end end. `deployments`: those of
    promotions, None where they are not looked at.
    """

    tokens: Authentication | None = None
    metrics: CollectorRegistry = field(default_factory=CollectorRegistry)
    hosts: Hosts = field(default_factory=lambda: Hosts("127.0.0.1"))
    failed_logins: int = 10
    counters: Counter[str] = field(default_factory=Counter)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    certificates: bool = False
    origins: Sequence[str] = ()
    deployments: PromotedDeployments | None = None
    audit: Sink = field(default_factory=Nowhere)
    version: str = "0.1.0"


def create_app(control: ControlPlane, settings: AdminSettings | None = None) -> FastAPI:
    """The ASGI application for `control`, which is called only while requests are served."""
    settings = settings or AdminSettings()
    app = FastAPI(
        title="Laneway",
        version=settings.version,
        description=DESCRIPTION,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(permissions.authorised), Depends(known_parameters)],
    )
    app.state.heavy = asyncio.Lock()
    docs.add_routes(app.router)
    console.add_routes(app.router)
    sessions = Sessions()
    signing_in.add_routes(app.router, sessions)
    watching = lists.Watching(settings.counters, settings.stopping)
    definitions.add_routes(app.router, control, watching)
    operations.add_routes(app.router, control, settings.metrics, watching)
    promotion.add_routes(app.router, control, settings.deployments)
    scaling.add_routes(app.router, control, settings.deployments)
    ways.add_routes(app.router, control)
    traffic.add_routes(app.router, control, settings.stopping)
    releases.add_routes(app.router, control, watching)
    openapi.add_route(app, settings.tokens is not None)
    permissions.complete(app.routes)
    _handle_errors(app)
    app.add_middleware(ReadOnlyHeader, status=control.store_status)
    app.add_middleware(
        Guard,
        tokens=settings.tokens,
        hosts=settings.hosts,
        logins=Logins(settings.failed_logins, settings.counters),
        counters=settings.counters,
        certificates=settings.certificates,
        origins=settings.origins,
        sessions=sessions,
    )
    app.add_middleware(Audited, sink=settings.audit, counters=settings.counters)
    if settings.origins:
        # Outermost: a browser asks without credentials what its page may ask for.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "If-Match", "If-None-Match", "X-Request-Id"],
            expose_headers=["ETag", "Location", "Retry-After", "X-Request-Id"],
        )
    return app


def _handle_errors(app: FastAPI) -> None:
    @app.exception_handler(DefinitionError)
    async def refused(_: Request, error: DefinitionError) -> Response:
        return problem(error.status, error.title, error.problems)

    @app.exception_handler(ApiError)
    async def failed(_: Request, error: ApiError) -> Response:
        return problem(error.status, error.detail, [error.error], error.headers)

    @app.exception_handler(StoreUnavailable)
    async def unavailable(_: Request, error: StoreUnavailable) -> Response:
        changed = "Nothing was changed"
        if isinstance(error, OutcomeUnknown):
            changed = "The revisions will tell whether the change was made"
        detail = f"The store of definitions is unavailable: {error}. {changed}; proxies go on."
        remedy = "try again later; if the reason stays, see docs/how-to/backup-and-recovery.md"
        wrong = Problem("", "needs the store of definitions, which is unavailable", None, remedy)
        return problem(503, detail, [wrong], {"Retry-After": "5"})

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        wrong = [_parameter(item) for item in error.errors()]
        return problem(422, f"The parameter {wrong[0].field} {wrong[0].message}.", wrong)

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(_methods(app, request))
            wrong = Problem("", "is not possible here", request.method, f"use {headers['Allow']}")
            return problem(405, f"{request.method} is not possible here.", [wrong], headers)
        if error.status_code == 404:
            wrong = Problem("", "is not a path of this API", request.url.path, "see /docs or /openapi.json")
            return problem(404, f"There is nothing at {request.url.path[:500]}.", [wrong])
        return problem(error.status_code, str(error.detail), (), headers)


def _parameter(item: dict[str, Any]) -> Problem:
    """The mistake that FastAPI finds in a query parameter."""
    message, remedy = said(item["type"], item.get("ctx", {}))
    return Problem(".".join(map(str, item["loc"][1:])), message, item.get("input"), remedy)


async def known_parameters(request: Request) -> None:
    """Refuse query parameters that the operation does not have: `?dryrun=true` must not apply. Raises
    DefinitionError 422.
    """
    if not request.url.path.startswith("/v1/"):
        return  # probes and scrapers have parameters of their own
    known = [one.alias for one in request.scope["route"].dependant.query_params]
    for name, value in request.query_params.multi_items():
        if name not in known:
            remedy = meant(name, known, "known:") if known else "leave it out"
            wrong = Problem(name[:100], "is not a known parameter", value, remedy)
            raise DefinitionError(422, f"The parameter {name[:100]} {wrong.message}", [wrong])


def _methods(app: FastAPI, request: Request) -> list[str]:
    """The methods of all routes at this path; each route knows only its own."""
    methods: set[str] = set()
    for route in app.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            methods |= route.methods or set()
    return sorted(methods)
