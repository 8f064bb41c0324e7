"""Who did what over the admin port, and who was refused: one entry a request, as JSON on one line."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Protocol

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controlplane.admin.permissions import READING, Need
from controlplane.auth.rights import Caller
from controlplane.model.definitions import Definitions
from controlplane.net.lines import Lines
from controlplane.store.history import changes_between, diff_of

REFUSED = frozenset({401, 403, 409, 412, 421, 422, 429})
"""Statuses that are written down whatever was asked for. Of requests that change something, all are."""
TOLD = frozenset({401, 403, 409, 412, 421, 429})
"""Of these the reason is written down. What else is wrong with a body may quote it: then only the fields."""
BODY = 64 << 10
"""Most bytes of a problem that are read for its reason."""
REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
HEADER = "x-request-id"


class Sink(Protocol):
    """Where entries go."""

    def write(self, line: str) -> None:
        """Write one line. Raises OSError."""
        ...


class Nowhere:
    """No audit."""

    def write(self, line: str) -> None:
        """Forget it."""


class Trail:
    """Writes entries to `sink` and counts them in `counters`."""

    def __init__(self, sink: Sink, counters: Counter[str]) -> None:
        self._sink = sink
        self._counters = counters
        self._lines = Lines()

    def put(self, entry: Mapping[str, Any]) -> None:
        """Write an entry."""
        try:
            self._sink.write(json.dumps(entry, ensure_ascii=True, separators=(",", ":")))
        except OSError:
            self._counters["audit_failed"] += 1
        else:
            self._counters["audit_written"] += 1

    def put_bounded(self, entry: Mapping[str, Any]) -> None:
        """Write it, but only some of an address in a while; how many were left out stands in the next."""
        before = self._lines.suppressed
        self._lines.write(lambda _, **told: self.put(told), "", str(entry["address"]), **entry)
        self._counters["audit_suppressed"] += self._lines.suppressed - before


class Audited:
    """ASGI middleware around all others: gives each request an id, and writes entries to `sink`.

    counters: numbers of entries since the start. A client that nobody knows can cause some lines in a while;
    how many were left out stands in the next one.
    """

    def __init__(self, app: ASGIApp, sink: Sink, counters: Counter[str]) -> None:
        self._app = app
        self._trail = Trail(sink, counters)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state: dict[str, Any] = scope.setdefault("state", {})
        given = Headers(scope=scope).get(HEADER, "")
        request_id = state["request_id"] = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        status, body = 0, bytearray()
        begun: Message | None = None
        written = False

        async def write() -> None:
            nonlocal written
            written = True
            if _counts(scope, status):
                entry = _entry(scope, status, bytes(body))
                change = state.get("change")
                if change is not None and status < 400:
                    entry |= await asyncio.to_thread(_changed, *change)
                self._write(entry, scope)

        async def watched(message: Message) -> None:
            """Whoever has an answer to a change finds its entry: it is written before the answer leaves."""
            nonlocal status, begun
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = request_id
                if status >= 400:  # the reason is in the body
                    begun = message
                    return
                await write()
            elif begun is not None:
                if len(body) < BODY:
                    body.extend(message.get("body", b""))
                if message.get("more_body") and len(body) < BODY:
                    return
                first, begun = begun, None
                await write()
                await send(first)
                message = {**message, "body": bytes(body)}
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            if not written:
                await write()

    def _write(self, entry: dict[str, Any], scope: Scope) -> None:
        if entry["who"] or entry["outcome"] == "done":
            self._trail.put(entry)
            return
        self._trail.put_bounded(entry)


def _counts(scope: Scope, status: int) -> bool:
    if status in REFUSED:
        return True
    state = scope["state"]
    reading = scope["method"] in READING or state.get("need") in (Need.VIEW, Need.OPEN)
    return not reading and not (state.get("dry_run") and status < 400)


def _entry(scope: Scope, status: int, body: bytes) -> dict[str, Any]:
    state = scope["state"]
    caller: Caller | None = state.get("caller")
    route = scope.get("route")
    entry: dict[str, Any] = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "request": state["request_id"],
        "who": caller.name if caller is not None else "",
        "by": caller.by if caller is not None else "",
        "address": (scope.get("client") or ("", 0))[0],
        "method": scope["method"],
        "path": scope["path"][:1000],
        "operation": getattr(route, "operation_id", None) or "",
        "status": status,
        "outcome": "done" if 0 < status < 400 else "refused" if 400 <= status < 500 else "failed",
    }
    if status >= 400:
        entry |= _reason(status, body)
    return entry


def _reason(status: int, body: bytes) -> dict[str, Any]:
    """Why, without what the client sent."""
    try:
        problem = json.loads(body)
    except ValueError:
        problem = None
    found = problem if isinstance(problem, Mapping) else {}
    reason: dict[str, Any] = {"reason": HTTPStatus(status).phrase}
    if status in TOLD:
        reason["reason"] = str(found.get("detail", ""))[:1000]
    else:
        wrong = [
            f"{one.get('document', '')} {one.get('field', '')}".strip() for one in found.get("errors", ())
        ]
        reason["fields"] = [one[:200] for one in wrong[:20]]
    return reason


def _changed(before: Definitions, after: Definitions, revision: int) -> dict[str, Any]:
    changes = changes_between(before, after)
    if not changes:
        return {"what": []}
    return {"revision": revision, "what": [one.what for one in changes][:1000], "diff": diff_of(changes)}
