"""What a change moves is told with requests that show it; nothing that random requests find is missed."""

from __future__ import annotations

import random

from controlplane.model.definitions import Definitions
from controlplane.model.parsing import parse_document, parse_documents
from controlplane.plan.evaluate import decide
from controlplane.plan.moves import Place, ShareChange, moved
from tests.plan.proof.sets import Pool, definitions, planned, rule

SHOP = b"""
{kind: Gateway, name: edge, listeners: [{port: 80}]}
---
{kind: Route, gateway: edge, name: a, service: sc-A, match: {path: {prefix: /a}}}
---
{kind: LaneGroup, name: g, gateway: edge, applications: [a]}
---
kind: Lane
group: g
name: gray
tag: gray
rule: {conditions: [{source: header, name: x, operator: "==", value: gray}]}
---
{kind: LaneGroup, name: shares, gateway: edge, applications: [a]}
---
{kind: Lane, group: shares, name: sale, tag: sale, ratio: {percent: 10}}
"""


NOW = 1_774_600_000.0
"""A Friday, 2026-03-27T09:26:40+01:00."""
GRAY = b"""
kind: Lane
group: g
name: gray
tag: gray
enabled: true
rule: {conditions: [{source: header, name: x, operator: prefix, value: gr}]}
"""


def applied(text: bytes, to: Definitions | None = None) -> Definitions:
    return (to or Definitions()).apply(parse_documents(text)).definitions


def test_a_switched_and_a_changed_lane_move_their_requests() -> None:
    now = applied(SHOP)
    assert moved(now, now, NOW).moves == ()
    off = now.put(now.lanes["gray"].model_copy(update={"enabled": False}))
    (one,) = moved(now, off, NOW).moves
    assert (one.before, one.after) == (Place("a", "gray"), Place("a", None, by_share=True))
    assert one.request.headers == (("x", "gray"),)
    assert decide(planned(now)[0], one.request).lane == "gray"
    wider = applied(SHOP.replace(b'"==", value: gray', b"prefix, value: gr"), off)
    again = applied(GRAY, now)
    (one,) = moved(now, again, NOW).moves
    assert (one.before, one.after) == (Place("a", None, by_share=True), Place("a", "gray"))
    assert moved(wider, off, NOW).moves == ()  # it was not switched on


def test_shares_and_routes_that_change_are_told() -> None:
    now = applied(SHOP)
    more = applied(b"{kind: Lane, group: shares, name: sale, tag: sale, ratio: {percent: 30}}", now)
    assert moved(now, more, NOW).shares == (ShareChange("edge", "a", "sale", 10.0, 30.0),)
    route = applied(
        b"{kind: Route, gateway: edge, name: ab, service: sc-B, match: {path: {prefix: /a/b}}}", now
    )
    one = moved(now, route, NOW).moves[0]
    assert (one.before.route, one.after.route, one.request.path) == ("a", "ab", "/a/b")


def test_nothing_that_random_requests_find_is_missed() -> None:
    pool = Pool.of(random.Random(1), 300)
    found = 0
    for seed in range(12):
        draw = random.Random(seed)
        before = definitions(draw)
        name = draw.choice(sorted(before.lanes))
        document = before.lanes[name].model_dump() | {"rule": rule(draw), "priority": draw.randrange(3)}
        after = before.apply([parse_document(document | {"enabled": draw.random() < 0.8})]).definitions
        said = moved(before, after, NOW)
        told = {(one.before, one.after) for one in said.moves}
        plans = planned(before)[0], planned(after)[0]
        for one in said.moves:
            places = [decide(plan, one.request) for plan in plans]
            assert [p.lane for p in places] == [one.before.lane, one.after.lane], seed
        for at in range(pool.size):
            lanes = [decide(plan, pool.request(at)) for plan in plans]
            pair = tuple(Place(d.route.name, d.lane) for d in lanes if d.route is not None)
            if len(pair) == 2 and pair[0] != pair[1]:
                found += 1
                assert {(a.lane, b.lane) for a, b in told} >= {(pair[0].lane, pair[1].lane)}, (seed, pair)
    assert found > 20
