"""Random sets of rules, and many random requests at once: one bit of a number for each request."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from controlplane.model.conditions import Condition, Rule
from controlplane.model.definitions import Definitions
from controlplane.model.parsing import parse_document
from controlplane.plan.conditions import met
from controlplane.plan.gateways import GatewayPlan, plan_gateway
from controlplane.plan.proof.entries import Entry, entries_of
from controlplane.plan.request import Request

SHOP, OTHER = "shop.example.com", "other.example"
WORDS = {
    ("header", "canary"): [None, "", "gray", "grey", "blue", "gray-1", "blue-2", "1"],
    ("header", "x-user-type"): [None, "vip", "vip-1", "inner", "a", "b"],
    ("query", "city"): [None, "", "hz", "bj", "hz-1", "a b", "é"],
    ("cookie", "uid"): [None, *(f"user-{n}" for n in range(12)), "7"],
    ("method", None): ["GET", "POST", "PUT"],
    ("path", None): ["/a", "/a/x", "/ab", "/b", "/b/1", "/c/items/7", "/"],
    ("host", None): [SHOP, "www.example.com", OTHER, "x.shop.example.com"],
    ("client_address", None): ["10.0.0.1", "10.1.2.3", "192.0.2.1", "2001:db8::1", "172.16.0.9"],
}
REGEXES = {
    "header": [
        "gr[ae]y",
        "gray.*",
        "(?i)GRAY",
        "[a-z]+",
        "[a-z]+-[0-9]",
        "(blue|gray)(-[0-9]+)?",
        ".*",
        "vip|inner",
    ],
    "query": ["h.*", "[a-z]{2}", "hz(-[0-9])?", ".+", "(?s).*"],
    "cookie": ["user-[0-9]", "user-1?[02468]", "[0-9]+", ".*[13579]"],
    "method": ["GET|POST", "P.*", "[A-Z]+"],
    "path": ["/a(/.*)?", "/[ab]/.*", ".*[0-9]", "/c/items/[0-9]+"],
    "host": [r".*\.example\.com", "shop.*", r"[a-z.]+"],
}
NETWORKS = ["10.0.0.0/8", "10.1.0.0/16", "0.0.0.0/0", "::/0", "192.0.2.1", "2001:db8::/32"]
ROUTES = [
    {"match": {"hosts": [SHOP], "path": {"prefix": "/a"}}},
    {"match": {"hosts": ["*.example.com"], "path": {"prefix": "/"}}},
    {"match": {"path": {"prefix": "/a"}}},
    {"match": {"path": {"exact": "/b"}}},
    {"match": {"path": {"prefix": "/b"}, "methods": ["GET", "PUT"]}},
    {"match": {"path": {"regex": "/c/.*"}}},
    {"match": {"path": {"prefix": "/a"}, "headers": [{"name": "canary", "operator": "exists"}]}},
    {"match": {"path": {"prefix": "/"}}},
]


def condition(draw: random.Random) -> dict[str, Any]:
    source, name = draw.choice([*WORDS, ("header", "canary"), ("cookie", "uid")])
    fields: dict[str, Any] = {"source": source} | ({"name": name} if name else {})
    if source == "client_address":
        some = draw.sample(NETWORKS, draw.randint(1, 2))
        return fields | {"operator": draw.choice(["in", "!="]), "value": some}
    texts = [word for word in WORDS[source, name] if word]
    operator = draw.choice(
        ["==", "==", "!=", "in", "in", "prefix", "regex", "percentage", "exists", "absent"]
    )
    value: Any = draw.choice(texts)
    if operator == "in":
        value = draw.sample(texts, draw.randint(1, min(3, len(texts))))
    elif operator == "prefix":
        value = value[: draw.randint(1, len(value))]
    elif operator == "regex":
        value = draw.choice(REGEXES[source])
    elif operator == "percentage":
        value = draw.choice([0, 1, 10, 30, 50, 90, 100])
    elif operator in ("exists", "absent"):
        return fields | {"operator": operator}
    return fields | {"operator": operator, "value": value}


def rule(draw: random.Random) -> dict[str, Any]:
    many = draw.choice([1, 1, 2, 2, 3])
    return {"match": draw.choice(["all", "all", "any"]), "conditions": [condition(draw) for _ in range(many)]}


def definitions(draw: random.Random) -> Definitions:
    """A gateway with some routes, three groups and up to six lanes."""
    documents: list[dict[str, Any]] = [{"kind": "Gateway", "name": "edge", "listeners": [{"port": 8080}]}]
    routes = draw.sample(ROUTES, draw.randint(1, 4))
    documents += [
        {"kind": "Route", "gateway": "edge", "name": f"r{n}", "service": "sc-a", **route}
        for n, route in enumerate(routes)
    ]
    documents += [
        {"kind": "LaneGroup", "name": f"g{n}", "gateway": "edge", "applications": ["sc-a"]} for n in range(3)
    ]
    for n in range(draw.randint(2, 6)):
        some = draw.sample(range(len(routes)), draw.randint(1, len(routes)))
        lane = {
            "kind": "Lane",
            "group": f"g{draw.randrange(3)}",
            "name": f"l{n}",
            "tag": "gray",
            "rule": rule(draw),
        }
        lane |= {"priority": draw.randrange(3)}
        documents.append(
            lane | ({"routes": [f"r{one}" for one in sorted(some)]} if draw.random() < 0.3 else {})
        )
    return Definitions().apply([parse_document(one) for one in documents]).definitions


def planned(of: Definitions) -> tuple[GatewayPlan, list[Entry]]:
    """The plan of the gateway, and its lanes in order."""
    plan = plan_gateway(of.gateways["edge"], of, set(of.lanes), lambda name: name)
    groups = {name: lane.group for name, lane in of.lanes.items()}
    return plan, entries_of(plan, groups, {name: lane.priority for name, lane in of.lanes.items()})


@dataclass
class Pool:
    """Random requests. `masks`: by part and value, the requests that have it there."""

    size: int
    draws: dict[tuple[str, str | None], list[str | None]] = field(default_factory=dict)
    masks: dict[tuple[str, str | None], dict[str | None, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, draw: random.Random, size: int) -> Pool:
        pool = cls(size)
        for part, words in WORDS.items():
            drawn = pool.draws[part] = draw.choices(words, k=size)
            bits: dict[str | None, bytearray] = {word: bytearray(size // 8 + 1) for word in words}
            for at, word in enumerate(drawn):
                bits[word][at >> 3] |= 1 << (at & 7)
            pool.masks[part] = {word: int.from_bytes(found, "little") for word, found in bits.items()}
        return pool

    def meeting(self, of: Condition) -> int:
        """The requests that meet a condition."""
        found = 0
        for word, mask in self.masks[of.source, of.name].items():
            if met(of, None if word is None else word.encode()):
                found |= mask
        return found

    def matching(self, of: Rule) -> int:
        """The requests that meet a rule."""
        masks = [self.meeting(one) for one in of.conditions]
        found = masks[0]
        for mask in masks[1:]:
            found = found & mask if of.match == "all" else found | mask
        return found

    def request(self, at: int) -> Request:
        """One of them."""
        word = {part: drawn[at] for part, drawn in self.draws.items()}
        headers = [
            (name, value)
            for (source, name), value in word.items()
            if source == "header" and name and value is not None
        ]
        if (uid := word["cookie", "uid"]) is not None:
            headers.append(("cookie", f"uid={uid}"))
        city = word["query", "city"]
        escaped = "" if city is None else "?city=" + "".join(f"%{one:02X}" for one in city.encode())
        host, path = word["host", None] or "", word["path", None] or "/"
        method, client = word["method", None] or "GET", word["client_address", None] or ""
        return Request(method, host, path + escaped, tuple(headers), client)
