"""Bodies and preconditions of requests: read within bounds, by media type."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from starlette.requests import Request

from controlplane.admin.problems import ApiError
from controlplane.model.definitions import Definitions, Key
from controlplane.model.export import etag
from controlplane.model.loading import SIZE_LIMIT, load_json, load_yaml
from controlplane.model.parsing import Parsed, parse_documents
from controlplane.model.problems import DefinitionError, Problem

T = TypeVar("T")
JSON = "application/json"
YAML = "application/yaml"
YAML_TYPES = (YAML, "application/x-yaml", "text/yaml", "text/x-yaml")
INLINE_LIMIT = 64 << 10  # bytes; larger bodies are read in a thread, so that other requests go on


async def read(request: Request) -> tuple[bytes, bool]:
    """The body, and whether it is YAML. Raises ApiError 413, 415."""
    media, _, parameters = request.headers.get("content-type", "").partition(";")
    media = media.strip().lower()
    if media != JSON and media not in YAML_TYPES:
        said = media[:100] or "no media type"
        raise ApiError(
            415,
            f"The body is {said}: send `Content-Type: {JSON}` or `{YAML}`.",
            headers={"Accept": f"{JSON}, {YAML}"},
        )
    charset = parameters.lower().partition("charset=")[2].split(";")[0].strip(' "')
    if charset not in ("", "utf-8", "utf8", "us-ascii"):
        raise ApiError(415, f"The body is in {charset[:50]}: send UTF-8.")
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > SIZE_LIMIT:
            raise ApiError(
                413,
                f"The body is larger than {SIZE_LIMIT >> 20} MiB: send it in parts.",
                headers={"Connection": "close"},
            )
        parts.append(part)
    return b"".join(parts), media != JSON


async def _run(work: Callable[[], T], size: int) -> T:
    return work() if size <= INLINE_LIMIT else await asyncio.to_thread(work)


async def value(request: Request) -> Any:
    """The one value of a body. Raises ApiError (413, 415) and DefinitionError (400)."""
    data, is_yaml = await read(request)
    if not is_yaml:
        return await _run(lambda: load_json(data), len(data))
    values = await _run(lambda: load_yaml(data), len(data))
    if len(values) != 1:
        message = f"holds {len(values)} documents, where one is expected"
        raise DefinitionError(400, f"The body {message}", [Problem("", message, None, "use POST /v1/apply")])
    return values[0]


async def documents(request: Request) -> list[Parsed]:
    """The documents of a body of `apply`. Raises ApiError (413, 415) and DefinitionError (400, 422)."""
    data, is_yaml = await read(request)
    return await _run(lambda: parse_documents(data, yaml=is_yaml), len(data))


def precondition(request: Request) -> Callable[[Definitions, Key], None]:
    """What checks If-Match and If-None-Match against the definitions; it raises ApiError 412."""
    expected, unexpected = request.headers.get("if-match"), request.headers.get("if-none-match")

    def check(definitions: Definitions, key: Key) -> None:
        document = definitions.get(key)
        now = None if document is None else etag(definitions, document)
        if expected is not None and not _listed(expected, now):
            said = f"its ETag is {now}" if now else "it does not exist"
            raise ApiError(
                412, f"{key} is not as If-Match expects: {said}.", headers={"ETag": now} if now else None
            )
        if unexpected is not None and _listed(unexpected, now):
            raise ApiError(412, f"{key} exists already.", headers={"ETag": now} if now else None)

    return check


def _listed(header: str, tag: str | None) -> bool:
    return tag is not None and (header.strip() == "*" or tag in (part.strip() for part in header.split(",")))
