"""One small web service that can play any part of a call chain.

It answers `GET` and `POST` on every path with its own name and address, followed by what the next service in
the chain answers. Everything that makes it an A, a B or a C is read from the environment once, at start:

    APP_NAME     what it calls itself, for example `A`
    APP_VERSION  appended to the name; empty for none
    APP_CONFIG   shown as `[config=...]`; left out when empty
    APP_NEXT     URL of the next service, for example `http://sc-B/b`; empty at the end of the chain
    POD_IP       the address to listen on and to show
    PORT         the port to listen on

Calls go through an ordinary HTTP client, which honours the usual `HTTP_PROXY`. There is no line here about
which version of the next service is called: the platform decides that.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TypedDict
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

NEXT_TIMEOUT_S = 10.0
"""How long the whole rest of the chain may take, in seconds."""


class State(TypedDict):
    """What every request finds: this service's own words, the next service, and the client to call it."""

    me: str
    following: str
    client: aiohttp.ClientSession


def introduction(environ: Mapping[str, str]) -> str:
    """How this process names itself in an answer: `A[10.0.0.1][config=base]`."""
    name = environ.get("APP_NAME", "A") + environ.get("APP_VERSION", "")
    config = environ.get("APP_CONFIG", "")
    return f"{name}[{environ['POD_IP']}]" + (f"[config={config}]" if config else "")


async def answer(request: Request) -> Response:
    """This service's name, an arrow, and the answer of the next one; 502 when that one cannot answer."""
    me, following, client = request.state.me, request.state.following, request.state.client
    body = await request.body()
    if not following:
        return PlainTextResponse(me)
    try:
        async with client.request(request.method, following, data=body or None) as response:
            text = await response.text()
            if response.status == 200:
                return PlainTextResponse(f"{me} -> {text}")
            return PlainTextResponse(f"{me} -> HTTP {response.status}: {text}", 502)
    except (aiohttp.ClientError, TimeoutError) as error:
        return PlainTextResponse(f"{me} -> {type(error).__name__}: {error}", 502)


async def healthz(_: Request) -> Response:
    """Alive; says nothing about the services behind."""
    return PlainTextResponse("ok")


def proxy_for(url: str) -> str | None:
    """The HTTP proxy that the environment (HTTP_PROXY, NO_PROXY) asks for on the way to `url`, if any.

    Read once: the client's own `trust_env` reads the whole environment and .netrc again for every call,
    which costs more than the call.
    """
    host = urlsplit(url).hostname or ""
    return None if proxy_bypass(host) else getproxies().get("http")


def build(environ: Mapping[str, str]) -> Starlette:
    """The application as `environ` describes it. Raises KeyError when POD_IP is missing."""
    me, following = introduction(environ), environ.get("APP_NEXT", "")

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[State]:
        """One client for the life of the process, so that its connections are kept open between calls."""
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=NEXT_TIMEOUT_S)
        proxy = proxy_for(following)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, proxy=proxy) as client:
            yield {"me": me, "following": following, "client": client}

    routes = [Route("/healthz", healthz), Route("/{path:path}", answer, methods=["GET", "POST"])]
    return Starlette(routes=routes, lifespan=lifespan)


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    port = int(os.environ.get("PORT", "8000"))
    host = os.environ["POD_IP"]
    uvicorn.run(build(os.environ), host=host, port=port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
