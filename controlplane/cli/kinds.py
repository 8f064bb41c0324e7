"""The kinds that `get`, `describe` and `delete` know: their names, URLs and table columns."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from controlplane.cli.client import Client, segment
from controlplane.cli.options import Exit
from controlplane.cli.output import fail
from controlplane.ip import authority

if TYPE_CHECKING:
    from controlplane.model import kinds as model_kinds

Item = dict[str, Any]
NO_INSTANCES = "no instances"
"""What a cell says where there are none."""
TIMES = (("from", "from"), ("until", "until"), ("switched on until", "enabled_until"))


@dataclass(frozen=True)
class Kind:
    """One kind of thing that the admin API shows.

    `document` is the kind's name in YAML, or None if things of the kind are observed and not defined.
    `parent` is the kind that it belongs to, `owner` the field with the parent's name, `key` the field with
    its own name.
    """

    plural: str
    aliases: tuple[str, ...]
    document: str | None
    columns: tuple[str, ...]
    wide: tuple[str, ...]
    cells: Callable[[Item], dict[str, str]]
    key: str = "name"
    parent: str | None = None
    owner: str | None = None


def rule_text(lane: Item) -> str:
    """A lane's rule or ratio in one line: `header canary == gray`, `30 % sticky by cookie uid`."""
    if ratio := lane.get("ratio"):
        text = f"{ratio['percent']:g} %"
        if routes := ratio.get("routes"):
            text += " (" + ", ".join(f"{name} {share:g} %" for name, share in routes.items()) + ")"
        for source, name in (ratio.get("sticky") or {}).items():
            if name:
                text += (
                    " sticky by client address"
                    if source == "client_address"
                    else f" sticky by {source} {name}"
                )
        return text
    rule = lane.get("rule") or {}
    parts = []
    for condition in rule.get("conditions", ()):
        value = condition.get("value")
        shown = f"[{', '.join(value)}]" if isinstance(value, list) else value
        words = (condition["source"], condition.get("name"), condition["operator"], shown)
        parts.append(" ".join(str(word) for word in words if word is not None))
    return (" or " if rule.get("match") == "any" else " and ").join(parts)


def path_text(route: Item) -> str:
    """A route's paths: `prefix /a`."""
    match = route.get("match") or {}
    return ", ".join(
        f"{how} {path[how]}" + (" in any case" if path.get("ignore_case") else "")
        for path in match.get("paths") or [match.get("path") or {}]
        for how in ("prefix", "exact", "regex")
        if path.get(how) is not None
    )


def fallback_text(lane: Item) -> str:
    """A lane's fallback, single applications listed."""
    fallback = lane.get("fallback", "base")
    if isinstance(fallback, dict):
        return ", ".join(f"{application}: {what}" for application, what in fallback.items())
    return str(fallback)


def names(value: Sequence[str] | None, everything: str = "") -> str:
    """A list of names in one cell; `everything` where there is no list."""
    return everything if value is None else ", ".join(value)


def yes(value: Any) -> str:
    return "yes" if value else "no"


def age(time_text: str | None) -> str:
    """How long ago a time of the API was, in the largest fitting unit; `-` if there is none."""
    if not time_text:
        return "-"
    return duration(max(0.0, time.time() - datetime.fromisoformat(time_text).timestamp()))


def duration(seconds: float) -> str:
    """`5m`: in the largest fitting unit."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"


def times_text(times: Item | None) -> str:
    """What the times of a lane say now: `closed: it is outside of its schedule; it opens at ...`."""
    if not times:
        return ""
    if times["open"]:
        return f"open until {times['closes']}" if times.get("closes") else "open"
    again = f"it opens at {times['opens']}" if times.get("opens") else "it does not open again by itself"
    return f"closed: {times['reason']}; {again}"


def enabled_text(lane: Item) -> str:
    """Whether a lane is switched on, and whether its times let it be used."""
    if not lane.get("enabled", True):
        return "no"
    times = (lane.get("status") or {}).get("times") or {"open": True}
    if times["open"]:
        return f"yes, until {times['closes']}" if times.get("closes") else "yes"
    return f"closed until {times['opens']}" if times.get("opens") else "closed"


def times_of(lane: Item) -> str:
    """The times of a lane in one line: `from ..., until ..., mon fri 09:00-17:00 Europe/Berlin`."""
    parts = [f"{name} {lane[field]}" for name, field in TIMES if lane.get(field)]
    if schedule := lane.get("schedule"):
        hours = schedule.get("hours") or ()
        spans = [hours] if isinstance(hours, str) else hours
        parts.append(" ".join([*schedule.get("days", ()), *spans, schedule["time_zone"]]))
    return ", ".join(parts) or "always"


def _carriers(item: Item) -> str:
    carriers = item.get("carriers") or {}
    return f"{carriers.get('header', '')}, baggage {carriers.get('baggage', '')}"


def _health_check(item: Item) -> str:
    check = item.get("health_check")
    if not check:
        return "none"
    how = "gRPC" if "grpc" in check else "TCP" if check.get("tcp") else check["path"]
    return f"{how} every {check['interval']}"


CELLS: dict[tuple[str, str], Callable[[Item], str]] = {
    ("gateways", "listeners"): lambda item: ", ".join(
        authority(address, one["port"])
        for one in item.get("listeners", ())
        for address in ([one["address"]] if isinstance(one["address"], str) else one["address"])
    ),
    ("gateways", "carriers"): _carriers,
    ("routes", "hosts"): lambda item: names((item.get("match") or {}).get("hosts")) or "*",
    ("routes", "path"): path_text,
    ("routes", "timeout"): lambda item: str(item.get("timeout") or "none"),
    ("applications", "health_check"): _health_check,
    ("lanes", "enabled"): enabled_text,
    ("lanes", "times"): times_of,
    ("lanes", "rule"): rule_text,
    ("lanes", "routes"): lambda item: names(item.get("routes"), "all"),
    ("lanes", "fallback"): fallback_text,
    ("releases", "steps"): lambda item: ", ".join(f"{one['percent']:g} %" for one in item["steps"]),
    ("releases", "checks"): lambda item: ", ".join(one["measure"] for one in item.get("checks", ())),
    ("releases", "hooks"): lambda item: names([one["name"] for one in item.get("hooks", ())], "none"),
    ("freezes", "groups"): lambda item: names(item.get("groups"), "all"),
    ("releases", "phase"): lambda item: (item.get("progress") or {}).get("phase", "not started"),
}
"""Functions for cells that `plain` does not format, by plural and column."""


def plain(value: Any) -> str:
    """A value in one cell."""
    if isinstance(value, bool):
        return yes(value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {plain(part)}" for name, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(plain, value))
    return "" if value is None else str(value)


def _cells(kind: model_kinds.Kind) -> Callable[[Item], dict[str, str]]:
    def cells(item: Item) -> dict[str, str]:
        found: dict[str, str] = {}
        for column in (*kind.columns, *kind.wide):
            say = CELLS.get((kind.plural, column))
            found[column.replace("_", " ")] = say(item) if say else plain(item.get(column))
        return found

    return cells


def _service_state(item: Item) -> str:
    wrong = [f"{len(item[what])} {what}" for what in ("refused", "conflicts") if item.get(what)]
    if warnings := len(item.get("warnings") or ()):
        wrong.append(f"{warnings} warning{'s' if warnings > 1 else ''}")
    return ", ".join(["held" if item.get("held") else "live", *wrong])


def _service(item: Item) -> dict[str, str]:
    instances = item.get("instances") or []
    tags = sorted({one["tag"] for one in instances if one.get("tag")})
    healthy = sum(one.get("health") == "healthy" for one in instances)
    return {
        "service": item["service"],
        "source": item.get("source", ""),
        "instances": f"{healthy}/{len(instances)}",
        "base": str(sum(not one.get("tag") for one in instances)),
        "tags": ", ".join(tags) or "-",
        "state": _service_state(item),
        "updated": age(item.get("updated")),
        "refused": str(len(item.get("refused") or ())),
        "conflicts": str(len(item.get("conflicts") or ())),
    }


def source_cells(item: Item) -> dict[str, str]:
    """The cells of a source of services: its name, and whether the connection works."""
    problem = item.get("problem") or "-"
    if since := item.get("unreachable_since"):
        problem = f"not heard for {age(since)}: {problem}"
    return {
        "source": item["name"],
        "version": item.get("version") or "-",
        "state": item["state"],
        "services": str(item["services"]),
        "held": f"{item['held_services']} ({item['held_instances']} instances)"
        if item["held_services"]
        else "0",
        "updated": "-" if item.get("age") is None else duration(item["age"]),
        "problem": problem,
    }


def proxy_state(item: Item) -> str:
    """What a proxy has done with what it was sent: `acked`, or what it rejects or has not answered."""
    types = item.get("types") or {}
    refused = sorted(name for name, state in types.items() if state.get("nack"))
    waiting = sorted(name for name, state in types.items() if state.get("sent") != state.get("acked"))
    held = sorted({one["type"] for one in item.get("held") or ()})
    if refused:
        state = f"NACK {', '.join(refused)}"
    elif held:
        state = f"last good {', '.join(held)}"
    else:
        state = f"waits for {', '.join(waiting)}" if waiting else "acked"
    if item.get("standing") in ("outvoted", "slow", "silent"):
        state += f" ({item['standing']})"
    return state


def _proxy(item: Item) -> dict[str, str]:
    return {
        "node": item["node"],
        "cluster": item.get("cluster", ""),
        "role": item.get("role", ""),
        "envoy": item.get("envoy", ""),
        "variant": str(item.get("variant", "")),
        "connected": age(item.get("connected")),
        "state": proxy_state(item),
        "warnings": str(len(item.get("warnings") or ())),
    }


def _defined(kind: model_kinds.Kind, parent: model_kinds.Kind | None) -> Kind:
    """A kind of document, from the table of kinds."""
    return Kind(
        kind.plural,
        (kind.parameter, *kind.aliases),
        kind.name,
        tuple(column.replace("_", " ") for column in kind.columns),
        tuple(column.replace("_", " ") for column in kind.wide),
        _cells(kind),
        parent=parent.plural if parent else None,
        owner=kind.owner or None,
    )


OBSERVED = (
    Kind("services", ("service", "svc"), None, ("service", "source", "instances", "base", "tags", "state",
         "updated"), ("refused", "conflicts"), _service, key="service"),
    Kind("proxies", ("proxy",), None, ("node", "cluster", "role", "envoy", "connected", "state"),
         ("variant", "warnings"), _proxy, key="node"),
)  # fmt: skip


def every() -> list[Kind]:
    """The kinds of documents in the order of their table, then the observed kinds."""
    from controlplane.model.kinds import KINDS  # the models take a quarter of a second to import

    return [*(_defined(kind, KINDS.get(kind.parent)) for kind in KINDS.values()), *OBSERVED]


def split(word: str, name: str | None) -> tuple[str, str | None]:
    """Kind and name from `KIND NAME` or `KIND/NAME`."""
    kind, slash, rest = word.partition("/")
    return (kind, rest) if slash and name is None else (word, name)


def known(word: str) -> Kind | None:
    """The kind that `word` names, singular, plural or short; None if there is none."""
    lowered = word.lower()
    for kind in every():
        if lowered == kind.plural or lowered in kind.aliases or lowered == (kind.document or "").lower():
            return kind
    return None


def find(word: str) -> Kind:
    """As `known`. Ends the command if there is none."""
    kind = known(word)
    if kind is None:
        plurals = ", ".join(kind.plural for kind in every())
        fail(f"unknown kind {word!r}; known are {plurals} and all", Exit.USAGE)
    return kind


def collection(kind: Kind, parent: str | None = None) -> str:
    """URL path of all things of a kind (under `parent`)."""
    if kind.parent:
        return f"/v1/{kind.parent}/{segment(parent or '')}/{kind.plural}"
    return f"/v1/{kind.plural}"


def member(kind: Kind, name: str, parent: str | None = None) -> str:
    """URL path of one thing. The slashes of canonical service ids are not escaped."""
    from urllib.parse import quote

    return (
        f"{collection(kind, parent)}/{quote(name, safe='/:') if kind.plural == 'services' else segment(name)}"
    )


def listed(client: Client, kind: Kind, parent: str | None = None) -> list[Item]:
    """All things of a kind; without a parent, those of every parent."""
    return client.items(collection(kind, parent) if parent else f"/v1/{kind.plural}")


def located(client: Client, kind: Kind, name: str, parent: str | None = None) -> tuple[Item, str]:
    """The one thing called `name` (or `parent/name`) and its URL path. Fails at none or several."""
    if kind.parent is None or parent:
        path = member(kind, name, parent)
        return client.get(path), path
    everything = listed(client, kind)
    found = [
        item for item in everything if name in (item["name"], f"{item[kind.owner or '']}/{item['name']}")
    ]
    if not found:
        known = names([item["name"] for item in everything]) or "none"
        fail(f"there is no {kind.aliases[0]} {name!r}; known are {known}")
    if len(found) > 1:
        where = ", ".join(f"{item[kind.owner or '']}/{item['name']}" for item in found)
        fail(f"{name!r} is not unique: {where}; write one of these", Exit.USAGE)
    return found[0], member(kind, found[0]["name"], found[0][kind.owner or ""])
