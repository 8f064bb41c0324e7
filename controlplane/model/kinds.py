"""The table of kinds: everything that the control plane knows about a kind of document, in one place.

Stores, REST, OpenAPI, the command, metrics and export are made from this table. A new kind is a model in
`documents` and an entry here; `rules` and the plan define what it means for routing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, Self

from controlplane.model import documents, freezes, releases
from controlplane.model.documents import Document


class AnyKind(Protocol):
    """A document of any kind."""

    @property
    def kind(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def model_fields_set(self) -> set[str]: ...

    def model_copy(self, *, update: Mapping[str, Any] | None = ...) -> Self: ...

    def model_dump(self, *, mode: str = ...) -> dict[str, Any]: ...

    def model_dump_json(self) -> str: ...


class Key(NamedTuple):
    """What identifies a document. `parent` is the gateway of a route and the group of a lane, else empty."""

    kind: str
    parent: str
    name: str

    def __str__(self) -> str:
        """`Kind/name`, as `apply` answers and users read it."""
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of document.

    words: its name in sentences; `plural` is its name in URLs and commands.
    parameter: the name of its URL parameter, and of a field that refers to it.
    aliases: further names in commands.
    parent: the kind that it belongs to, "" for none. It is deleted with its parent, and its URL begins with
        that of its parent. `owner` is the field that names the parent.
    columns, wide: the fields that a table shows, and further ones of a wide table.
    kept: fields that a changed document leaves as they are stored, as far as the first that it gives itself.
    written: fields that the control plane alone moves; a changed document leaves them as they are stored.
    """

    model: type[Document]
    words: str
    plural: str
    parameter: str
    aliases: tuple[str, ...] = ()
    parent: str = ""
    owner: str = ""
    columns: tuple[str, ...] = ()
    wide: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    written: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The kind as documents say it: `LaneGroup`."""
        return self.model.model_fields["kind"].default

    @property
    def one(self) -> str:
        """`a lane group`, `an application`."""
        return f"{'an' if self.words[0] in 'aeiou' else 'a'} {self.words}"

    def key(self, document: AnyKind) -> Key:
        """The key of `document`, which is of this kind."""
        return Key(self.name, getattr(document, self.owner) if self.owner else "", document.name)


def _table(*kinds: Kind) -> dict[str, Kind]:
    return {kind.name: kind for kind in kinds}


KINDS: dict[str, Kind] = _table(
    Kind(
        documents.Gateway,
        words="gateway",
        plural="gateways",
        parameter="gateway",
        aliases=("gw",),
        columns=("name", "listeners", "carriers"),
        wide=("trust_client_lane", "trusted_hops", "headers_with_underscores"),
    ),
    Kind(
        documents.Route,
        words="route",
        plural="routes",
        parameter="route",
        parent="Gateway",
        owner="gateway",
        columns=("gateway", "name", "hosts", "path", "service"),
        wide=("priority", "timeout"),
    ),
    Kind(
        documents.Application,
        words="application",
        plural="applications",
        parameter="application",
        aliases=("app", "apps"),
        columns=("name", "services", "health_check"),
        wide=("keep_alive", "timeouts", "load_balancing", "circuit_breaking"),
    ),
    Kind(
        documents.LaneGroup,
        words="lane group",
        plural="lane-groups",
        parameter="group",
        aliases=("groups", "lane-group", "lanegroups"),
        columns=("name", "gateway", "applications"),
        wide=("inherit_tag", "colour_by_trace", "promoted"),
        kept=("promoted",),
    ),
    Kind(
        documents.Lane,
        words="lane",
        plural="lanes",
        parameter="lane",
        parent="LaneGroup",
        owner="group",
        columns=("name", "group", "tag", "enabled", "rule", "fallback"),
        wide=("priority", "routes", "times"),
        kept=("enabled", "enabled_until"),
    ),
    Kind(
        releases.Release,
        words="release",
        plural="releases",
        parameter="release",
        parent="LaneGroup",
        owner="group",
        columns=("name", "group", "lane", "steps", "phase"),
        wide=("checks", "hooks", "interval"),
        written=("progress",),
    ),
    Kind(
        freezes.Freeze,
        words="freeze",
        plural="freezes",
        parameter="freeze",
        columns=("name", "from", "until", "groups", "reason"),
    ),
)
"""By name, in the order in which kinds build on each other, which is the order of an export."""


def key_of(document: AnyKind) -> Key:
    """The key of `document`."""
    return KINDS[document.kind].key(document)


def children_of(kind: str) -> list[str]:
    """The kinds whose parent is `kind`."""
    return [name for name, one in KINDS.items() if one.parent == kind]
