"""REST over the session of a browser: begin it with a token, see who asks, end it."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from controlplane.admin import openapi
from controlplane.admin.sessions import LIFETIME, Session, Sessions, cookie_name, session_of
from controlplane.auth.rights import Caller


def add_routes(routes: APIRouter, sessions: Sessions) -> None:
    """The session as a resource: POST with a token begins one, DELETE ends it."""
    answers = {
        200: openapi.answer(openapi.reference("Session"), "Who asks"),
        **openapi.failures(401),
    }

    @routes.get(
        "/v1/session", operation_id="getSession", tags=["session"], summary="Who asks, and what they may do",
        responses=answers,
    )  # fmt: skip
    async def get(request: Request) -> Response:
        return _shown(request, session_of(request.headers) is not None).response()

    @routes.post(
        "/v1/session", operation_id="beginSession", tags=["session"],
        summary="Exchange the token of this request for a cookie, which the console uses",
        responses=answers,
    )  # fmt: skip
    async def begin(request: Request) -> Response:
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        caller: Caller = request.scope["state"]["caller"]
        signed = bool(scheme) and caller.by != "nothing"
        response = _shown(request, signed).response()
        if signed:
            host = request.headers.get("host", "")
            response.set_cookie(
                cookie_name(host),
                sessions.begin(credentials.strip()),
                max_age=int(LIFETIME),
                path="/",
                secure=request.url.scheme == "https",
                httponly=True,
                samesite="strict",
            )
        return response

    @routes.delete(
        "/v1/session", operation_id="endSession", tags=["session"], summary="End the session of the cookie",
        responses={204: {"description": "It has ended"}, **openapi.failures(401)},
    )  # fmt: skip
    async def end(request: Request) -> Response:
        identity = session_of(request.headers)
        if identity is not None:
            sessions.end(identity)
        response = Response(status_code=204)
        response.delete_cookie(cookie_name(request.headers.get("host", "")), path="/")
        return response


def _shown(request: Request, signed_in: bool) -> Session:
    caller: Caller = request.scope["state"]["caller"]
    rights = caller.rights
    return Session(name=caller.name, admin=rights.admin, groups=sorted(rights.groups), signed_in=signed_in)
