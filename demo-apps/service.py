"""One small web service that can play any part of a call chain.

It answers `GET` and `POST` on every path with its own name and address, followed by what the next service in
the chain answers. Everything that makes it an A, a B or a C is read from the environment once, at start:

    APP_NAME           what it calls itself, for example `A`
    APP_VERSION        appended to the name; empty for none
    APP_CONFIG         shown as `[config=...]`; left out when empty
    APP_NEXT           URL of the next service, for example `http://sc-B/b`; empty at the end of the chain
    POD_IP             the address to show and to register; by default this host's own
    PORT               the port to listen on
    LISTEN             the address to listen on; by default POD_IP
    FORWARD_HEADERS    request headers that are passed on to the next service, separated by commas
    SHOW_HEADERS       request headers that are shown in the answer, separated by commas
    NACOS_SERVER_ADDR  host:port of a Nacos server; empty for none, and APP_NEXT is called as it stands
    NACOS_SERVICE      name to register under; the host of APP_NEXT is the name to look for
    NACOS_PORT         the port to register; by default PORT
    NACOS_METADATA     JSON object of metadata to register

Calls go through an ordinary HTTP client, which honours the usual `HTTP_PROXY`. There is no line here about
which version of the next service is called: the platform decides that.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import FrameType
from typing import TypedDict
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import registry
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

NEXT_TIMEOUT_S = 10.0
"""How long the whole rest of the chain may take, in seconds."""
LEAVE_S = 2.0
"""How long callers may still choose this instance after it has left the registry, in seconds."""


class State(TypedDict):
    """What every request finds: this service's own words, the next service, and the client to call it."""

    me: str
    following: str
    client: aiohttp.ClientSession
    registry: registry.Registry | None
    forward: list[str]
    show: list[str]


def own_address(environ: Mapping[str, str]) -> str:
    """POD_IP, else the address that this host's name has."""
    return environ.get("POD_IP") or socket.gethostbyname(socket.gethostname())


def introduction(environ: Mapping[str, str]) -> str:
    """How this process names itself in an answer: `A[10.0.0.1][config=base]`."""
    name = environ.get("APP_NAME", "A") + environ.get("APP_VERSION", "")
    config = environ.get("APP_CONFIG", "")
    return f"{name}[{own_address(environ)}]" + (f"[config={config}]" if config else "")


def listed(text: str) -> list[str]:
    """`a, b` as a list."""
    return [part.strip() for part in text.split(",") if part.strip()]


async def answer(request: Request) -> Response:
    """This service's name, an arrow, and the answer of the next one; 502 when that one cannot answer."""
    state = request.state
    me, following, client = state.me, state.following, state.client
    me += "".join(f"[{name}={request.headers.get(name, '')}]" for name in state.show)
    body = await request.body()
    if not following:
        return PlainTextResponse(me)
    if state.registry is not None:
        chosen = state.registry.pick()
        if chosen is None:
            return PlainTextResponse(f"{me} -> no instance known", 503)
        following = urlsplit(following)._replace(netloc=chosen).geturl()
    headers = {name: request.headers[name] for name in state.forward if name in request.headers}
    try:
        async with client.request(request.method, following, data=body or None, headers=headers) as response:
            text = await response.text()
            if response.status == 200:
                return PlainTextResponse(f"{me} -> {text}")
            return PlainTextResponse(f"{me} -> HTTP {response.status}: {text}", 502)
    except (aiohttp.ClientError, TimeoutError) as error:
        return PlainTextResponse(f"{me} -> {type(error).__name__}: {error}", 502)


async def healthz(_: Request) -> Response:
    """Alive; says nothing about the services behind."""
    return PlainTextResponse("ok")


async def readyz(request: Request) -> Response:
    """Others find this instance, and it finds those that it calls: an open port says neither."""
    ready = request.state.registry is None or request.state.registry.ready
    return PlainTextResponse("ready" if ready else "not ready", 200 if ready else 503)


def proxy_for(url: str) -> str | None:
    """The HTTP proxy that the environment (HTTP_PROXY, NO_PROXY) asks for on the way to `url`, if any.

    Read once: the client's own `trust_env` reads the whole environment and .netrc again for every call,
    which costs more than the call.
    """
    host = urlsplit(url).hostname or ""
    return None if proxy_bypass(host) else getproxies().get("http")


def build(environ: Mapping[str, str], place: registry.Registry | None = None) -> Starlette:
    """The application as `environ` describes it; `place` is its place in a registry, if it has one."""
    me, following = introduction(environ), environ.get("APP_NEXT", "")

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[State]:
        """One client for the life of the process, so that its connections are kept open between calls."""
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=NEXT_TIMEOUT_S)
        proxy = proxy_for(following)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, proxy=proxy) as client:
            yield {
                "me": me,
                "following": following,
                "client": client,
                "registry": place,
                "forward": listed(environ.get("FORWARD_HEADERS", "")),
                "show": listed(environ.get("SHOW_HEADERS", "")),
            }

    routes = [
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/{path:path}", answer, methods=["GET", "POST"]),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


class Server(uvicorn.Server):
    """Registers when it listens; when told to stop, it leaves the registry first and goes on for a while."""

    def __init__(self, config: uvicorn.Config, place: registry.Registry) -> None:
        super().__init__(config)
        self._registry = place
        self._leaving = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self._keeping = asyncio.create_task(self._registry.keep())

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._leaving or sig != signal.SIGTERM:
            super().handle_exit(sig, frame)
            return
        self._leaving = True
        asyncio.run_coroutine_threadsafe(self._leave(sig, frame), self._loop)

    async def _leave(self, sig: int, frame: FrameType | None) -> None:
        await self._registry.leave()
        await asyncio.sleep(LEAVE_S)
        super().handle_exit(sig, frame)


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    address, port = own_address(os.environ), int(os.environ.get("PORT", "8000"))
    callee = urlsplit(os.environ.get("APP_NEXT", "")).netloc
    place = registry.from_environment(os.environ, address, int(os.environ.get("NACOS_PORT") or port), callee)
    host = os.environ.get("LISTEN", address)
    config = uvicorn.Config(
        build(os.environ, place), host=host, port=port, access_log=False, log_level="warning"
    )
    (uvicorn.Server(config) if place is None else Server(config, place)).run()


if __name__ == "__main__":
    main()
