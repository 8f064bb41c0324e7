"""Bodies and preconditions of requests: read within bounds, by media type."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from starlette.requests import Request

from controlplane.admin import tags
from controlplane.admin.problems import ApiError
from controlplane.model.definitions import Definitions, Key
from controlplane.model.export import etag
from controlplane.model.loading import SIZE_LIMIT, load_json, load_yaml
from controlplane.model.parsing import Parsed, parse_documents
from controlplane.model.problems import DefinitionError, Problem

T = TypeVar("T")
JSON = "application/json"
YAML = "application/yaml"
MERGE_PATCH = "application/merge-patch+json"
YAML_TYPES = (YAML, "application/x-yaml", "text/yaml", "text/x-yaml")
INLINE_LIMIT = 16 << 10  # bytes; larger bodies are read in a thread, so that other requests go on


async def read(request: Request, most: int = SIZE_LIMIT, patch: bool = False) -> tuple[bytes, bool]:
    """The body of a request, and whether it is YAML. `patch`: it may be a merge patch. Raises ApiError 413
    for more than `most` bytes, 415 for other media types.
    """
    taken = f"{MERGE_PATCH}, {JSON}, {YAML}" if patch else f"{JSON}, {YAML}"
    media, _, parameters = request.headers.get("content-type", "").partition(";")
    media = media.strip().lower()
    if media != JSON and media not in YAML_TYPES and not (patch and media == MERGE_PATCH):
        wrong = Problem("Content-Type", "is not taken", media or None, f"send one of {taken}")
        header = "Accept-Patch" if patch else "Accept"
        raise ApiError(415, "The body is neither JSON nor YAML.", wrong, {header: taken})
    charset = parameters.lower().partition("charset=")[2].split(";")[0].strip(' "')
    if charset not in ("", "utf-8", "utf8", "us-ascii"):
        wrong = Problem("Content-Type", "has another charset than UTF-8", charset, "send UTF-8")
        raise ApiError(415, "The body is not in UTF-8.", wrong)
    data = bytearray()
    async for part in request.stream():
        if len(data) + len(part) > most:
            wrong = Problem("", f"is larger than {most >> 10} KiB", None, "send it in parts")
            raise ApiError(413, f"The body {wrong.message}.", wrong, {"Connection": "close"})
        data += part
    return bytes(data), media in YAML_TYPES


async def in_thread(request: Request, work: Callable[[], T]) -> T:
    """The result of `work`, run in a thread. Only one runs at a time: several would take the interpreter
    from the event loop, and so from the proxies.
    """
    async with request.app.state.heavy:
        return await asyncio.to_thread(work)


async def _run(request: Request, work: Callable[[], T], size: int) -> T:
    """The result of `work` on `size` bytes. Small bodies are handled at once, without a thread."""
    return work() if size <= INLINE_LIMIT else await in_thread(request, work)


async def value(request: Request, most: int = SIZE_LIMIT, patch: bool = False) -> Any:
    """The one value of a body, see `read`. Raises ApiError (413, 415) and DefinitionError (400)."""
    data, is_yaml = await read(request, most, patch)
    if not is_yaml:
        return await _run(request, lambda: load_json(data), len(data))
    values = await _run(request, lambda: load_yaml(data), len(data))
    if len(values) != 1:
        message = f"holds {len(values)} documents, where one is expected"
        raise DefinitionError(400, f"The body {message}", [Problem("", message, None, "use POST /v1/apply")])
    return values[0]


async def documents(request: Request) -> list[Parsed]:
    """The documents of a body of `apply`. Raises ApiError (413, 415) and DefinitionError (400, 422)."""
    data, is_yaml = await read(request)
    return await _run(request, lambda: parse_documents(data, yaml=is_yaml), len(data))


def as_seen(request: Request, tag: str) -> None:
    """Check If-Match against the tag of what a change would do now. Raises ApiError 412."""
    expected = _header(request, "if-match")
    if expected is not None and not _listed(expected, tag):
        remedy = "ask with dry_run=true what it would do now, and send that ETag"
        wrong = Problem("If-Match", "does not hold: the change would be another one by now", expected, remedy)
        raise ApiError(412, "Somebody has changed this meanwhile.", wrong, {"ETag": tag})


def precondition(request: Request) -> Callable[[Definitions, Key], None]:
    """A function that checks If-Match and If-None-Match against the definitions. It raises ApiError 412."""
    expected, unexpected = _header(request, "if-match"), _header(request, "if-none-match")

    def check(definitions: Definitions, key: Key) -> None:
        document = definitions.get(key)
        now = None if document is None else etag(document)
        if expected is not None and not _listed(expected, now):
            said = f"its ETag is {now}" if now else "it does not exist"
            wrong = Problem("If-Match", f"does not hold: {said}", expected, "GET it, and try again with that")
            detail = f"{key} is not as If-Match expects: {said}."
            raise ApiError(412, detail, wrong, {"ETag": now} if now else None)
        if now is not None and unexpected is not None and _listed(unexpected, now):
            wrong = Problem(
                "If-None-Match", "does not hold", unexpected, "leave it out to replace what is there"
            )
            raise ApiError(412, f"{key} exists already.", wrong, {"ETag": now})

    return check


def _header(request: Request, name: str) -> str | None:
    """All lines of a header that holds a list, joined; None if there is no such header."""
    lines = request.headers.getlist(name)
    return ",".join(lines) if lines else None


def _listed(header: str, tag: str | None) -> bool:
    given = (tags.definition_in(part.strip()) for part in header.split(","))
    return tag is not None and (header.strip() == "*" or tag in given)
