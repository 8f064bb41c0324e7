"""Which applications hand on the lane: what their sidecars reported of coloured requests and of calls.

A call without a lane is that of a coloured request for certain if it has an id of it. An application that
hands on no id is judged by time, and a call of its own that no request caused (a poll, a timer) must not
count. So only moments count in which nothing but coloured requests was at an instance: were calls without a
lane begun in them as often as in moments without any request, they would be the application's own. The test
is over requests, not over calls, so a burst of own calls counts once.
"""

from __future__ import annotations

import bisect
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from controlplane.tracing.reports import Report

LEAST = 20
"""Calls of coloured requests, or coloured requests, below which nothing is said."""
DOUBT = 1e-6
"""The probability of an application's own calls looking like lost ones, below which they are called lost."""
FLUSHED = 0.2
"""Seconds after which a proxy sends what it has to report, of each side by itself."""
TAIL = 0.5
"""Seconds after a request's answer in which work that it left in a queue is looked for."""

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Finding:
    """What `application` does with the lane in its calls `to` a service. `share` of lost calls is 0 to 1."""

    application: str
    to: str
    verdict: Literal["keeps", "loses", "undecided"]
    kept: int
    lost: int
    share: float | None
    by: Literal["id", "time", ""]
    reason: str


@dataclass(frozen=True, slots=True)
class Observed:
    """An observation. `coloured` are the coloured requests by application; `at` is when it ended."""

    running: bool = False
    at: str | None = None
    seconds: float = 0.0
    reports: int = 0
    left_out: int = 0
    coloured: Mapping[str, int] = field(default_factory=dict[str, int])
    findings: tuple[Finding, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(slots=True)
class _Node:
    """Reports of one instance. Spans are sorted by their beginning."""

    coloured: list[Report] = field(default_factory=list[Report])
    plain: list[Report] = field(default_factory=list[Report])
    calls: list[Report] = field(default_factory=list[Report])

    def trim(self) -> None:
        """Leave out what came after the last report of one side."""
        requests = [*self.coloured, *self.plain]
        if not requests or not self.calls:
            return
        until = min(max(x.start for x in requests), max(x.start for x in self.calls)) - 2 * FLUSHED
        for reports in (self.coloured, self.plain, self.calls):
            reports[:] = [x for x in reports if x.start <= until]


@dataclass(slots=True)
class _Tally:
    kept: int = 0
    lost_by_id: int = 0
    healed: int = 0
    unexplained: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # by node


def propagation(reports: Iterable[Report], cut: bool = False) -> tuple[dict[str, int], tuple[Finding, ...]]:
    """Coloured requests by application, and a finding for each service that an application calls.

    `cut`: not all reports were kept, so those of one side of a proxy may end before those of the other.
    """
    nodes: dict[str, dict[str, _Node]] = defaultdict(lambda: defaultdict(_Node))
    for report in reports:
        if report.side == "inbound":
            node = nodes[report.owner][report.node]
            (node.coloured if report.given else node.plain).append(report)
        elif report.side == "outbound":
            nodes[report.owner][report.node].calls.append(report)
    if cut:
        for of in nodes.values():
            for node in of.values():
                node.trim()
    coloured = {name: sum(len(n.coloured) for n in of.values()) for name, of in nodes.items()}
    findings = [one for name, of in sorted(nodes.items()) for one in _application(name, of)]
    return {name: count for name, count in sorted(coloured.items()) if count}, tuple(findings)


def _application(name: str, nodes: Mapping[str, _Node]) -> Iterable[Finding]:
    tallies: dict[str, _Tally] = defaultdict(_Tally)
    for identity, node in nodes.items():
        plain = {one for request in node.plain for one in request.ids()}
        coloured = {one for request in node.coloured for one in request.ids()}
        for call in node.calls:
            tally = tallies[call.service or call.host]
            tally.healed += bool(call.lane and not call.given)
            ids = set(call.ids())
            if call.given:
                tally.kept += 1
            elif not ids.isdisjoint(plain):
                pass  # of a request without a lane; or of a trace with both kinds, of which nobody can tell
            elif not ids.isdisjoint(coloured):
                tally.lost_by_id += 1
            else:
                tally.unexplained[identity].append(call.start)
    for to, tally in sorted(tallies.items()):
        found = _judge(name, to, nodes, tally)
        if found is not None:
            yield found


def _judge(name: str, to: str, nodes: Mapping[str, _Node], tally: _Tally) -> Finding | None:
    requests = sum(len(node.coloured) for node in nodes.values())
    if not requests:
        return None
    share: float | None
    if tally.lost_by_id:
        lost, kept = tally.lost_by_id, tally.kept
        share = lost / (lost + kept)
        if lost + kept < LEAST:
            return _undecided(name, to, kept, lost, f"{lost + kept} calls of coloured requests are too few")
        reason = "calls without a lane have the request or trace id of a coloured request" + _healed(tally)
        return Finding(name, to, "loses", kept, lost, share, "id", reason)
    if requests < LEAST:
        return _undecided(name, to, tally.kept, 0, f"{requests} coloured requests are too few")
    during = _timed(nodes, tally, 0.0)
    after = _timed(nodes, tally, TAIL)
    for seen, when in ((during, "during"), (after, f"during, or up to {TAIL:g} s after,")):
        if seen.lost:
            total = seen.lost + tally.kept * seen.part
            reason = (
                f"{seen.with_calls} of {seen.requests} coloured requests that were alone at an instance had "
                f"calls without a lane {when} them; own calls would explain {seen.expected:.1f}"
                f"{_healed(tally)}"
            )
            return Finding(name, to, "loses", tally.kept, round(seen.lost), seen.lost / total, "time", reason)
    if tally.kept >= LEAST:
        return Finding(name, to, "keeps", tally.kept, 0, 0.0, "", "every call of a coloured request had it")
    if not tally.kept and not tally.unexplained:
        return None
    enough = max(during.requests, after.requests) >= LEAST
    if enough:
        reason = "coloured requests cause no calls to it" if not tally.kept else "too few calls"
    else:
        reason = "no lane is on the calls, and coloured requests were too seldom alone to judge by time"
    return _undecided(name, to, tally.kept, 0, reason)


def _healed(tally: _Tally) -> str:
    return f"; sidecars gave {tally.healed} of all calls their lane again" if tally.healed else ""


def _undecided(name: str, to: str, kept: int, lost: int, reason: str) -> Finding:
    return Finding(name, to, "undecided", kept, lost, None, "", reason)


@dataclass(frozen=True, slots=True)
class _Seen:
    """`requests` coloured ones were alone; `with_calls` of them had calls without a lane, where `expected`
    would by chance. `lost`: calls beyond chance; 0 if that may be chance. `part`: alone ones of all.
    """

    requests: int = 0
    with_calls: int = 0
    expected: float = 0.0
    lost: float = 0.0
    part: float = 1.0


def _timed(nodes: Mapping[str, _Node], tally: _Tally, tail: float) -> _Seen:
    """Compare calls while coloured requests are alone (and `tail` seconds after) with those of idle moments.

    The rate of idle moments is that of each instance, taken as high as it may well be: by one call and three
    standard deviations more than was seen.
    """
    alone = with_calls = 0
    expected = extra = 0.0
    every = sum(len(node.coloured) for node in nodes.values())
    for identity, node in nodes.items():
        calls = sorted(tally.unexplained.get(identity, ()))
        busy = _merged([(x.start, x.end + tail) for x in (*node.coloured, *node.plain)])
        plain = _merged([(x.start, x.end + tail) for x in node.plain])
        whole = _span(node)
        idle = max(whole[1] - whole[0] - sum(end - start for start, end in busy), 0.0)
        in_idle = sum(not _inside(busy, at) for at in calls)
        rate = (in_idle + 1 + 3 * math.sqrt(in_idle)) / idle if idle > 0 else math.inf
        for start, end in _merged([(x.start, x.end + tail) for x in node.coloured]):
            if _overlaps(plain, (start, end)):
                continue
            alone += 1
            got = _count(calls, start, end)
            # No process of this rate, however regular, has a call in such a span more often (Markov).
            chance = min(rate * (end - start), 1.0) if end > start else 0.0
            expected += chance
            with_calls += got > 0
            extra += got - (0.0 if math.isinf(rate) else in_idle / idle * (end - start))
    part = alone / every if every else 1.0
    significant = alone >= LEAST and with_calls >= 5 and _tail(with_calls, expected) < DOUBT
    return _Seen(alone, with_calls, expected, max(extra, 0.0) if significant else 0.0, part)


def _tail(seen: int, mean: float) -> float:
    """An upper bound (Chernoff's) of the probability that a sum of independent events of this mean has
    `seen` or more.
    """
    if seen <= mean:
        return 1.0
    if mean <= 0:
        return 0.0
    return math.exp(seen - mean - seen * math.log(seen / mean))


def _span(node: _Node) -> Span:
    every = [*node.coloured, *node.plain, *node.calls]
    return min(x.start for x in every), max(x.end for x in every)


def _merged(spans: Iterable[Span]) -> list[Span]:
    """Spans that overlap are one: calls within it cannot be told apart."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def _at(spans: Sequence[Span], at: float) -> int:
    """Index of the last span that begins at or before `at`."""
    return bisect.bisect_right(spans, (at, math.inf)) - 1


def _inside(spans: Sequence[Span], at: float) -> bool:
    index = _at(spans, at)
    return index >= 0 and spans[index][1] >= at


def _overlaps(spans: Sequence[Span], span: Span) -> bool:
    index = _at(spans, span[1])
    return index >= 0 and spans[index][1] >= span[0]


def _count(calls: Sequence[float], start: float, end: float) -> int:
    return bisect.bisect_right(calls, end) - bisect.bisect_left(calls, start)
