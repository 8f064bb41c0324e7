"""The page to try the API at /docs: Swagger UI, whose files come from a package installed with Laneway.

Nothing of it leaves this server, and its Content-Security-Policy tells the browser so.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from fastapi import APIRouter
from starlette.responses import FileResponse, HTMLResponse, Response

from controlplane.admin import problem_types
from controlplane.admin.problems import ApiError
from controlplane.model.problems import Problem

# Swagger UI sets styles as attributes, and has its icons as data.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Laneway</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" href="data:,">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
# validatorUrl: else Swagger UI sends the description to a server of its makers.
START = """SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  validatorUrl: null,
  deepLinking: true,
});
"""
FILES = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}


def add_routes(routes: APIRouter) -> None:
    """The page and its files."""
    headers = {"Content-Security-Policy": POLICY}
    hidden: dict[str, Any] = {"include_in_schema": False, "response_class": Response}

    @routes.get("/docs", **hidden)
    async def page() -> Response:
        return HTMLResponse(PAGE, headers=headers)

    @routes.get("/docs/start.js", **hidden)
    async def start() -> Response:
        return Response(START, media_type="text/javascript")

    @routes.get("/docs/{name}", **hidden)
    async def asset(name: str) -> Response:
        if name == "problems":
            return HTMLResponse(problem_types.page(), headers=headers)
        if name not in FILES:
            wrong = Problem("", "is not a file of the page", name, "see /docs")
            raise ApiError(404, "The page has no such file.", wrong)
        path = str(files("fastapi_offline") / "static" / name)
        return FileResponse(path, media_type=FILES[name], headers={"Cache-Control": "max-age=3600"})
