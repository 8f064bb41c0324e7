"""Around every request: whoever asks is known, and whatever fails is answered with a problem."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controlplane.admin.problems import problem
from controlplane.admin.tokens import author_of
from controlplane.model.problems import Problem

log = structlog.get_logger(__name__)

# Probes have no token, and a browser cannot send one for the documentation, which is no secret.
OPEN_PATHS = frozenset({"/healthz", "/readyz", "/docs", "/openapi.json"})


class Guard:
    """ASGI middleware. `scope["state"]["author"]` is the token's name, empty where none is asked for."""

    def __init__(self, app: ASGIApp, tokens: Mapping[str, str] | None) -> None:
        self._app = app
        self._tokens = dict(tokens or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            log.info("client went away", path=scope["path"])
        except Exception:
            log.exception("request failed", method=scope["method"], path=scope["path"])
            if started:
                raise
            await problem(500, "An error of Laneway itself; its log says more.")(scope, receive, send)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        headers = Headers(scope=scope)
        author = ""
        if self._tokens and scope["path"] not in OPEN_PATHS:
            given = author_of(self._tokens, headers.get("authorization", ""))
            if given is None:
                return problem(
                    401,
                    "A token is needed: send `Authorization: Bearer TOKEN`.",
                    [Problem("Authorization", "is no known token", None, "send `Bearer TOKEN`")],
                    headers={"WWW-Authenticate": 'Bearer realm="laneway"'},
                )
            author = given
        origin = headers.get("origin")
        # A page of another site must not switch lanes through the browser of someone who can reach this port.
        if origin and scope["method"] not in ("GET", "HEAD") and not _same(origin, headers.get("host", "")):
            wrong = Problem("Origin", "is not this server", origin, "use the page that this server has")
            return problem(403, "Requests of pages of other origins are not taken.", [wrong])
        scope.setdefault("state", {})["author"] = author
        return None


def _same(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False
