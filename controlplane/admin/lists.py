"""Collections over REST: whole or in pages, with an entity tag, or as events while they change."""

from __future__ import annotations

import asyncio
import base64
import bisect
import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, cast

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import StreamingResponse

from controlplane.admin import bodies, openapi, tags
from controlplane.admin.problems import ApiError
from controlplane.model.plain import is_list
from controlplane.model.problems import DefinitionError, Problem

LARGEST_PAGE = 5000
MOST_WATCHES = 64
"""Watches at one time, over all collections."""
LOOK = 0.25
"""Seconds between two looks at whether anything has changed."""
AGAIN = 5.0
"""Seconds after which a watch looks at every item anyway: what a status says may come from anywhere."""
REST = 9.0
"""How many times as long as it took to make a list no other one is made for watches."""
SILENCE = 15.0
"""Seconds of silence after which a watch sends a comment, so that whoever is gone is noticed."""

Name = tuple[str, ...]
Limit = Annotated[
    int | None, Query(ge=1, le=LARGEST_PAGE, description="Items of a page; absent: all of them")
]
Continue = Annotated[
    str | None,
    Query(alias="continue", max_length=2000, description="`continue` of the page before, for the next one"),
]
Watch = Annotated[
    bool,
    Query(
        description="Stay, as server-sent events: `added` for each item, `synced`, and then `added`, "
        "`changed` and `deleted`"
    ),
]


@dataclass(frozen=True)
class Contents:
    """A collection at one moment. `names`: of each item, in order; `fields`: what their parts are called.

    show: the item with a position, as JSON. more: further fields of the answer, `lasting` those of them that
    do not change by themselves, as an age does.
    """

    fields: Name
    names: Sequence[Name]
    show: Callable[[int], bytes]
    more: dict[str, Any] = field(default_factory=dict)
    lasting: dict[str, Any] = field(default_factory=dict)


@dataclass
class Watching:
    """All watches of a control plane. `counters`: numbers of refused requests since the start. `stopping` is
    set when the server stops, and they end.
    """

    counters: Counter[str]
    stopping: asyncio.Event
    open: int = 0


@dataclass
class _Rendered:
    """What was shown last, for all watches of one collection."""

    mark: tuple[object, ...]
    at: float
    took: float
    fields: Name
    items: dict[Name, bytes]


class Collection:
    """One collection. contents: what it has now. mark: the values that it is made of, of which one is
    another object once it has changed. before: what must be awaited before the contents are asked for.
    """

    def __init__(
        self,
        watching: Watching,
        contents: Callable[[], Contents],
        mark: Callable[[], tuple[object, ...]],
        before: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self._before = before
        self._watching = watching
        self._contents = contents
        self._mark = mark
        self._last: _Rendered | None = None
        self._rendering = asyncio.Lock()

    def add_route(self, routes: APIRouter, path: str, schema: str, summary: str) -> None:
        """Serve it at `path`. schema: the name of the schema of its answers, such as Proxies."""

        async def get(
            request: Request, limit: Limit = None, after: Continue = None, watch: Watch = False
        ) -> Response:
            return await self.answer(request, limit, after, watch)

        routes.add_api_route(
            path,
            get,
            methods=["GET"],
            operation_id=f"list{schema}",
            tags=["observed"],
            summary=summary,
            responses={
                200: openapi.listed(openapi.reference(schema)),
                **openapi.UNCHANGED,
                **openapi.failures(422, 503),
            },
        )

    async def answer(self, request: Request, limit: int | None, after: str | None, watch: bool) -> Response:
        """All, a page, or a watch. Raises ApiError 503 for one watch too many, DefinitionError 422."""
        if watch:
            if limit is not None or after is not None:
                wrong = Problem("watch", "cannot be combined with limit and continue", None, "leave one out")
                raise DefinitionError(422, f"The parameter watch {wrong.message}.", [wrong])
            return self._watch(request)
        if self._before is not None:
            await self._before()
        contents = self._contents()
        start = bisect.bisect_right(contents.names, _position(after, len(contents.fields))) if after else 0
        end = len(contents.names) if limit is None else min(start + limit, len(contents.names))

        def made() -> tuple[bytes, str]:
            items = b"[" + b",".join(contents.show(index) for index in range(start, end)) + b"]"
            more = dict(contents.more)
            if end < len(contents.names):
                more["continue"] = _token(contents.names[end - 1])
            tag = tags.weak(items + json.dumps(contents.lasting, sort_keys=True).encode())
            rest = b"".join(
                b"," + json.dumps(name).encode() + b":" + _compact(value) for name, value in more.items()
            )
            return b'{"items":' + items + rest + b"}", tag

        body, tag = await bodies.in_thread(request, made)
        return tags.answer(request, body, tag)

    def _watch(self, request: Request) -> Response:
        watching = self._watching
        if watching.open >= MOST_WATCHES:
            watching.counters["watches_refused"] += 1
            wrong = Problem("watch", f"would be one of more than {MOST_WATCHES}", None, "close others first")
            raise ApiError(503, f"The watch {wrong.message}.", wrong, {"Retry-After": "5"})
        self._contents()  # so that what is wrong is answered with its status

        async def counted() -> AsyncIterator[bytes]:
            watching.open += 1
            try:
                async for event in self._events(request):
                    yield event
            finally:
                watching.open -= 1

        return StreamingResponse(counted(), media_type=openapi.EVENTS, headers={"Cache-Control": "no-store"})

    async def _events(self, request: Request) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        seen: dict[Name, bytes] | None = None
        known: object = None
        spoke = loop.time()
        while not self._watching.stopping.is_set():
            rendered = await self._rendered(request)
            if rendered is not known:
                known = rendered
                found = {name: _digest(item) for name, item in rendered.items.items()}
                events = _differences(rendered, seen or {}, found)
                if seen is None:
                    events.append(_event("synced", b'{"items":%d}' % len(found)))
                seen = found
                for event in events:
                    yield event
                    spoke = loop.time()
            if loop.time() - spoke > SILENCE:
                spoke = loop.time()
                yield b": still here\n\n"
            await asyncio.sleep(LOOK)

    async def _rendered(self, request: Request) -> _Rendered:
        """The items as they are now, made once for all watches."""
        loop = asyncio.get_running_loop()
        async with self._rendering:
            if self._before is not None:
                await self._before()
            last, now, mark = self._last, loop.time(), self._mark()
            if last is not None and (
                (_same(last.mark, mark) and now - last.at < AGAIN) or now - last.at < REST * last.took
            ):
                return last
            contents = self._contents()

            def made() -> dict[Name, bytes]:
                return {name: contents.show(index) for index, name in enumerate(contents.names)}

            items = await bodies.in_thread(request, made)
            end = loop.time()
            if last is not None and last.items == items:
                last.mark, last.at, last.took = mark, end, end - now
                return last
            self._last = _Rendered(mark, end, end - now, contents.fields, items)
            return self._last


def _same(one: tuple[object, ...], other: tuple[object, ...]) -> bool:
    return all(a is b for a, b in zip(one, other, strict=True))


def _differences(rendered: _Rendered, before: dict[Name, bytes], after: dict[Name, bytes]) -> list[bytes]:
    """The events that lead from what was seen `before` to what is there."""
    gone = [
        _event("deleted", _compact(dict(zip(rendered.fields, name, strict=True))))
        for name in before
        if name not in after
    ]
    return gone + [
        _event("changed" if name in before else "added", rendered.items[name])
        for name, digest in after.items()
        if before.get(name) != digest
    ]


def _event(name: str, data: bytes) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"


def _digest(item: bytes) -> bytes:
    return hashlib.blake2b(item, digest_size=16).digest()


def _compact(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def encoded(value: dict[str, Any]) -> bytes:
    """An item that is made of plain values, as JSON."""
    return _compact(value)


def _token(name: Name) -> str:
    return base64.urlsafe_b64encode(_compact(list(name))).decode().rstrip("=")


def _position(token: str, parts: int) -> Name:
    """The name in a `continue` token. Raises DefinitionError 422."""
    try:
        name: Any = json.loads(
            base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        )
    except (ValueError, RecursionError):
        name = None
    if not is_list(name) or len(name) != parts or not all(isinstance(part, str) for part in name):
        wrong = Problem("continue", "is not one that this list gave", token, "start again without it")
        raise DefinitionError(422, f"The parameter continue {wrong.message}.", [wrong])
    return cast("Name", tuple(name))
