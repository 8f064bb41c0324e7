"""Definitions as tests write them: dictionaries with what they do not vary filled in."""

from __future__ import annotations

from typing import Any


def route(name: str, service: str, path: Any = None, **more: Any) -> dict[str, Any]:
    match: dict[str, Any] = more.pop("match", None) or {"path": path or {"prefix": f"/{name}"}}
    if "hosts" in more:
        match["hosts"] = more.pop("hosts")
    return {"kind": "Route", "gateway": "edge", "name": name, "service": service, "match": match, **more}


def group(name: str, *applications: str, **more: Any) -> dict[str, Any]:
    return {"kind": "LaneGroup", "name": name, "gateway": "edge", "applications": list(applications), **more}


def lane(name: str, of: str = "order-flow", tag: str = "", **more: Any) -> dict[str, Any]:
    if "rule" not in more and "ratio" not in more:
        more["rule"] = rule(header("canary", name))
    return {"kind": "Lane", "group": of, "name": name, "tag": tag or name, **more}


def rule(*conditions: dict[str, Any], match: str = "all") -> dict[str, Any]:
    return {"match": match, "conditions": list(conditions)}


def condition(source: str, name: str, operator: str, value: Any) -> dict[str, Any]:
    return {"source": source, "name": name, "operator": operator, "value": value}


def header(name: str, value: Any, operator: str = "==") -> dict[str, Any]:
    return condition("header", name, operator, value)
