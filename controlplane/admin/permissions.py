"""Who may call what: the one table of the admin API's paths.

A path without an entry is not served: `complete` raises when the API is made, and `authorised` refuses.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from functools import lru_cache

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Route

from controlplane.admin.paths import path
from controlplane.admin.problems import ApiError
from controlplane.auth.rights import Caller
from controlplane.model.definitions import Definitions
from controlplane.model.kinds import KINDS, Key, Kind, key_of
from controlplane.model.problems import Problem


class Need(Enum):
    """What a caller needs. Everybody who has a role may also read."""

    OPEN = "nothing, not even a token"
    VIEW = "any role"
    OPERATE = "operator of any lane group, or admin"
    GROUP = "operator of the lane group in the path, or admin"
    DOCUMENTS = "operator of the lane groups of all documents that change, or admin"
    ADMIN = "admin"


OPEN, VIEW, OPERATE, GROUP, DOCUMENTS, ADMIN = Need

_GROUP = "/v1/lane-groups/{group}"
_LANE = f"{_GROUP}/lanes/{{lane}}"
_RELEASE = f"{_GROUP}/releases/{{release}}"

TABLE: dict[str, dict[str, Need]] = {
    "/healthz": {"GET": OPEN},
    "/readyz": {"GET": OPEN},
    "/metrics": {"GET": VIEW},
    # A browser cannot send a token for the pages, which are no secret.
    "/": {"GET": OPEN},
    "/assets/{name}": {"GET": OPEN},
    "/openapi.json": {"GET": OPEN},
    "/docs": {"GET": OPEN},
    "/docs/start.js": {"GET": OPEN},
    "/docs/{name}": {"GET": OPEN},
    f"{_GROUP}/matches": {"GET": VIEW},
    f"{_GROUP}/promote": {"POST": GROUP},
    f"{_GROUP}/finish": {"POST": GROUP},
    f"{_GROUP}/rollback": {"POST": GROUP},
    f"{_LANE}/enable": {"POST": GROUP},
    f"{_LANE}/disable": {"POST": GROUP},
    f"{_LANE}/matches": {"GET": VIEW},
    f"{_LANE}/scale-down": {"POST": GROUP},
    f"{_RELEASE}/status": {"GET": VIEW},
    f"{_RELEASE}/events": {"GET": VIEW},
    f"{_RELEASE}/start": {"POST": GROUP},
    f"{_RELEASE}/pause": {"POST": GROUP},
    f"{_RELEASE}/resume": {"POST": GROUP},
    f"{_RELEASE}/approve": {"POST": GROUP},
    f"{_RELEASE}/abort": {"POST": GROUP},
    # Each caller ends only the session of the request itself.
    "/v1/session": {"GET": VIEW, "POST": VIEW, "DELETE": VIEW},
    "/v1/apply": {"POST": DOCUMENTS},
    "/v1/delete": {"POST": DOCUMENTS},
    "/v1/export": {"GET": VIEW},
    "/v1/warnings": {"GET": VIEW},
    "/v1/explain": {"POST": VIEW},
    "/v1/revisions": {"GET": VIEW},
    "/v1/revisions/{revision}/undo": {"POST": DOCUMENTS},
    "/v1/revisions/{revision}/restore": {"POST": DOCUMENTS},
    "/v1/services": {"GET": VIEW},
    "/v1/services/{service:path}": {"GET": VIEW},
    "/v1/proxies": {"GET": VIEW},
    "/v1/proxies/{node:path}": {"GET": VIEW},
    "/v1/configuration/{node:path}": {"GET": VIEW},
    # These have proxies report requests, which costs them something.
    "/v1/traces": {"POST": OPERATE},
    "/v1/traces/{trace}": {"GET": VIEW, "DELETE": OPERATE},
    "/v1/propagation": {"GET": VIEW, "POST": OPERATE, "DELETE": OPERATE},
    "/v1/metrics/applications/{application}": {"GET": VIEW},
    "/v1/metrics/services/{service:path}": {"GET": VIEW},
    "/v1/metrics/lanes/{lane}": {"GET": VIEW},
    "/v1/metrics/gateways/{gateway}": {"GET": VIEW},
    "/v1/metrics/gateways/{gateway}/routes/{route}": {"GET": VIEW},
    "/v1/metrics/summary": {"GET": VIEW},
    "/v1/metrics/stream": {"GET": VIEW},
    "/v1/metrics/own": {"GET": VIEW},
}
"""By path, as its route is written, and method. Those of the kinds of documents come from `_of_kind`."""


def _of_kind(kind: Kind) -> dict[str, dict[str, Need]]:
    """What is under a lane group belongs to its operators. The group itself does not: it says which
    applications its lanes reach, which they must not widen.
    """
    change = GROUP if kind.parent == "LaneGroup" else ADMIN
    entries = {path(kind, False): {"GET": VIEW}}
    entries[path(kind, True)] = {"GET": VIEW, "PUT": change, "PATCH": change, "DELETE": change}
    if kind.parent:
        entries[f"/v1/{kind.plural}"] = {"GET": VIEW}
    return entries


@lru_cache(maxsize=4)
def _table(kinds: tuple[str, ...]) -> dict[str, dict[str, Need]]:
    found = dict(TABLE)
    for name in kinds:
        for where, methods in _of_kind(KINDS[name]).items():
            found[where] = {**methods, **found.get(where, {})}
    return found


def table() -> dict[str, dict[str, Need]]:
    """What each operation needs, by path and method."""
    return _table(tuple(KINDS))


OPERATED_FIELDS: dict[str, frozenset[str]] = {"LaneGroup": frozenset({"promoted"})}
"""Fields of a lane group that its operators may change, by kind."""

READING = frozenset({"GET", "HEAD", "OPTIONS"})


def complete(routes: Iterable[BaseRoute]) -> None:
    """Check that each route has its entries, and each entry its route. Raises LookupError."""
    needs = table()
    served: set[tuple[str, str]] = set()
    for route in routes:
        where = getattr(route, "path", str(route))
        if not isinstance(route, Route):
            raise LookupError(f"{where} is not a route with methods: nobody asks there who may call it")
        for method in (route.methods or set()) - {"HEAD"}:
            need = needs.get(where, {}).get(method)
            if need is None:
                raise LookupError(
                    f"{method} {where} has no entry in controlplane/admin/permissions.py: "
                    "add it to TABLE and say who may call it"
                )
            if need is not Need.OPEN and not isinstance(route, APIRoute):
                raise LookupError(f"{method} {where} is not an APIRoute: nobody asks there who may call it")
            served.add((method, where))
    for where, methods in needs.items():
        for method in methods:
            if (method, where) not in served:
                raise LookupError(
                    f"{method} {where} is in TABLE of controlplane/admin/permissions.py, but is not served: "
                    "remove the entry"
                )


def is_open(method: str, path: str) -> bool:
    """Whether a request to this path needs no credentials."""
    return method in READING and (path in _OPEN or path.startswith(("/docs/", "/assets/")))


_OPEN = frozenset(path for path, methods in TABLE.items() if methods.get("GET") is OPEN)


def need_of(request: Request) -> Need:
    """What the matched route of a request needs; ADMIN where the table does not say it."""
    return table().get(request.scope["route"].path, {}).get(request.method, Need.ADMIN)


async def authorised(request: Request) -> None:
    """Refuse a caller who may not call this operation. Raises ApiError 403."""
    need = need_of(request)
    request.scope["state"]["need"] = need
    if need is Need.OPEN:
        return
    caller: Caller = request.scope["state"]["caller"]
    rights = caller.rights
    group = request.path_params.get("group", "")
    may = {
        Need.VIEW: True,
        Need.OPERATE: rights.admin or bool(rights.groups),
        Need.DOCUMENTS: rights.admin or bool(rights.groups),
        Need.GROUP: rights.operates(group),
        Need.ADMIN: rights.admin,
    }[need]
    if not may:
        wanted = f"operator of lane group {group}" if need is Need.GROUP else need.value
        raise forbidden(caller, f"{request.method} {request.url.path} needs {wanted}")


def forbidden(caller: Caller, needed: str, document: str = "") -> ApiError:
    """The answer to a caller without the role that is needed."""
    who = f"{caller.name} has the role {caller.rights}"
    wrong = Problem("Authorization", f"does not suffice: {needed}", None, "ask with another token", document)
    return ApiError(403, f"{needed[:500]}; {who}.", wrong)


def permitted(caller: Caller, before: Definitions, after: Definitions) -> None:
    """Check that the caller may change every document in which the definitions differ. Raises ApiError 403.

    Slots that other lanes get as a consequence are not the caller's change.
    """
    if caller.rights.admin:
        return
    for key in _differing(before, after):
        group = key.parent if KINDS[key.kind].parent == "LaneGroup" else ""
        if key.kind in OPERATED_FIELDS and _only_operated(key, before, after):
            group = key.name
        if not caller.rights.operates(group):
            needed = f"operator of lane group {group}, or admin" if group else "admin"
            raise forbidden(caller, f"to change {key} needs {needed}", str(key))


def _differing(before: Definitions, after: Definitions) -> list[Key]:
    old = {key_of(document): document for document in before.documents()}
    new = {key_of(document): document for document in after.documents()}
    keys = [*old, *(key for key in new if key not in old)]
    return [key for key in keys if old.get(key) is not new.get(key) and old.get(key) != new.get(key)]


def _only_operated(key: Key, before: Definitions, after: Definitions) -> bool:
    old, new = before.get(key), after.get(key)
    if old is None or new is None:
        return False
    left = OPERATED_FIELDS[key.kind]
    one, other = ({k: v for k, v in d.model_dump().items() if k not in left} for d in (old, new))
    return one == other
