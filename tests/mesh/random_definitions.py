"""Random definitions of a gateway's routes and lanes, and random requests that tell them apart."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from tests.mesh.client import Header
from tests.mesh.documents import group, header, lane, route, rule

SERVICES = ("s0", "s1", "s2", "s3")
KEYS = ("k1", "k2", "Uid")
VALUES = (
    "a",
    "b",
    "gray",
    "v1",
    "v22",
    "x,y",
    "ü",
    "a b",
    "1",
    "",
    "lane=red",
    "%61",
    "a+b",
    '"q"',
    "=",
    "Z",
)
REGEXES = ("v[0-9]+", "[a-z]+", ".*", "a|b", "gray|", "(?i)z", "x,.", "[^a]*", "a b?", "v.{1,2}")
HOSTS = ("shop.test", "*.test", "*.shop.test", "a.shop.test", "other.example")
SENT_HOSTS = (
    *(h.replace("*", "b") for h in HOSTS),
    "Shop.Test:8080",
    "c.b.shop.test",
    "nowhere",
    "127.0.0.1:80",
)
PATHS: tuple[dict[str, str], ...] = (
    {"prefix": "/"},
    {"prefix": "/p"},
    {"prefix": "/p/"},
    {"prefix": "/p/q"},
    {"exact": "/p"},
    {"exact": "/p/q"},
    {"exact": "/p/q/"},
    {"regex": "/p/[a-z]+"},
    {"regex": "/.*"},
    {"regex": "/p(/q)?"},
    {"regex": "/r/[0-9]{1,3}"},
)
SOURCES = ("127.8.0.9", "127.8.1.1", "127.9.0.9")
"""Addresses that the requests come from. From 127.0.0.1 Envoy would forward an address of its host."""
NETWORKS = ("127.8.0.0/16", "127.8.1.1", "203.0.113.0/24", "2001:db8::/32", "0.0.0.0/0", "::/0")
PREFIXES = ("a", "v", "x,", "http", "/p", "/p/q", "127.", "shop", "*", "g")
CHANGED: dict[str, tuple[str, ...]] = {
    "x-forwarded-for": ("203.0.113.7", "2001:db8::1, 127.8.0.1", "junk", "::ffff:203.0.113.9", "1.1.1.1,"),
    "x-forwarded-proto": ("http", "https", "HTTPS", "wss"),
    "x-forwarded-host": ("shop.test", "a"),
    "x-forwarded-client-cert": ("By=a", "a"),
    "x-request-id": ("a", "1"),
    "referer": (
        "http://shop.test/", "http://test_ui.test/y", "http://u@a.test/", "/a", "a b", "http://a:99999/", "ü",
        "android-app://a.b/", "http://a.test/#x", "about:blank",
    ),
    "te": ("trailers", "gzip", "gzip, trailers"),
    "keep-alive": ("a", "1"),
    "proxy-connection": ("a",),
    "user_id": ("a", "1"),
    "http2-settings": ("a",),
    "connection": ("k1", "k2, Uid", "te", "user_id,cookie", "referer", "x-forwarded-for", "keep-alive"),
}  # fmt: skip
"""Headers that the edge sets, changes or removes, with values that requests have."""
OPERATORS = ("==", "==", "!=", "in", "percentage", "regex", "prefix", "exists", "absent")
CERTAIN = ("==", "!=", "in", "exists", "absent")
"""Operators whose outcome for a random x-request-id is certain: it is none of the values here."""
SENT_PATHS = (
    "/", "/p", "/p/", "/pq", "/p/q", "/p/q/", "/p/q/r", "/p//q", "/x/../p", "/p/./q", "/p/%2e%2e/p", "/r/1",
    "/r/1234", "/r/1/", "/p/Q", "/P", "/p/..", "//p", "/p/q%2Fr", "/p;a=1", "/%70", "/p/...",
    "/p%2Fq", "/x%5C..%5cp", "/p%2f..%2Fr/1", "/p/..;x=1/r/1", "/p/%252F", "/%2Fp",
)  # fmt: skip


PLAIN_PATHS = ("/p", "/p/q", "/", "/r/1", "/p/")
PLAIN_HOSTS = ("shop.test", "A.Shop.Test", "nowhere", "127.0.0.1", "other.example")
PROBE = "203.0.113.99"


class Generator:
    """Random definitions of one round; every name ends in the round's number."""

    def __init__(self, random_: random.Random, number: int) -> None:
        self.random = random_
        self.number = number
        self.routes: list[dict[str, Any]] = []
        self.groups: list[str] = []
        self.documents: list[dict[str, Any]] = []
        self.trusting = random_.random() < 0.25
        self.hops = random_.choice([0, 0, 1])
        self.lanes: list[str] = []
        self._make()

    def _make(self) -> None:
        pick = self.random
        for index in range(pick.randint(1, 6)):
            more: dict[str, Any] = {"priority": pick.randint(1, 3)}
            if pick.random() < 0.6:
                more["hosts"] = pick.sample(HOSTS, pick.randint(1, 2))
            name = f"r{index}-{self.number}"
            made = route(name, pick.choice(SERVICES), match=self._match(), **more)
            if pick.random() < 0.1:
                del made["service"]
                made["respond"] = {"status": 418, "body": name}
            self.routes.append(made)
        names = [r["name"] for r in self.routes]
        sticky = pick.choice([None, {"header": "k1"}, {"cookie": "sid"}, {"client_address": True}])
        left = dict.fromkeys(names, 100.0)
        lanes: list[dict[str, Any]] = []
        for index in range(pick.randint(1, 3)):
            of = f"g{index}-{self.number}"
            self.groups.append(of)
            self.documents.append(group(of, *pick.sample(SERVICES, pick.randint(1, 4))))
            ratio = pick.random() < 0.3
            for _ in range(pick.randint(1, 5)):
                more = {"priority": pick.randint(1, 3), "enabled": pick.random() < 0.9}
                if pick.random() < 0.3:
                    more["routes"] = pick.sample(names, pick.randint(1, len(names)))
                name = f"{pick.choice('abcdefgh')}{len(lanes)}-{self.number}"
                if ratio:
                    share = round(pick.uniform(0, 30), 2)
                    covered = more.get("routes", names)
                    if any(left[r] < share for r in covered):
                        continue
                    for covered_route in covered:
                        left[covered_route] -= share
                    more["ratio"] = {"percent": share, **({"sticky": sticky} if sticky else {})}
                else:
                    conditions = [self._condition() for _ in range(pick.randint(1, 3))]
                    more["rule"] = rule(*conditions, match=pick.choice(["all", "any"]))
                lanes.append(lane(name, of, pick.choice(["t1", "t2"]), **more))
        # What tells that the edge has this round: a route and a lane of its own.
        probe = f"probe-{self.number}"
        self.routes.append(route(probe, "s0", {"exact": f"/{probe}"}, hosts=[f"{probe}.test"]))
        self.groups.append(probe)
        self.documents.append(group(probe, "s0"))
        # The edge has the round's trusted_hops if it takes the client's address from where it should.
        seen = {
            "source": "client_address",
            "operator": "in",
            "value": [PROBE if self.hops else "127.0.0.0/8"],
        }
        lanes.append(
            lane(probe, probe, "t1", routes=[probe], rule=rule(header("probe", "1"), seen), priority=0)
        )
        self.documents = [*self.routes, *self.documents, *lanes]
        self.lanes = [document["name"] for document in lanes]

    def _match(self) -> dict[str, Any]:
        """What a route asks for besides hosts."""
        pick = self.random
        paths = [dict(path) for path in pick.sample(PATHS, pick.choice([1, 1, 1, 2, 3]))]
        for path in paths:
            if "regex" not in path and pick.random() < 0.2:
                path["ignore_case"] = True
        match: dict[str, Any] = {"path": paths[0]} if len(paths) == 1 else {"paths": paths}
        if pick.random() < 0.15:
            match["methods"] = pick.choice([["GET"], ["POST"], ["GET", "POST"]])
        for source in ("headers", "query"):
            if pick.random() < 0.15:
                asked = [self._compared({"name": pick.choice(KEYS)}, OPERATORS, VALUES)]
                asked += [self._compared({"name": "k1"}, OPERATORS, VALUES)] if pick.random() < 0.2 else []
                match[source] = asked
        return match

    def _condition(self) -> dict[str, Any]:
        pick = self.random
        source = pick.choice(
            ["header", "query", "cookie"] * 3 + ["changed"] * 4 + ["method", "path", "host", "client_address"]
        )
        if source == "client_address":
            operator = pick.choice(["in", "!="])
            value = pick.sample(NETWORKS, pick.randint(1, 2))
            return {"source": source, "operator": operator, "value": value}
        operators = OPERATORS
        values = VALUES
        found: dict[str, Any] = {"source": source, "name": pick.choice(KEYS)}
        if source == "changed":
            name = pick.choice(list(CHANGED))
            found = {"source": "header", "name": name}
            values = (*CHANGED[name], *(f"{value},{pick.choice(SOURCES)}" for value in CHANGED[name]), "a")
            operators = CERTAIN if name == "x-request-id" else operators
        elif source in ("method", "path", "host"):
            found = {"source": source}
            values = {"method": ("GET", "POST"), "path": PLAIN_PATHS, "host": PLAIN_HOSTS}[source]
        return self._compared(found, operators, values)

    def _compared(
        self, found: dict[str, Any], operators: Sequence[str], values: Sequence[str]
    ) -> dict[str, Any]:
        pick = self.random
        source = found.get("source", "")
        operator = pick.choice(operators)
        if operator in ("exists", "absent"):
            return found | {"operator": operator}
        value: Any = pick.choice(values)
        if operator == "in":
            value = pick.sample(values, pick.randint(1, min(3, len(values))))
        elif operator == "percentage":
            value = pick.choice([0, 1, 30, 50, 99, 100])
        elif operator == "regex":
            value = pick.choice((*REGEXES, "https?://.*", ".*127[.]8[.]0[.]9", "/p.*", ".*[.]test"))
        elif operator == "prefix":
            fitting = {"method": ("G", "PO"), "path": ("/p", "/", "/r/"), "host": ("SHOP", "a.", "127.")}
            value = pick.choice(fitting.get(source, PREFIXES))
        return found | {"operator": operator, "value": value}

    def request(self) -> tuple[str, str, str, list[Header]]:
        pick = self.random
        headers: list[Header] = []
        for key in KEYS:
            for _ in range(pick.choice([0, 0, 1, 1, 2])):
                headers.append((pick.choice([key, key.upper()]), pick.choice(VALUES)))
        for _ in range(pick.choice([0, 1, 1, 2])):
            cookies = [
                f"{pick.choice((*KEYS, 'sid'))}={pick.choice(VALUES)}" for _ in range(pick.randint(1, 3))
            ]
            headers.append(("cookie", pick.choice(["; ", ";"]).join(cookies)))
        if pick.random() < 0.15:
            headers.append(
                pick.choice([("x-lane", "a0-1"), ("baggage", "z=1,lane=b0-1"), ("x-laneway-h-1", "a")])
            )
        if pick.random() < 0.3:
            name = pick.choice([*self.lanes, "nobody", ""])
            lines = [
                f"lane={name}",
                f"a=1, lane = {name};p=1",
                f"lane={name},lane",
                f"Lane={name}",
                f"b=2,lane={name},c",
                f"%6Cane={name}",
                f"lane={name},+l%2561ne={self.lanes[0]};p",
                f"a=1=lane%C2%A0={name},;lane",
                f"lane={name},{'x' * 8192},lane=nobody",
                f"; lane ={name},lane;x=lane",
            ]
            headers.append(pick.choice([("x-lane", name), ("baggage", pick.choice(lines))]))
        for name in pick.sample(list(CHANGED), pick.choice([0, 1, 2, 3])):
            for _ in range(pick.choice([1, 1, 2])):
                headers.append((name, pick.choice(CHANGED[name])))
        path = pick.choice(SENT_PATHS)
        pairs = []
        for _ in range(pick.choice([0, 1, 2, 3])):
            value = pick.choice(VALUES)
            encoded = pick.choice([quote(value, safe=""), quote(value, safe="").replace("%20", "+")])
            pairs.append(pick.choice([f"{pick.choice(KEYS)}={encoded}", pick.choice(KEYS)]))
        if pairs:
            path += "?" + "&".join(pairs)
        return pick.choice(["GET", "POST"]), pick.choice(SENT_HOSTS), path, headers
