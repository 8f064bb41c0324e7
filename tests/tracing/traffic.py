"""Reports of a made-up application, as its sidecar would send them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from controlplane.tracing.reports import Report

EMPTY = Report(
    node="b-1",
    owner="b",
    side="inbound",
    start=0.0,
    duration=0.0,
    request_id="",
    traces=frozenset(),
    given="",
    carrier="",
    lane="",
    method="GET",
    host="sc-C",
    path="/b",
    route="",
    cluster="",
    service="",
    application="",
    tag="",
    peer="",
    local="",
    upstream_local="",
    upstream="",
    status=200,
    flags=(),
)


@dataclass
class Behaviour:
    """Seconds between requests, by lane; what becomes of ids and of the lane; own calls.

    `loses` is the share of coloured requests that lose the lane, `bursts` are own calls at once.
    """

    coloured: float = 0.02
    plain: float = 0.02
    takes: float = 0.005
    ids: bool = False
    loses: float = 0.0
    polls: float = 0.0
    bursts: int = 1
    later: float = 0.0


def reports(how: Behaviour, requests: int, seed: int, node: str = "b-1") -> Iterator[Report]:
    """Of so many coloured requests of one instance, those without a lane beside them, and all calls."""
    made = random.Random(seed)
    number = 0

    def call(at: float, lane: str, identity: str) -> Report:
        return replace(
            EMPTY, node=node, side="outbound", start=at, duration=0.002, given=lane, lane=lane,
            request_id=identity, service="sc-C",
        )  # fmt: skip

    def received(at: float, lane: str) -> Iterator[Report]:
        nonlocal number
        number += 1
        takes = made.uniform(0.5, 1.5) * how.takes
        identity = f"r{number}"
        yield replace(EMPTY, node=node, start=at, duration=takes, given=lane, lane=lane, request_id=identity)
        begins = at + takes * made.uniform(0.1, 0.8) + how.later
        kept = lane if made.random() >= how.loses else ""
        yield call(begins, kept, identity if how.ids else f"new{number}")

    at = 0.0
    for _ in range(requests):
        at += made.expovariate(1 / how.coloured)
        yield from received(at, "gray")
    end, at = at, 0.0
    while how.plain and (at := at + made.expovariate(1 / how.plain)) < end:
        yield from received(at, "")
    at = 0.0
    while how.polls and (at := at + made.uniform(0.5, 1.5) * how.polls) < end:
        for _ in range(how.bursts):
            number += 1
            yield call(at + made.uniform(0, 0.001), "", f"own{number}")
