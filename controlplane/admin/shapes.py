"""What the admin API shows of services, revisions and lanes, as the models of `answers`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from controlplane.admin import answers, lane_times
from controlplane.admin.control import ControlPlane
from controlplane.ip import authority
from controlplane.model.definitions import AnyKind, Definitions, key_of
from controlplane.model.differences import differences
from controlplane.model.documents import Lane
from controlplane.model.export import shown
from controlplane.plan.moves import Moves, Place
from controlplane.plan.planner import overrides as overrides_of
from controlplane.plan.preview import ServiceMatch
from controlplane.plan.proof.front import command
from controlplane.plan.warnings import Warnings
from controlplane.registry.types import Instance, Service, SourceStatus
from controlplane.store.interface import Change, Revision
from controlplane.traffic.figures import Seen

Counted = Mapping[tuple[str, str], Seen]


def time_text(seconds: float) -> str | None:
    """Seconds since the epoch as ISO 8601 in UTC; None for 0, which means never."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds") if seconds else None


def overrides(control: ControlPlane) -> dict[str, str]:
    """The application of each service that a definition of kind Application decides, by the service's
    canonical id.
    """
    definitions = control.store.current.definitions
    return overrides_of(definitions, lambda name: control.resolve_service(name).id)


def sources(control: ControlPlane) -> list[answers.Source]:
    """`sources` of /v1/services and /readyz: for each registry, whether the shown services are its
    present ones.
    """
    return [_source(one) for one in control.sources()]


def store(control: ControlPlane) -> answers.Store:
    """`store` of /readyz: whether the served definitions are the present ones, and whether they can be
    changed.
    """
    status = control.store_status()
    return answers.Store(problem=status.problem or None, read_only=status.read_only)


def _source(one: SourceStatus) -> answers.Source:
    return answers.Source(
        name=one.name,
        version=one.version or None,
        state=one.state,
        problem=one.error or None,
        unreachable_since=time_text(one.unreachable_since),
        updated=time_text(one.updated),
        age=max(0, round(time.time() - one.updated)) if one.updated else None,
        services=one.services,
        instances=one.instances,
        held_services=one.held_services,
        held_instances=one.held,
    )


def definition(definitions: Definitions, document: AnyKind, found: Warnings, at: float) -> dict[str, Any]:
    """A document with its `status`, which includes its warnings, and its times as they are `at` that time."""
    value = shown(definitions, document)
    texts = [*value["status"].get("warnings", ()), *found.of(key_of(document))]
    more: dict[str, Any] = {"warnings": texts} if texts else {}
    if isinstance(document, Lane) and (told := lane_times.told(document, at)) is not None:
        more["times"] = told.model_dump(exclude_defaults=True)
    return value | {"status": value["status"] | more}


def warned(
    documents: Iterable[AnyKind], before: Sequence[Warnings], after: Warnings, definitions: Definitions
) -> list[answers.Warned]:
    """The warnings on the documents of a change, and new warnings that the change causes for other
    documents: those that were in none of `before`.
    """
    about = {key_of(document): document for document in documents}
    found: list[answers.Warned] = []
    for key in sorted({*about, *after.definitions}):
        if key in about:
            own = definitions.status_of(about[key]).get("warnings", ())
            texts = [*own, *after.of(key)]
        else:
            old = {text for one in before for text in one.of(key)}
            texts = [text for text in after.of(key) if text not in old]
        found += [answers.Warned(document=str(key), message=text) for text in texts]
    return found


def warnings(definitions: Definitions, services: Mapping[str, Service], found: Warnings) -> answers.Warnings:
    """All warnings: on definitions in the order of their kinds, on services by canonical id."""
    items = [
        answers.Warned(document=str(key), message=text)
        for document in definitions.documents()
        for key in [key_of(document)]
        for text in (*definitions.status_of(document).get("warnings", ()), *found.of(key))
    ]
    of_services = [
        answers.WarnedService(service=name, message=text)
        for name, one in sorted(services.items())
        for text in (*one.warnings, *found.services.get(name, ()))
    ]
    return answers.Warnings(items=items, services=of_services)


def moves(found: Moves) -> answers.Moves:
    """What a change moves."""
    items = [
        answers.Move(
            gateway=one.gateway,
            before=_place(one.before),
            after=_place(one.after),
            explain=command(one.gateway, one.request, one.since),
            since=one.since,
        )
        for one in found.moves
    ]
    changes = [
        answers.ShareChange(
            gateway=one.gateway,
            route=one.route,
            lane=one.lane,
            before=one.before,
            after=one.after,
            since=one.since,
        )
        for one in found.shares
    ]
    return answers.Moves(items=items, shares=changes, incomplete=found.incomplete)


def _place(one: Place) -> answers.Place:
    return answers.Place(route=one.route, lane=one.lane, by_share=one.by_share)


def service(
    one: Service, application: str | None, conflicts: list[str], more: Iterable[str] = ()
) -> answers.Service:
    """An item of /v1/services. `application`: the one that a definition gives, if any."""
    return answers.Service(
        service=one.id,
        source=one.source,
        updated=time_text(one.updated),
        held=one.held,
        protocol=one.protocol.value or None,
        instances=[_instance(instance, one, application) for instance in one.instances],
        refused=[
            answers.Refused(address=refused.address, port=refused.port, reason=refused.reason)
            for refused in one.refused
        ],
        conflicts=conflicts,
        warnings=[*one.warnings, *more],
    )


def _instance(one: Instance, of: Service, application: str | None) -> answers.Instance:
    return answers.Instance(
        address=one.address,
        port=one.port,
        tag=one.tag,
        application=application or one.application or of.name,
        health=one.health,
        weight=one.weight,
        held=one.held,
        metadata=dict(one.metadata),
    )


def changes(found: Iterable[Change]) -> list[answers.Changed]:
    """Changes of documents, field by field. A created or deleted one has no fields: the whole differs."""
    told: list[answers.Changed] = []
    for one in found:
        how = "created" if one.before is None else "deleted" if one.after is None else "changed"
        inner = differences(one.before, one.after) if how == "changed" else ()
        fields = [answers.FieldChange(**field._asdict()) for field in inner]
        told.append(answers.Changed(document=str(one.key), change=how, fields=fields))
    return told


def revision(one: Revision) -> answers.Revision:
    """An item of /v1/revisions."""
    return answers.Revision(
        revision=one.number,
        at=time_text(one.at),
        who=one.author,
        note=one.note,
        what=[change.what for change in one.changes],
        diff=one.diff,
        changes=changes(one.changes),
    )


def addresses(instances: Iterable[Instance]) -> list[str]:
    """The ip:port of each instance, an IPv6 address in brackets."""
    return [authority(i.address, i.port) for i in instances]


def matches(
    found: Sequence[tuple[str, Sequence[ServiceMatch]]],
    times: answers.Times | None = None,
    counted: Counted | None = None,
    lane: str = "",
) -> answers.Matches:
    """The body of GET .../lanes/{lane}/matches. counted: by lane and service, where there is a lane."""
    return answers.Matches(
        times=times,
        applications=[
            answers.ApplicationMatch(
                application=application,
                services=[
                    answers.ServiceMatch(
                        service=one.service,
                        tagged=addresses(one.tagged),
                        unhealthy=addresses(one.unhealthy),
                        base=one.base,
                        base_unhealthy=one.base_unhealthy,
                        fallback=one.fallback and not one.strict,
                        refused=one.fallback and one.strict,
                        callers=None if one.callers is None else sorted(one.callers),
                        observed=in_lane(counted or {}, lane, one.service),
                    )
                    for one in services
                ],
            )
            for application, services in found
        ],
    )


def in_lane(counted: Counted, lane: str, service: str) -> answers.InLane | None:
    """What was counted of a lane in a service; None for nothing."""
    one = counted.get((lane, service))
    if one is None:
        return None
    of = one.figures
    return answers.InLane(
        requests=of.requests if of is not None else 0,
        fallbacks=of.fallbacks if of is not None else 0,
        refusals=of.refusals if of is not None else 0,
        ejected=one.ejected.most,
        ejected_by=one.ejected.proxies,
    )
