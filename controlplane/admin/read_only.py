"""Answers say so while changes are refused: who reads a list or an export then does not miss it."""

from __future__ import annotations

from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controlplane.admin.control import StoreStatus

HEADER = "x-laneway-read-only"


class ReadOnlyHeader:
    """ASGI middleware: while changes are refused, answers below /v1/ carry the reason in HEADER."""

    def __init__(self, app: ASGIApp, status: Callable[[], StoreStatus]) -> None:
        self._app = app
        self._status = status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start" and (status := self._status()).read_only:
                MutableHeaders(scope=message)[HEADER] = status.problem.encode("ascii", "replace").decode()
            await send(message)

        watched = scope["type"] == "http" and scope["path"].startswith("/v1/")
        await self._app(scope, receive, marked if watched else send)
