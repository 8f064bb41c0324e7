"""The console at `/`: files that `make console` has built of console/, and that are part of this package.

The page has a Content-Security-Policy without exceptions: scripts are files of this server, and a style
element needs the nonce that each answer makes anew.
"""

from __future__ import annotations

import gzip
import re
import secrets
from functools import lru_cache
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import HTMLResponse

from controlplane.admin.bodies import in_thread
from controlplane.admin.problems import ApiError
from controlplane.model.problems import Problem

BUILT = files("controlplane.admin") / "static"
NONCE = "NONCE-OF-THE-ANSWER"
"""What stands in the built page for the nonce; vite.config.ts says the same."""
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
NAME = re.compile(r"[A-Za-z0-9_.-]+\.(?:js|css|svg)")
LASTING = "public, max-age=31536000, immutable"
"""The name of a file changes with what is in it."""


def policy(nonce: str) -> str:
    """The Content-Security-Policy of the page."""
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; "
        "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


def add_routes(routes: APIRouter) -> None:
    """The page and its files."""
    hidden: dict[str, Any] = {"include_in_schema": False, "response_class": Response}

    @routes.get("/", **hidden)
    async def page() -> Response:
        nonce = secrets.token_urlsafe(16)
        headers = {"Content-Security-Policy": policy(nonce), "Cache-Control": "no-store"}
        return HTMLResponse(_page().replace(NONCE, nonce), headers=headers)

    @routes.get("/assets/{name}", **hidden)
    async def asset(name: str, request: Request) -> Response:
        packed = "gzip" in request.headers.get("accept-encoding", "")
        content = await in_thread(request, lambda: _file(name, packed))
        headers = {"Cache-Control": LASTING, "Vary": "Accept-Encoding"}
        if packed:
            headers["Content-Encoding"] = "gzip"
        return Response(content, media_type=TYPES[name[name.rindex(".") :]], headers=headers)


@lru_cache(maxsize=1)
def _page() -> str:
    return (BUILT / "index.html").read_text("utf-8")


@lru_cache(maxsize=256)
def _file(name: str, packed: bool) -> bytes:
    """Raises ApiError 404."""
    path = BUILT / "assets" / name
    if not NAME.fullmatch(name) or not path.is_file():
        wrong = Problem("", "is not a file of the console", name[:200], "reload the page")
        raise ApiError(404, "The console has no such file.", wrong)
    content = path.read_bytes()
    return gzip.compress(content, 9, mtime=0) if packed else content
