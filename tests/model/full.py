"""Documents in which every field of every kind is given."""

from __future__ import annotations

from typing import Any


def changes() -> dict[str, Any]:
    return {"set": {"x-a": "1"}, "add": {"x-b": "2"}, "remove": ["x-c"]}


def condition(operator: str, value: Any, source: str = "header") -> dict[str, Any]:
    return {"source": source, "name": "canary", "operator": operator, "value": value}


def route(**path: str) -> dict[str, Any]:
    return {
        "kind": "Route",
        "gateway": "edge",
        "name": "a",
        "match": {"hosts": ["shop.example.com", "*.example.com"], "path": path},
        "priority": 100,
        "service": "sc-A",
        "timeout": "5s",
        "idle_timeout": "1m",
    }


def ratio_lane(**sticky: Any) -> dict[str, Any]:
    return {
        "kind": "Lane",
        "group": "spring-sale",
        "name": "sale",
        "tag": "sale",
        "enabled": True,
        "priority": 100,
        "routes": ["a", "b"],
        "fallback": "none",
        "ratio": {"percent": 30.25, "routes": {"a": 10}, "sticky": sticky},
    }


GROUP = {
    "kind": "LaneGroup",
    "name": "order-flow",
    "gateway": "edge",
    "applications": ["spring-cloud-a", "spring-cloud-b"],
    "inherit_tag": False,
    "colour_by_trace": True,
    "promoted": "gray",
}
CONTENT_LANE = {
    "kind": "Lane",
    "group": "order-flow",
    "name": "gray",
    "tag": "Gray",
    "enabled": False,
    "enabled_until": "2026-12-01T08:00:00Z",
    "from": "2026-11-01T09:00:00+01:00",
    "until": "2026-12-24T09:00:00.5-08:00",
    "schedule": {"days": ["mon", "fri"], "hours": ["09:00-17:00"], "time_zone": "Europe/Berlin"},
    "priority": -1,
    "routes": ["a"],
    "fallback": {"spring-cloud-a": "none"},
    "response_headers": changes(),
    "rule": {
        "match": "any",
        "conditions": [
            condition("==", "gray"),
            condition("!=", "", "query"),
            condition("in", ["hz", "bj"], "cookie"),
            condition("percentage", 30),
            condition("regex", "a.*"),
            condition("prefix", "a"),
            {"source": "header", "name": "canary", "operator": "exists"},
            {"source": "client_address", "operator": "in", "value": ["10.0.0.0/8", "fd00::/8"]},
        ],
    },
}


def key() -> dict[str, Any]:
    return {"name": "k", "operator": "==", "value": "v"}


DRESSED_ROUTE = {
    "kind": "Route",
    "gateway": "edge",
    "name": "a",
    "match": {
        "hosts": [],
        "paths": [{"prefix": "/a", "ignore_case": True}],
        "methods": ["GET"],
        "headers": [key()],
        "query": [key()],
    },
    "priority": 100,
    "service": "sc-A",
    "source": "kubernetes",
    "timeout": "5s",
    "headers": {"request": changes(), "response": changes()},
    "cors": {
        "allow_origins": ["https://a.test"],
        "allow_methods": ["GET"],
        "allow_headers": ["x-a"],
        "expose_headers": ["x-b"],
        "max_age": "5s",
        "allow_credentials": True,
    },
    "retries": {"conditions": ["5xx"], "statuses": [503], "tries": 3, "per_try_timeout": "1s"},
}


def redirecting(**where: str) -> dict[str, Any]:
    to = {"scheme": "https", "host": "a.test", "port": 443, "strip_query": True, "status": 308}
    match = {"hosts": [], "path": {"prefix": "/a"}}
    return {"kind": "Route", "gateway": "edge", "name": "a", "match": match, "redirect": {**to, **where}}


def rewriting(**how: str) -> dict[str, Any]:
    return {**route(prefix="/a"), "rewrite": {"host": "a.test", **how}}


def application(balancing: dict[str, Any], check: dict[str, Any]) -> dict[str, Any]:
    named = {
        "kind": "Application",
        "name": "spring-cloud-a",
        "services": ["sc-A"],
        "callers": ["spring-cloud-b", "gateway/edge"],
    }
    return {**named, "load_balancing": balancing, "health_check": {**check, "interval": "5s"}}


FULL: dict[str, tuple[str, dict[str, Any]]] = {
    "gateway": (
        "/v1/gateways/edge",
        {
            "kind": "Gateway",
            "name": "edge",
            "listeners": [{"port": 8080, "address": "127.0.0.1"}],
            "carriers": {"header": "x-lane", "baggage": "lane"},
            "trust_client_lane": True,
            "trusted_hops": 1,
            "headers_with_underscores": "keep",
            "envoy_patches": [
                {
                    "resource": "cluster",
                    "name": "file///sc-A|base",
                    "operations": [{"op": "replace", "path": "/connect_timeout", "value": "1s"}],
                },
            ],
        },
    ),
    "gateway with ports of every kind": (
        "/v1/gateways/edge",
        {
            "kind": "Gateway",
            "name": "edge",
            "listeners": [
                {"port": 8080, "address": "127.0.0.1", "redirect_to_https": 443},
                {"port": 8081, "address": "127.0.0.1", "proxy_protocol": True},
                {
                    "port": 8444,
                    "address": "127.0.0.1",
                    "tls": {"certificate": "/tls/a.crt", "key": "/tls/a.key"},
                    "http3": {"port": 443},
                },
                {
                    "port": 8443,
                    "address": "127.0.0.1",
                    "tls": {
                        "certificate": "/tls/a.crt",
                        "key": "/tls/a.key",
                        "sni": [
                            {"hosts": ["a.test"], "certificate": "/tls/b.crt", "key": "/tls/b.key"},
                            {"hosts": ["b.test"], "secret": "held"},
                        ],
                    },
                },
                {"port": 8445, "address": "127.0.0.1", "tls": {"secret": "held"}},
            ],
            "carriers": {"header": "x-lane", "baggage": "lane"},
            "trusted_hops": 1,
            "keep_request_id": True,
            "header_limits": {"lines": 50, "kib": 16},
            "access_log": {
                "path": "/dev/stdout",
                "format": "json",
                "otlp": {"host": "otel.example.com", "port": 4317},
                "percent": 12.5,
            },
            "tracing": {"collector": {"host": "10.0.0.9", "port": 4317}, "percent": 1},
        },
    ),
    "route by prefix": ("/v1/gateways/edge/routes/a", route(prefix="/a")),
    "route by exact path": ("/v1/gateways/edge/routes/a", route(exact="/a")),
    "route by regex": ("/v1/gateways/edge/routes/a", route(regex="/a.*")),
    "route with everything": ("/v1/gateways/edge/routes/a", DRESSED_ROUTE),
    "route that rewrites a prefix": ("/v1/gateways/edge/routes/a", rewriting(prefix="/b")),
    "route that rewrites by regex": ("/v1/gateways/edge/routes/a", rewriting(regex="/b", substitution="/c")),
    "route that redirects to a path": ("/v1/gateways/edge/routes/a", redirecting(path="/b")),
    "route that redirects a prefix": ("/v1/gateways/edge/routes/a", redirecting(prefix="/b")),
    "route that answers": (
        "/v1/gateways/edge/routes/a",
        {
            "kind": "Route",
            "gateway": "edge",
            "name": "a",
            "match": {"hosts": [], "path": {"exact": "/a"}},
            "respond": {"status": 200, "body": "a", "content_type": "text/plain"},
        },
    ),
    "application": (
        "/v1/applications/spring-cloud-a",
        {
            "kind": "Application",
            "name": "spring-cloud-a",
            "services": ["sc-A"],
            "health_check": {"path": "/healthz", "interval": "5s"},
            "keep_alive": "2s",
            "access_log": {"path": "/dev/stdout", "otlp": {"host": "10.0.0.9"}, "percent": 50},
            "timeouts": {"request": "5s", "idle": "30s"},
            "load_balancing": {"policy": "least_request"},
            "circuit_breaking": {"connections": 5, "pending": 5, "requests": 5, "retries": 5},
        },
    ),
    "application by hash of a header": (
        "/v1/applications/spring-cloud-a",
        application({"policy": "ring_hash", "hash_by": {"header": "x-user"}}, {"tcp": True}),
    ),
    "application by hash of a cookie": (
        "/v1/applications/spring-cloud-a",
        application({"policy": "maglev", "hash_by": {"cookie": "uid"}}, {"grpc": {"service": "stock"}}),
    ),
    "content lane": ("/v1/lane-groups/order-flow/lanes/gray", CONTENT_LANE),
    "lane group": ("/v1/lane-groups/order-flow", GROUP),  # names the lane
    "ratio by header": ("/v1/lane-groups/spring-sale/lanes/sale", ratio_lane(header="user")),
    "ratio by cookie": (
        "/v1/lane-groups/spring-sale/lanes/sale",
        ratio_lane(
            cookie="s",
            attributes={
                "path": "/a",
                "domain": "a.test",
                "max_age": "720h",
                "secure": True,
                "http_only": False,
                "same_site": "strict",
            },
        ),
    ),
    "release": (
        "/v1/lane-groups/spring-sale/releases/rollout",
        {
            "kind": "Release",
            "group": "spring-sale",
            "name": "rollout",
            "lane": "sale",
            "steps": [
                {"percent": 5, "hold": "5m", "approval": True, "persons": 2, "by_others": True},
            ],
            "hooks": [
                {
                    "name": "smoke",
                    "when": "before",
                    "url": "https://a.test/smoke",
                    "timeout": "9s",
                    "failures": 3,
                },
            ],
            "windows": [{"days": ["mon"], "hours": "09:00-17:00", "time_zone": "Europe/Berlin"}],
            "checks": [
                {
                    "measure": "query",
                    "prometheus": "http://a.test:9090",
                    "query": "up",
                    "min": 1,
                    "max": 2,
                    "failures": 2,
                },
                {
                    "measure": "latency",
                    "quantile": 0.99,
                    "max": 100,
                    "above_base": 5,
                    "window": "1m",
                    "requests": 50,
                    "failures": 2,
                },
            ],
            "interval": "10s",
            "patience": "1h",
            "at_end": "promote",
        },
    ),
    "freeze": (
        "/v1/freezes/december",
        {
            "kind": "Freeze",
            "name": "december",
            "from": "2026-12-20T00:00:00Z",
            "until": "2027-01-03T00:00:00+01:00",
            "groups": ["spring-sale"],
            "reason": "holidays",
        },
    ),
    "ratio by address": ("/v1/lane-groups/spring-sale/lanes/sale", ratio_lane(client_address=True)),
}
"""URL and document by what it is."""

OPTIONAL = {"idle_timeout", "health_check", "routes", "rule", "ratio", "sticky", "prefix", "exact", "regex"}
OPTIONAL |= {"paths", "ignore_case", "methods", "headers", "query", "rewrite", "cors", "retries", "redirect"}
OPTIONAL |= {"respond", "request", "response", "host", "substitution", "allow_methods", "allow_headers"}
OPTIONAL |= {
    "port",
    "expose_headers",
    "max_age",
    "conditions",
    "statuses",
    "per_try_timeout",
    "scheme",
    "path",
}
OPTIONAL |= {"header", "cookie", "client_address"}
OPTIONAL |= {"tls", "redirect_to_https", "proxy_protocol", "sni", "certificate", "key", "secret"}
OPTIONAL |= {"http3", "attributes", "domain"}
OPTIONAL |= {"envoy_patches"}
OPTIONAL |= {"timeouts", "request", "idle", "load_balancing", "hash_by", "circuit_breaking", "connections"}
OPTIONAL |= {"pending", "requests", "grpc", "tcp", "path"}
OPTIONAL |= {"keep_request_id", "header_limits", "access_log", "response_headers"}
OPTIONAL |= {"otlp", "tracing", "callers", "promoted"}
OPTIONAL |= {
    "approval",
    "quantile",
    "max",
    "above_base",
    "min",
    "persons",
    "by_others",
    "windows",
    "groups",
    "reason",
}
OPTIONAL |= {"enabled_until", "from", "until", "schedule", "days", "hours"}
"""Fields that may be absent altogether, so that null says nothing wrong (`routes` of a lane alone)."""
