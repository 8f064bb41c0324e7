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
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp import web

NEXT_TIMEOUT_S = 10.0
"""How long the whole rest of the chain may take, in seconds."""

CLIENT = web.AppKey("client", aiohttp.ClientSession)
SELF = web.AppKey("self", str)
NEXT = web.AppKey("next", str)


def introduction(environ: os._Environ[str] | dict[str, str]) -> str:
    """How this process names itself in an answer: `A[10.0.0.1][config=base]`."""
    name = environ.get("APP_NAME", "A") + environ.get("APP_VERSION", "")
    config = environ.get("APP_CONFIG", "")
    return f"{name}[{environ['POD_IP']}]" + (f"[config={config}]" if config else "")


async def answer(request: web.Request) -> web.Response:
    """This service's name, an arrow, and the answer of the next one; 502 when that one cannot answer."""
    me, following = request.app[SELF], request.app[NEXT]
    if not following:
        await request.read()
        return web.Response(text=me)
    body = await request.read()
    try:
        async with request.app[CLIENT].request(request.method, following, data=body or None) as response:
            text = await response.text()
            if response.status == 200:
                return web.Response(text=f"{me} -> {text}")
            return web.Response(status=502, text=f"{me} -> HTTP {response.status}: {text}")
    except (aiohttp.ClientError, TimeoutError) as error:
        return web.Response(status=502, text=f"{me} -> {type(error).__name__}: {error}")


async def healthz(_: web.Request) -> web.Response:
    """Alive; says nothing about the services behind."""
    return web.Response(text="ok")


def proxy_for(url: str) -> str | None:
    """The HTTP proxy that the environment (HTTP_PROXY, NO_PROXY) asks for on the way to `url`, if any.

    Read once: the client's own `trust_env` reads the whole environment and .netrc again for every call,
    which costs more than the call.
    """
    host = urlsplit(url).hostname or ""
    return None if proxy_bypass(host) else getproxies().get("http")


async def client(app: web.Application):
    """One client for the life of the process, so that its connections are kept open between calls."""
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=NEXT_TIMEOUT_S)
    proxy = proxy_for(app[NEXT])
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, proxy=proxy) as session:
        app[CLIENT] = session
        yield


def build(environ: os._Environ[str] | dict[str, str]) -> web.Application:
    """The application as `environ` describes it. Raises KeyError when POD_IP is missing."""
    app = web.Application()
    app[SELF], app[NEXT] = introduction(environ), environ.get("APP_NEXT", "")
    app.cleanup_ctx.append(client)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/{path:.*}", answer)
    app.router.add_post("/{path:.*}", answer)
    return app


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    port = int(os.environ.get("PORT", "8000"))
    web.run_app(build(os.environ), host=os.environ["POD_IP"], port=port, access_log=None, print=None)


if __name__ == "__main__":
    main()
