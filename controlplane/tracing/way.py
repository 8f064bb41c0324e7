"""The way of one request through the proxies, put together from their reports.

Between two proxies a call is known by its request id and its connection, so that is exact. Within an
application it is known by an id that the application hands on; where it hands on none, by time: a call that
begins while the request is there, and that no other request at that instance explains.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from controlplane.tracing.reports import Carrier, Report

Known = Literal["edge", "id", "time", "perhaps"]
LATE = 5.0
"""Seconds after a request's answer in which a call may still be due to it."""
MOST_HOPS = 200
MOST_CALLS = 5_000
"""Calls without a known id that are looked at for one request."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One call. `caller` is a gateway or an application, and `lane` the lane by which it was routed.

    `given` is the lane that the caller itself sent, `carrier` in what. `known` says how the call was
    recognised: `perhaps` where another request may be its cause. `late`: the caller had answered before.
    """

    depth: int
    caller: str
    application: str
    service: str
    instance: str
    tag: str
    lane: str
    given: str
    carrier: Carrier
    fallback: bool
    status: int
    flags: tuple[str, ...]
    duration: float
    known: Known
    late: bool


@dataclass(frozen=True, slots=True)
class Loss:
    """An application that got a request in `lane` and called `to` without it.

    `sent` is the lane that it sent instead, mostly "". `healed`: the proxy routed the call by the lane all
    the same, because of the instance's tag or the trace. `certain` is false where the call is only likely to
    be due to that request.
    """

    application: str
    instance: str
    lane: str
    to: str
    sent: str
    healed: bool
    certain: bool


@dataclass(frozen=True, slots=True)
class Way:
    """`seen`: whether the edge has reported the request at all."""

    seen: bool
    lane: str
    route: str
    hops: tuple[Hop, ...]
    losses: tuple[Loss, ...]


class Traffic:
    """Reports, by what joins them. A question costs a logarithm of their number."""

    def __init__(self, reports: Iterable[Report]) -> None:
        self.edges: list[Report] = []
        self._outbound: dict[str, list[Report]] = defaultdict(list)  # by node, in order of time
        self._received: dict[str, list[Report]] = defaultdict(list)  # by request id
        self._sent: dict[tuple[str, str], list[Report]] = defaultdict(list)  # by node and id
        self._ids: dict[str, set[str]] = defaultdict(set)
        self._starts: dict[str, list[float]] = defaultdict(list)  # of what a node received
        self._ends: dict[str, list[float]] = defaultdict(list)
        for report in sorted(reports, key=lambda one: one.start):
            if report.side == "edge":
                self.edges.append(report)
            elif report.side == "outbound":
                self._outbound[report.node].append(report)
                for one in report.ids():
                    self._sent[report.node, one].append(report)
            else:
                self._received[report.request_id].append(report)
                self._ids[report.node].update(report.ids())
                self._starts[report.node].append(report.start)
                self._ends[report.node].append(report.end)
        for ends in self._ends.values():
            ends.sort()

    def received(self, call: Report) -> Report | None:
        """What the proxy at the other end reports of `call`."""
        there = [one for one in self._received.get(call.request_id, ()) if one.local == call.upstream]
        same = [one for one in there if one.peer == call.upstream_local]
        return (same or there or [None])[0]

    def alone(self, node: str, at: float) -> bool:
        """Whether the instance had one request in hand at this time, and no more."""
        begun = bisect.bisect_right(self._starts[node], at)
        return begun - bisect.bisect_left(self._ends[node], at) <= 1

    def calls(self, request: Report) -> Iterator[tuple[Report, Known, bool]]:
        """The calls that may be due to `request`, in order of time: how each is known, and whether it came
        after the answer.
        """
        node = request.node
        found: dict[int, tuple[Report, Known]] = {}
        for one in request.ids():
            found.update((id(call), (call, "id")) for call in self._sent.get((node, one), ()))
        mine = self._outbound.get(node, [])
        first = bisect.bisect_left(mine, request.start, key=_start)
        last = bisect.bisect_right(mine, request.end + LATE, key=_start)
        for call in mine[first : min(last, first + MOST_CALLS)]:
            if id(call) not in found and self._ids[node].isdisjoint(call.ids()):
                sure = call.start <= request.end and self.alone(node, call.start)
                found[id(call)] = call, "time" if sure else "perhaps"
        for call, known in sorted(found.values(), key=lambda one: one[0].start):
            yield call, known, call.start > request.end


def _start(report: Report) -> float:
    return report.start


def way(reports: Iterable[Report]) -> Way:
    """The way of the one request that an edge reports. Reports of other requests do no harm."""
    traffic = Traffic(reports)
    if not traffic.edges:
        return Way(False, "", "", (), ())
    first = traffic.edges[0]
    hops: list[Hop] = []
    losses: list[Loss] = []
    _follow(traffic, first, "edge", False, 0, False, hops, losses, {id(first)})
    return Way(True, first.lane, first.route.partition("/")[0], tuple(hops), tuple(losses))


def _follow(
    traffic: Traffic,
    call: Report,
    known: Known,
    late: bool,
    depth: int,
    untagged: bool,
    hops: list[Hop],
    losses: list[Loss],
    seen: set[int],
) -> None:
    there = traffic.received(call)
    hops.append(_hop(call, there, known, late, depth, untagged))
    if there is None or id(there) in seen:
        return
    seen.add(id(there))
    due = [one for one in traffic.calls(there) if id(one[0]) not in seen]
    certain = any(how != "perhaps" for _, how, _ in due)
    for one, how, after in due:
        if len(hops) >= MOST_HOPS:
            return
        if how == "perhaps" and (certain or one.given not in ("", there.given)):
            continue  # what is known of others, or of another lane, is not due to this request
        seen.add(id(one))
        if there.given and one.given != there.given:
            losses.append(_loss(there, one, how))
        _follow(traffic, one, how, after, depth + 1, call.tag == "base", hops, losses, seen)


def _hop(call: Report, there: Report | None, known: Known, late: bool, depth: int, untagged: bool) -> Hop:
    """`untagged`: the caller is a base instance, so a lane that it did not send is that of its trace."""
    return Hop(
        depth=depth,
        caller=call.owner,
        application=(there.owner if there else call.application) or call.host,
        service=call.service or call.host,
        instance=call.upstream,
        tag=call.tag or "",
        lane=call.lane,
        given=call.given,
        carrier="trace" if untagged and call.carrier == "instance" else call.carrier,
        fallback=call.fallback,
        status=call.status,
        flags=call.flags,
        duration=call.duration,
        known=known,
        late=late,
    )


def _loss(request: Report, call: Report, known: Known) -> Loss:
    return Loss(
        application=request.owner,
        instance=request.local,
        lane=request.given,
        to=call.service or call.host,
        sent=call.given,
        healed=call.lane == request.given,
        certain=known != "perhaps",
    )
