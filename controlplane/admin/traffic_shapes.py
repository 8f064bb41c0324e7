"""Answers about traffic, from the series."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from controlplane.admin import lane_times
from controlplane.admin import traffic_answers as answers
from controlplane.admin.control import ControlPlane
from controlplane.model.definitions import Definitions
from controlplane.model.documents import Lane, LaneGroup
from controlplane.plan.services import applications_of
from controlplane.traffic import series as fields
from controlplane.traffic.exchange import Everywhere, Told
from controlplane.traffic.figures import (
    CALLERS,
    RECEIVERS,
    Counts,
    Figures,
    Traffic,
    Window,
    grouped,
    one_side,
)
from controlplane.traffic.series import SLOT, Key

BASE = "base"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _sums(of: Figures) -> dict[str, Any]:
    latency = answers.Latency(
        p50=_rounded(of.quantile(0.5)), p90=_rounded(of.quantile(0.9)), p99=_rounded(of.quantile(0.99))
    )
    return {
        "requests": of.requests,
        "qps": round(of.qps, 3),
        "exceptions": of.exceptions,
        "exception_qps": round(of.exception_qps, 3),
        "error_rate": None if of.error_rate is None else round(of.error_rate, 6),
        "client_errors": of.counts[fields.CLIENT_ERRORS],
        "server_errors": of.counts[fields.SERVER_ERRORS],
        "resets": of.counts[fields.RESETS],
        "cancelled": of.counts[fields.CANCELLED],
        "retries": of.counts[fields.RETRIES],
        "fallbacks": of.counts[fields.FALLBACKS],
        "refusals": of.counts[fields.REFUSALS],
        "latency": latency,
    }


def sums(of: Figures) -> answers.Sums:
    return answers.Sums(**_sums(of))


def _part(traffic: Traffic, found: Sequence[Counts], window: Window) -> dict[str, Any]:
    part = traffic.part(found, window)
    steps = answers.Steps(
        qps=[round(one.qps, 3) for one in part.steps],
        exception_qps=[round(one.exception_qps, 3) for one in part.steps],
        p50=[_rounded(one.quantile(0.5)) for one in part.steps],
        p99=[_rounded(one.quantile(0.99)) for one in part.steps],
    )
    return {**_sums(part.total), "steps": steps}


def _tags(traffic: Traffic, found: Sequence[Counts], window: Window) -> list[answers.TagPart]:
    return [
        answers.TagPart(tag=tag, **_part(traffic, some, window))
        for tag, some in grouped(found, lambda key: key.tag).items()
    ]


def _lanes(traffic: Traffic, found: Sequence[Counts], window: Window) -> list[answers.LaneSums]:
    return [
        answers.LaneSums(lane=lane, **_sums(traffic.figures(some, window)))
        for lane, some in grouped(found, lambda key: key.lane).items()
    ]


def _proxies(traffic: Everywhere) -> dict[str, Any]:
    return {
        "proxies": answers.Reporting(connected=traffic.connected, reporting=traffic.reporting),
        "peers": [answers.AskedPeer(peer=one.url, problem=one.problem) for one in traffic.peers],
    }


def own(identity: str, told: Told) -> answers.OwnTraffic:
    """What a control plane tells another one."""
    return answers.OwnTraffic(
        identity=identity,
        connected=told.connected,
        reporting=told.reporting,
        gaps=[answers.OwnGap(node=one.node, start=one.start, end=one.end, why=one.why) for one in told.gaps],
        series=[
            answers.OwnSeries(
                key=list(one.key), last=one.last, rows=[[slot, *counts] for slot, counts in one.rows]
            )
            for one in told.series
        ],
        ejected={cluster: (one.most, one.proxies) for cluster, one in told.ejected.items()},
    )


def _measured(traffic: Everywhere, window: Window, seen_by: str) -> dict[str, Any]:
    gaps = [
        answers.TrafficGap(
            node=one.node,
            start=_time(one.start),
            end=None if one.end is None else _time(one.end),
            why=one.why,
        )
        for one in traffic.gaps(window)
    ]
    return {
        "start": _time(window.first * SLOT),
        "end": _time(window.last * SLOT),
        "step": window.step * SLOT,
        "seen_by": seen_by,
        **_proxies(traffic),
        "gaps": gaps,
    }


def _tagged(found: Iterable[Counts]) -> list[Counts]:
    return [one for one in found if one.key.tag not in ("", BASE)]


def _of_base(found: Iterable[Counts]) -> list[Counts]:
    return [one for one in found if one.key.tag == BASE]


def _target(traffic: Everywhere, window: Window, wanted: Callable[[Key], bool]) -> dict[str, Any]:
    """What answers about applications and services have in common."""
    every = traffic.select(wanted)
    found, seen_by = one_side(every, window)
    received = [one for one in every if one.key.hop in RECEIVERS]
    return {
        **_measured(traffic, window, seen_by),
        "total": answers.Part(**_part(traffic, found, window)),
        "base": answers.Part(**_part(traffic, _of_base(found), window)),
        "gray": answers.Part(**_part(traffic, _tagged(found), window)),
        "tags": _tags(traffic, found, window),
        "lanes": _lanes(traffic, found, window),
        "received": sums(traffic.figures(received, window)),
    }


def application(traffic: Everywhere, name: str, window: Window) -> answers.ApplicationTraffic:
    def wanted(key: Key) -> bool:
        return key.application == name

    found, _ = one_side(traffic.select(wanted), window)
    services = [
        answers.ServiceSums(service=service, **_sums(traffic.figures(some, window)))
        for service, some in grouped(found, lambda key: key.service).items()
    ]
    return answers.ApplicationTraffic(application=name, services=services, **_target(traffic, window, wanted))


def service(traffic: Everywhere, name: str, window: Window) -> answers.ServiceTraffic:
    return answers.ServiceTraffic(service=name, **_target(traffic, window, lambda key: key.service == name))


def known_applications(control: ControlPlane) -> set[str]:
    """The names that an application may have: in definitions, in registries, and in what was counted."""
    definitions = control.store.current.definitions
    found = {name for group in definitions.groups.values() for name in group.applications}
    found |= definitions.applications.keys()
    for one in control.services().values():
        found.update(applications_of(one, None))
    return found | {one.key.application for one in control.traffic.table}


def lane(
    control: ControlPlane, traffic: Everywhere, wanted: Lane, group: LaneGroup, window: Window
) -> answers.LaneTraffic:
    applications = frozenset(group.applications)
    found, seen_by = one_side(
        traffic.select(lambda key: key.application in applications and key.lane in (wanted.name, "")), window
    )
    coloured = [one for one in found if one.key.lane == wanted.name]
    plain = [one for one in found if not one.key.lane]
    services: list[answers.LaneService] = []
    for name, some in grouped(found, lambda key: f"{key.service} {key.application}").items():
        of, _, application = name.rpartition(" ")
        services.append(
            answers.LaneService(
                service=of,
                application=application,
                lane=sums(traffic.figures([x for x in some if x.key.lane], window)),
                base=sums(traffic.figures([x for x in some if not x.key.lane], window)),
            )
        )
    edge = at_edges(traffic, group.gateway, wanted)
    inside = traffic.figures([one for one in edge if one.key.lane == wanted.name], window)
    return answers.LaneTraffic(
        **_measured(traffic, window, seen_by),
        lane_name=wanted.name,
        group=wanted.group,
        gateway=group.gateway,
        tag=wanted.tag,
        enabled=bool(wanted.enabled),
        times=lane_times.told(wanted, control.now()),
        share=share(inside, traffic.figures(edge, window)),
        edge=sums(inside),
        lane=answers.Part(**_part(traffic, coloured, window)),
        base=answers.Part(**_part(traffic, plain, window)),
        services=services,
    )


def at_edges(traffic: Traffic, gateway: str, lane: Lane) -> list[Counts]:
    """What the gateway's edges count on the lane's routes."""
    found = traffic.select(lambda key: key.hop == "edge" and key.gateway == gateway)
    return _on_routes(found, lane.routes)


def _on_routes(found: Iterable[Counts], routes: Sequence[str] | None) -> list[Counts]:
    """Those of a base route, and of these routes if there are any."""
    return [one for one in found if (one.key.route in routes if routes is not None else one.key.route)]


def share(part: Figures, whole: Figures) -> float | None:
    return round(part.requests / whole.requests, 6) if whole.requests else None


def gateway(traffic: Everywhere, name: str, window: Window) -> answers.GatewayTraffic:
    found = traffic.select(lambda key: key.hop == "edge" and key.gateway == name)
    routes: list[answers.RouteSums] = []
    for route, some in grouped(found, lambda key: key.route).items():
        services = sorted({one.key.service for one in some if one.key.service})
        figures = _sums(traffic.figures(some, window))
        routes.append(answers.RouteSums(route=route, service=services[0] if services else "", **figures))
    return answers.GatewayTraffic(
        **_measured(traffic, window, "callers"),
        gateway=name,
        total=answers.Part(**_part(traffic, found, window)),
        routes=routes,
        lanes=_lanes(traffic, found, window),
        tags=_tags(traffic, found, window),
    )


def route(traffic: Everywhere, gateway: str, name: str, window: Window) -> answers.RouteTraffic:
    found = traffic.select(lambda key: key.hop == "edge" and key.gateway == gateway and key.route == name)
    return answers.RouteTraffic(
        **_measured(traffic, window, "callers"),
        gateway=gateway,
        route=name,
        total=answers.Part(**_part(traffic, found, window)),
        lanes=_lanes(traffic, found, window),
        tags=_tags(traffic, found, window),
    )


def at_a_glance(control: ControlPlane) -> Window:
    """The window of a summary."""
    return control.traffic.window(2 * SLOT, 2 * SLOT)


def summary(traffic: Everywhere, definitions: Definitions, window: Window) -> answers.TrafficSummary:
    """Everything at a glance."""
    every = traffic.select(lambda key: key.hop in CALLERS or key.hop in RECEIVERS)
    applications: list[answers.ApplicationLine] = []
    for name, some in grouped(every, lambda key: key.application).items():
        if not name:
            continue
        found, _ = one_side(some, window)
        total = traffic.figures(found, window)
        applications.append(
            answers.ApplicationLine(
                application=name,
                qps=round(total.qps, 3),
                exception_qps=round(total.exception_qps, 3),
                gray_qps=round(traffic.figures(_tagged(found), window).qps, 3),
                p50=_rounded(total.quantile(0.5)),
                p99=_rounded(total.quantile(0.99)),
            )
        )
    callers = [one for one in every if one.key.hop in CALLERS]
    edges = grouped([one for one in callers if one.key.hop == "edge"], lambda key: key.gateway)
    lanes = _lane_lines(traffic, definitions, callers, edges, window)
    gateways: list[answers.GatewayLine] = []
    for name in sorted(definitions.gateways):
        figures = traffic.figures(edges.get(name, ()), window)
        gateways.append(
            answers.GatewayLine(
                gateway=name,
                qps=round(figures.qps, 3),
                exception_qps=round(figures.exception_qps, 3),
                p99=_rounded(figures.quantile(0.99)),
            )
        )
    return answers.TrafficSummary(
        at=_time(window.last * SLOT),
        seconds=window.seconds,
        **_proxies(traffic),
        gateways=gateways,
        applications=applications,
        lanes=lanes,
    )


def _lane_lines(
    traffic: Traffic,
    definitions: Definitions,
    callers: Sequence[Counts],
    edges: Mapping[str, Sequence[Counts]],
    window: Window,
) -> list[answers.LaneLine]:
    """Every series is looked at once, and what the lanes of a group have in common is summed once: consoles
    ask each second. edges: what edges counted, by gateway.
    """
    of_lane = grouped(callers, lambda key: key.lane)
    at_edge = {
        (gateway, lane): some
        for gateway, found in edges.items()
        for lane, some in grouped(found, lambda key: key.lane).items()
    }

    @cache
    def base(group: str) -> Figures:
        members = frozenset(definitions.groups[group].applications)
        return traffic.figures([x for x in of_lane.get("", ()) if x.key.application in members], window)

    @cache
    def whole(gateway: str, routes: tuple[str, ...] | None) -> Figures:
        return traffic.figures(_on_routes(edges.get(gateway, ()), routes), window)

    lines: list[answers.LaneLine] = []
    for _, one in sorted(definitions.lanes.items()):
        group = definitions.groups[one.group]
        members = frozenset(group.applications)
        inside = traffic.figures(
            [x for x in of_lane.get(one.name, ()) if x.key.application in members], window
        )
        chosen = traffic.figures(_on_routes(at_edge.get((group.gateway, one.name), ()), one.routes), window)
        routes = None if one.routes is None else tuple(one.routes)
        lines.append(_lane_line(one, inside, base(one.group), chosen, whole(group.gateway, routes)))
    return lines


def _lane_line(
    one: Lane, inside: Figures, base: Figures, chosen: Figures, whole: Figures
) -> answers.LaneLine:
    return answers.LaneLine(
        lane=one.name,
        group=one.group,
        qps=round(inside.qps, 3),
        edge_qps=round(chosen.qps, 3),
        share=share(chosen, whole),
        error_rate=inside.error_rate,
        base_error_rate=base.error_rate,
        p50=_rounded(inside.quantile(0.5)),
        p99=_rounded(inside.quantile(0.99)),
        base_p99=_rounded(base.quantile(0.99)),
        fallback_qps=round(inside.counts[fields.FALLBACKS] / inside.seconds, 3),
        refusal_qps=round(inside.counts[fields.REFUSALS] / inside.seconds, 3),
    )
