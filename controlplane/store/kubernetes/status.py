"""The status of custom resources and the Events about them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast

from controlplane.model.definitions import Definitions
from controlplane.store.kubernetes.resources import API, CustomObject, Json
from controlplane.store.kubernetes.taking import Verdict

ACCEPTED = "Accepted"
MESSAGE_LIMIT = 1000
"""Characters of an Event's message; the API server takes 1,024."""
WARNINGS_SHOWN = 20


class Proxies(NamedTuple):
    """Connected proxies that a definition concerns, and those that have acknowledged everything."""

    concerned: int
    current: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What the running control plane says of a definition. instances: of a lane."""

    warnings: tuple[str, ...] = ()
    instances: Mapping[str, int] | None = None
    proxies: Proxies | None = None


class Said(NamedTuple):
    """An Event: `type` is Normal or Warning."""

    type: str
    reason: str
    message: str


def status_of(
    found: CustomObject, verdict: Verdict, definitions: Definitions, facts: Facts, now: float
) -> Json:
    """What the status of `found` should be. now: seconds since the epoch."""
    state = "True" if verdict.accepted else "False"
    before = _condition(found.status)
    at = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if before.get("status") == state and isinstance(before.get("lastTransitionTime"), str):
        at = before["lastTransitionTime"]
    status: Json = {
        "observedGeneration": verdict.generation,
        "conditions": [
            {
                "type": ACCEPTED,
                "status": state,
                "reason": verdict.reason,
                "message": verdict.message[:4096],
                "lastTransitionTime": at,
                "observedGeneration": verdict.generation,
            }
        ],
        "warnings": list(facts.warnings[:WARNINGS_SHOWN]),
    }
    if facts.instances is not None:
        status["instances"] = dict(facts.instances)
    if facts.proxies is not None:
        status["proxies"] = facts.proxies._asdict()
    document = definitions.get(found.key)
    if document is not None:
        own = definitions.status_of(document)
        if "slots" in own:
            status["slots"] = own["slots"]
        told = document.model_dump(mode="json")
        status |= {name: told[name] for name in found.kind.written if told.get(name) is not None}
    return status


def _condition(status: Json) -> dict[str, Any]:
    conditions = status.get("conditions")
    for one in cast("list[Any]", conditions) if isinstance(conditions, list) else []:
        if isinstance(one, dict) and cast("Json", one).get("type") == ACCEPTED:
            return cast("Json", one)
    return {}


def is_urgent(found: CustomObject, wanted: Json) -> bool:
    """Whether the status says something else of what is accepted, not only of instances and proxies."""
    old = found.status
    return any(old.get(name) != wanted.get(name) for name in ("conditions", "observedGeneration"))


def events(found: CustomObject, wanted: Json) -> list[Said]:
    """What the change of the status means for people."""
    old, new = _condition(found.status), _condition(wanted)
    said: list[Said] = []
    if new["status"] == "False" and (old.get("status"), old.get("message")) != ("False", new["message"]):
        said.append(Said("Warning", "Refused", f"{new['reason']}: {new['message']}"))
    if new["status"] == "True" and old.get("status") == "False":
        said.append(Said("Normal", "Accepted", "What was refused before is in force."))
    known = found.status.get("warnings") or []
    said += [Said("Warning", "Warned", text) for text in wanted["warnings"] if text not in known]
    return said


def event_object(namespace: str, about: Json, said: Said, now: float, reporter: str) -> Json:
    """An Event (core/v1). about: its `involvedObject`."""
    at = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    message = said.message if len(said.message) <= MESSAGE_LIMIT else said.message[:MESSAGE_LIMIT] + "…"
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{about['name'][:200]}.", "namespace": namespace},
        "involvedObject": about,
        "type": said.type,
        "reason": said.reason,
        "message": message,
        "source": {"component": "laneway"},
        "reportingComponent": "laneway",
        "reportingInstance": reporter[:128],
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }


def about_object(found: CustomObject, namespace: str) -> Json:
    """The `involvedObject` of an Event about `found`."""
    return {
        "apiVersion": API,
        "kind": found.kind.name,
        "namespace": namespace,
        "name": found.ref.name,
        "uid": found.uid,
        "resourceVersion": found.version,
    }


@dataclass
class Paced:
    """When the status of which object was written last, by what changed: `urgent` ones at once."""

    every: float
    at: dict[Any, float] = field(default_factory=dict[Any, float])

    def due(self, key: Any, now: float) -> bool:
        """Whether `every` seconds have passed; if so, it counts from now."""
        if now - self.at.get(key, float("-inf")) < self.every:
            return False
        self.at[key] = now
        return True
