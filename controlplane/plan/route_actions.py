"""What a route does with a request besides choosing a service, and what becomes of the request in Python."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from controlplane.model.documents import Route
from controlplane.model.route_actions import (
    Cors,
    Redirect,
    RequestHeaders,
    Respond,
    ResponseHeaders,
    Retries,
    Rewrite,
)
from controlplane.plan.conditions import compiled, full_match

PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class HeaderChanges:
    """Headers to set and to add, as (name, value), and to remove."""

    set: tuple[tuple[str, str], ...] = ()
    add: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RouteActions:
    """What a route does besides choosing a service.

    At most one of `redirect` and `respond` is set; then the edge answers by itself.
    """

    rewrite: Rewrite | None = None
    request: HeaderChanges = HeaderChanges()
    response: HeaderChanges = HeaderChanges()
    cors: Cors | None = None
    redirect: Redirect | None = None
    respond: Respond | None = None
    retries: Retries | None = None


def changes_of(given: RequestHeaders | ResponseHeaders | None) -> HeaderChanges:
    """The changes of headers that a definition lists, as an immutable value."""
    if given is None:
        return HeaderChanges()
    return HeaderChanges(tuple(given.set.items()), tuple(given.add.items()), given.remove)


def actions_of(route: Route) -> RouteActions:
    """The actions of a route's definition, as an immutable value."""
    return RouteActions(
        rewrite=route.rewrite,
        request=changes_of(route.headers and route.headers.request),
        response=changes_of(route.headers and route.headers.response),
        cors=route.cors,
        redirect=route.redirect,
        respond=route.respond,
        retries=route.retries,
    )


def prefix_rewrite(prefix: str, new: str, ignore_case: bool) -> tuple[str, str]:
    """Regex and substitution that replace the path segments `prefix` by `new`, without making double
    slashes.
    """
    old, new = prefix.rstrip("/"), new.rstrip("/")
    any_case = "(?i)" if ignore_case else ""
    literal = re.sub(r"([^A-Za-z0-9_/-])", r"\\\1", old)
    replacement = new.replace("\\", "\\\\")
    if new:
        return f"^{any_case}{literal}(.*)$", f"{replacement}\\1"
    return f"^{any_case}{literal}/?(.*)$", "/\\1"


def path_rewrite(rewrite: Rewrite, prefix: str | None, ignore_case: bool) -> tuple[str, str] | None:
    """Regex and substitution for the path without its query; None if the path stays as it is."""
    if rewrite.prefix is not None:
        return prefix_rewrite(prefix or "/", rewrite.prefix, ignore_case)
    if rewrite.regex is not None:
        return rewrite.regex, rewrite.substitution or ""
    return None


def rewritten(path: str, change: tuple[str, str] | None) -> str:
    """`path` after RE2's GlobalReplace, which Envoy uses (RegexMatchAndSubstitute)."""
    if change is None:
        return path
    pattern, substitution = change

    def replacement(match: re.Match[str]) -> str:
        return re.sub(
            r"\\(.)",
            lambda found: "\\" if found[1] == "\\" else match.group(int(found[1])) or "",
            substitution,
        )

    return compiled(pattern).sub(replacement, path)


def location(
    redirect: Redirect, host: str, path: str, query: str, change: tuple[str, str] | None, scheme: str
) -> str:
    """The Location of a redirect of a request that came by `scheme`.

    `path` has no query, which is in `query`. `change` is set if the redirect replaces a prefix of the path.
    """
    scheme = redirect.scheme or scheme
    name, port = _split(host)
    if redirect.port is not None:
        port = f":{redirect.port}"
    elif redirect.host is not None:
        port = ""
    if redirect.scheme is not None and redirect.port is None and port in (":80", ":443"):
        port = ""
    target = redirect.path if redirect.path is not None else rewritten(path, change)
    left = "" if redirect.strip_query or not query else f"?{query}"
    return f"{scheme}://{redirect.host or name}{port}{target}{left}"


def _split(authority: str) -> tuple[str, str]:
    found = re.fullmatch(r"(.*?)(:[0-9]+)?", authority)
    return (found[1], found[2] or "") if found else (authority, "")


def origin_pattern(origin: str) -> str:
    """A regex for an allowed origin whose host begins with `*.`."""
    scheme, _, rest = origin.partition("://*.")
    return f"{re.escape(scheme)}://[^/]+\\.{re.escape(rest)}"


def allows(cors: Cors, origin: str) -> bool:
    """Whether pages of `origin` may use the route."""
    return any(
        allowed in ("*", origin)
        or ("://*." in allowed and full_match(origin_pattern(allowed), origin.encode()))
        for allowed in cors.allow_origins
    )


def is_preflight(method: str, values: Mapping[str, bytes]) -> bool:
    """Whether the request is a browser's question what pages of another origin may do (CORS preflight)."""
    asked = values.get("origin") and values.get("access-control-request-method")
    return method == "OPTIONS" and bool(asked)
