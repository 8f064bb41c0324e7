"""Random sets of rules: no false witness, no false proof, and nothing missed that random requests find."""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from typing import Any

import pytest

from controlplane.model.definitions import Definitions
from controlplane.model.parsing import parse_document
from controlplane.plan.conditions import matches
from controlplane.plan.evaluate import decide, find_route
from controlplane.plan.gateways import GatewayPlan, plan_gateway
from controlplane.plan.hours import Hours
from controlplane.plan.proof.entries import Entry
from controlplane.plan.proof.lanes import LaneProofs, More, Overlap, Undecided, Unreached
from controlplane.plan.request import Request, carried_values, normalised_path
from tests.plan.proof.sets import Pool, definitions, planned

REQUESTS = 10_000


def on(plan: GatewayPlan, request: Request) -> tuple[str | None, dict[str, bytes]]:
    """The route of a request, and what rules read of it."""
    values = carried_values(plan, request, request.arrived(plan))
    route = find_route(plan, request.host, normalised_path(request.path), values)
    return (route.name if route else None), values


def both_match(plan: GatewayPlan, request: Request, one: Entry, other: Entry) -> bool:
    route, values = on(plan, request)
    return all(route in x.routes and matches(x.lane.rule, values) for x in (one, other))


def bits(mask: int, some: int) -> list[int]:
    found: list[int] = []
    while mask and len(found) < some:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return found


def check(seed: int, pool: Pool, seen: Counter[str]) -> None:
    plan, entries = planned(definitions(random.Random(seed)))
    proofs = LaneProofs()
    found = proofs.update(plan, entries)
    again = proofs.update(plan, entries)
    assert again == found, seed
    assert not proofs.searches or any(isinstance(one, Undecided) for one in found), seed
    by_name = {one.name: one for one in entries}
    masks = {one.name: pool.matching(one.lane.rule) for one in entries}
    told: set[tuple[str, str]] = set()
    cut = {one.lane for one in found if isinstance(one, More)}
    for one in found:
        seen[type(one).__name__] += 1
        if isinstance(one, Overlap):
            told.add((one.lane, one.other))
            witness = one.witness
            assert both_match(plan, witness.request, by_name[one.lane], by_name[one.other]), (seed, one)
            decision = decide(plan, witness.request)
            assert decision.route is not None
            assert (decision.route.name, decision.lane) == (witness.route, witness.lane), (seed, one)
            assert by_name[one.lane].group != by_name[one.other].group
        elif isinstance(one, Unreached):
            seen["unreached by several"] += len(one.by) > 1
            for at in bits(masks[one.lane], 100):
                assert decide(plan, pool.request(at)).lane != one.lane, (seed, one, pool.request(at))
            entry, others = by_name[one.lane], [by_name[name] for name in one.by]
            for at in bits(masks[one.lane], 100):
                route, values = on(plan, pool.request(at))
                if route in entry.routes:
                    taken = [x for x in others if route in x.routes and matches(x.lane.rule, values)]
                    assert taken, (seed, one)
        elif isinstance(one, Undecided):
            seen[one.why] += 1
    for rank, later in enumerate(entries):
        for earlier in entries[:rank]:
            pair = (later.name, earlier.name)
            if earlier.group == later.group or pair in told or later.name in cut:
                continue
            for at in bits(masks[later.name] & masks[earlier.name], 200):
                assert not both_match(plan, pool.request(at), later, earlier), (seed, pair, pool.request(at))


def run(first: int, sets: int) -> Counter[str]:
    seen: Counter[str] = Counter()
    pool = Pool.of(random.Random(first), REQUESTS)
    for seed in range(first, first + sets):
        if seed % 100 == 0:
            pool = Pool.of(random.Random(seed), REQUESTS)
        check(seed, pool, seen)
    return seen


NOW = 1_774_600_000.0
"""Friday, 2026-03-27, 09:26:40 in Berlin, two days before clocks change."""
TIMES: list[dict[str, Any]] = [
    {},
    {"schedule": {"hours": "09:00-17:00", "time_zone": "Europe/Berlin"}},
    {"schedule": {"hours": "17:00-09:00", "time_zone": "Europe/Berlin"}},
    {"schedule": {"days": ["sun"], "hours": "06:00-12:00", "time_zone": "UTC"}},
    {"from": "2026-03-28T00:00:00Z"},
    {"until": "2026-03-28T12:00:00Z"},
]


def with_times(draw: random.Random, of: Definitions) -> Definitions:
    for lane in of.lanes.values():
        of = of.put(parse_document(lane.model_dump(by_alias=True) | draw.choice(TIMES)).document)
    return of


def at_moment(of: Definitions, closed: frozenset[str]) -> GatewayPlan:
    """The plan of the gateway with the lanes that are open."""
    return plan_gateway(of.gateways["edge"], of, set(of.lanes) - closed, lambda name: name)


def test_sets_of_rules_with_times() -> None:
    """What is said of a moment holds then, and what holds at a moment of the next days is said."""
    seen: Counter[str] = Counter()
    pool = Pool.of(random.Random(7), 1_000)
    for seed in range(60):
        draw = random.Random(seed)
        of = with_times(draw, definitions(draw))
        hours = Hours.of(of, NOW)
        plan, entries = planned(of)
        told: set[tuple[str, str]] = set()
        for one in LaneProofs().update(plan, entries, hours):
            seen[type(one).__name__] += 1
            if isinstance(one, Overlap):
                told.add((one.lane, one.other))
                seen["later"] += one.since is not None
                then = at_moment(of, hours.closed(one.since or NOW))
                assert decide(then, one.witness.request).lane == one.witness.lane, (seed, one)
            elif isinstance(one, Unreached):
                seen["for a while"] += one.since is not None
                moments = [one.since] if one.since is not None else [NOW + 7_200.0 * n for n in range(40)]
                for moment in moments:
                    then = at_moment(of, hours.closed(moment))
                    mask = pool.matching(next(x for x in entries if x.name == one.lane).lane.rule)
                    for at in bits(mask, 20):
                        assert decide(then, pool.request(at)).lane != one.lane, (seed, one, moment)
        for rank, later in enumerate(entries):
            for earlier in entries[:rank]:
                pair = (later.name, earlier.name)
                together = hours.first(*pair) is not None
                assert together or pair not in told, (seed, pair)
                if earlier.group == later.group or pair in told or not together:
                    continue
                for at in bits(pool.matching(later.lane.rule) & pool.matching(earlier.lane.rule), 100):
                    assert not both_match(plan, pool.request(at), later, earlier), (seed, pair)
    assert min(seen["Overlap"], seen["later"], seen["Unreached"], seen["for a while"]) > 3, seen


def test_sets_of_rules() -> None:
    seen = run(1, 100)
    assert seen["Overlap"] > 50
    assert seen["Unreached"] > 10


@pytest.mark.mesh
@pytest.mark.parametrize("first", range(1_000, 6_000, 500))
def test_many_sets_of_rules(first: int) -> None:
    seen = run(first, 500)
    assert seen["Overlap"] > 500
    assert seen["Unreached"] > 100


if __name__ == "__main__":
    started = time.process_time()
    print(run(int(sys.argv[1]), int(sys.argv[2])), f"{time.process_time() - started:.1f} s")
