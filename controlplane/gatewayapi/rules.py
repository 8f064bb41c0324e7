"""One rule of an HTTPRoute as routes of Laneway. Pure.

The fields are those of `HTTPRouteRule` in the Gateway API, version 1.6, standard channel.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from controlplane.gatewayapi.objects import Json, Said, Unsupported

RULE_FIELDS = frozenset({"name", "matches", "filters", "backendRefs", "timeouts"})
MATCH_FIELDS = frozenset({"path", "headers", "queryParams", "method"})
UNITS = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
OPERATORS = {"Exact": "==", "RegularExpression": "regex"}
NO_BACKEND = 500
"""The status with which requests are answered that a rule leads to no Service."""

Resolve = Callable[[Json], str | Said]
"""The service of a backendRef, or the condition ResolvedRefs that says why there is none."""
Body = dict[str, Any]


class Translated(NamedTuple):
    """bodies: routes without gateway, name and hosts. unresolved: conditions of backends that are missing."""

    bodies: list[Body]
    unresolved: list[Said]


def translate(rule: Json, resolve: Resolve) -> Translated:
    """Raises Unsupported."""
    _only(rule, RULE_FIELDS, "")
    fields, unresolved = _action(rule, resolve)
    paths: dict[tuple[Any, ...], list[Body]] = {}
    rest: dict[tuple[Any, ...], Body] = {}
    for match in rule.get("matches") or [{}]:
        _only(match, MATCH_FIELDS, "matches.")
        others = _others(match)
        key = tuple(repr(others[name]) for name in sorted(others)), *sorted(others)
        rest[key] = others
        path = _path(match.get("path") or {})
        if path not in paths.setdefault(key, []):
            paths[key].append(path)
    bodies = [{**fields, "match": {**others, "paths": paths[key]}} for key, others in rest.items()]
    return Translated(bodies, unresolved)


def _only(value: Json, known: Iterable[str], where: str) -> None:
    unknown = sorted(name for name, given in value.items() if given is not None and name not in known)
    if unknown:
        raise Unsupported(f"{where}{unknown[0]} is not supported")


def _path(path: Json) -> Body:
    kind, value = path.get("type") or "PathPrefix", path.get("value") or "/"
    if kind == "Exact":
        return {"exact": value}
    if kind == "PathPrefix":
        return {"prefix": _prefix(value)}
    if kind == "RegularExpression":
        return {"regex": value}
    raise Unsupported(f"matches.path.type {kind} is not supported")


def _prefix(value: str) -> str:
    """A slash at the end means nothing (`HTTPPathMatch`)."""
    return value.rstrip("/") or "/"


def _others(match: Json) -> Body:
    found: Body = {}
    if match.get("method"):
        found["methods"] = [match["method"]]
    if match.get("headers"):
        found["headers"] = _keys(match["headers"], "headers", str.lower)
    if match.get("queryParams"):
        found["query"] = _keys(match["queryParams"], "queryParams", str)
    return found


def _keys(given: Iterable[Json], where: str, same: Callable[[str], str]) -> list[Body]:
    """Of several entries with one name, the first counts."""
    found: dict[str, Body] = {}
    for one in given:
        kind = one.get("type") or "Exact"
        if kind not in OPERATORS:
            raise Unsupported(f"matches.{where}.type {kind} is not supported")
        body = {"name": one["name"], "operator": OPERATORS[kind], "value": one["value"]}
        found.setdefault(same(one["name"]), body)
    return list(found.values())


def _action(rule: Json, resolve: Resolve) -> tuple[Body, list[Said]]:
    fields: Body = {}
    headers: dict[str, Body] = {}
    for one in rule.get("filters") or ():
        kind = one["type"]
        if kind not in FILTERS:
            raise Unsupported(f"the filter {kind} is not supported")
        FILTERS[kind](one, fields, headers)
    timeout = _timeout(rule.get("timeouts") or {})
    if timeout is not None:
        fields["timeout"] = timeout
    unresolved: list[Said] = []
    if "redirect" not in fields:
        service = _service(rule.get("backendRefs") or (), resolve, unresolved)
        if service is not None:
            fields["service"] = service
        else:
            fields["respond"] = {"status": NO_BACKEND}
            fields.pop("rewrite", None)
            headers.pop("request", None)
    if headers:
        fields["headers"] = headers
    return fields, unresolved


def _service(backends: Iterable[Json], resolve: Resolve, unresolved: list[Said]) -> str | None:
    used = [one for one in backends if one.get("weight", 1) != 0]
    if len(used) > 1:
        raise Unsupported(
            "backendRefs names several backends; a route of Laneway leads to one Service, and lanes share "
            "out its requests"
        )
    for one in used:
        if one.get("filters"):
            raise Unsupported("filters of a backendRef are not supported; move them to the rule")
        found = resolve(one)
        if isinstance(found, str):
            return found
        unresolved.append(found)
    return None


def _timeout(timeouts: Json) -> str | None:
    """Of one request to the client there is one to the backend, so the shorter time holds for both."""
    given = [_milliseconds(timeouts[name]) for name in ("request", "backendRequest") if timeouts.get(name)]
    if not given:
        return None
    least = min((one for one in given if one), default=0)
    return f"{least // 1000}s" if least % 1000 == 0 else f"{least}ms"


def _milliseconds(duration: str) -> int:
    """A duration of the Gateway API (GEP-2257), such as 1h30m."""
    return sum(int(number) * UNITS[unit] for number, unit in re.findall(r"([0-9]+)(ms|h|m|s)", duration))


# Filters.


def _change_headers(given: Json) -> Body:
    def named(name: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for one in given.get(name) or ():
            if one["name"].lower() not in {known.lower() for known in found}:
                found[one["name"]] = one["value"]
        return found

    found: Body = {"set": named("set"), "add": named("add"), "remove": list(given.get("remove") or ())}
    return {name: value for name, value in found.items() if value}


def _request_headers(one: Json, fields: Body, headers: dict[str, Body]) -> None:
    headers["request"] = _change_headers(one["requestHeaderModifier"])


def _response_headers(one: Json, fields: Body, headers: dict[str, Body]) -> None:
    headers["response"] = _change_headers(one["responseHeaderModifier"])


def _redirect(one: Json, fields: Body, headers: dict[str, Body]) -> None:
    given = one["requestRedirect"]
    found: Body = {"status": given.get("statusCode", 302)}
    for theirs, ours in (("scheme", "scheme"), ("hostname", "host"), ("port", "port")):
        if given.get(theirs) is not None:
            found[ours] = given[theirs]
    fields["redirect"] = found | _replaced_path("requestRedirect", given, lambda whole: {"path": whole})


def _rewrite(one: Json, fields: Body, headers: dict[str, Body]) -> None:
    given = one["urlRewrite"]
    found: Body = {"host": given["hostname"]} if given.get("hostname") else {}
    fields["rewrite"] = found | _replaced_path("urlRewrite", given, _whole_path)


def _whole_path(path: str) -> Body:
    return {"regex": "/.*", "substitution": path.replace("\\", "\\\\")}


def _replaced_path(name: str, given: Json, whole: Callable[[str], Body]) -> Body:
    """What `path` of the filter `name` says. `whole`: how one path for all is written. Raises Unsupported."""
    path = given.get("path") or {}
    if path.get("type") == "ReplaceFullPath":
        return whole(path.get("replaceFullPath") or "/")
    if path.get("type") == "ReplacePrefixMatch":
        return {"prefix": _prefix(path.get("replacePrefixMatch") or "/")}
    if path:
        raise Unsupported(f"{name}.path.type {path.get('type')} is not supported")
    return {}


def _cors(one: Json, fields: Body, headers: dict[str, Body]) -> None:
    given = one["cors"]
    names = {
        "allowOrigins": "allow_origins",
        "allowMethods": "allow_methods",
        "allowHeaders": "allow_headers",
        "exposeHeaders": "expose_headers",
    }
    found: Body = {ours: list(given[theirs]) for theirs, ours in names.items() if given.get(theirs)}
    if given.get("allowCredentials"):
        found["allow_credentials"] = True
    if given.get("maxAge"):
        found["max_age"] = f"{given['maxAge']}s"
    fields["cors"] = found


FILTERS: Mapping[str, Callable[[Json, Body, dict[str, Body]], None]] = {
    "RequestHeaderModifier": _request_headers,
    "ResponseHeaderModifier": _response_headers,
    "RequestRedirect": _redirect,
    "URLRewrite": _rewrite,
    "CORS": _cors,
}
