"""The lanes that proxies know, by their tags, and how requests carry them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from controlplane.model.definitions import Definitions
from controlplane.plan.base import Base
from controlplane.plan.gateways import carried_by
from controlplane.plan.inheritance import NOTHING_PROMOTED, Inheritance, inherited
from controlplane.plan.lanes import LaneMeaning, enabled_lanes

USUAL = (("x-lane", "lane"),)
"""The carriers where no gateway is defined."""


@dataclass(frozen=True, slots=True)
class LanesChange:
    """What one publication changes: whether the carriers did, the tags whose lane is another one now, and the
    applications whose groups have other lanes now.
    """

    carriers: bool
    tags: frozenset[str]
    applications: frozenset[str]


class KnownLanes:
    """`carriers` are (header, baggage member) of every gateway, sorted."""

    def __init__(self) -> None:
        self.carriers: tuple[tuple[str, str], ...] = USUAL
        self._known: Mapping[str, LaneMeaning] = {}
        self._base = NOTHING_PROMOTED
        self._definitions: Definitions | None = None
        self._resting: Collection[str] = frozenset[str]()
        self._by_tag: dict[str, dict[str, LaneMeaning]] = {}
        self._by_application: dict[str, tuple[str, ...]] = {}
        self._by_trace = frozenset[str]()

    def publish(
        self,
        definitions: Definitions,
        known: Mapping[str, LaneMeaning],
        resting: Collection[str] = frozenset(),
        base: Base = NOTHING_PROMOTED,
    ) -> LanesChange:
        """Take over the definitions of this publication. `resting`: lanes that their times close. `base`:
        what base means.
        """
        carriers = tuple(sorted({carried_by(g.carriers) for g in definitions.gateways.values()})) or USUAL
        recarried = carriers != self.carriers
        self.carriers = carriers
        tags: frozenset[str] = frozenset()
        applications: frozenset[str] = frozenset()
        unchanged = known is self._known and definitions is self._definitions
        if not unchanged or resting != self._resting:
            before, self._by_tag = self._by_tag, {}
            for name, lane in known.items():
                self._by_tag.setdefault(lane.tag, {})[name] = lane
            enabled = enabled_lanes(definitions, resting)
            for tag, same in self._by_tag.items():
                # A lane that ends is known for a while; what is inherited must outlast that, if it can.
                staying = {n: x for n, x in same.items() if n in enabled}
                self._by_tag[tag] = staying or same
            either = before.keys() | self._by_tag.keys()
            tags = frozenset(tag for tag in either if before.get(tag) != self._by_tag.get(tag))
            applications = self._list(known)
            self._known, self._definitions, self._resting = known, definitions, resting
        if base != self._base:
            tags |= {*self._base.tags.values(), *base.tags.values()}
            self._base = base
        return LanesChange(recarried, tags, applications)

    def _list(self, known: Mapping[str, LaneMeaning]) -> frozenset[str]:
        """List the lanes of each application. Returns the applications that changed by it."""
        listed: dict[str, list[str]] = {}
        traced: set[str] = set()
        for name in sorted(known):
            for application in known[name].applications:
                listed.setdefault(application, []).append(name)
            if known[name].by_trace:
                traced |= known[name].applications
        before = self._by_application
        self._by_application = {application: tuple(names) for application, names in listed.items()}
        either = before.keys() | self._by_application.keys()
        other = frozenset(a for a in either if before.get(a) != self._by_application.get(a))
        traced_before, self._by_trace = self._by_trace, frozenset(traced)
        return other | (traced_before ^ self._by_trace)

    def of(self, application: str) -> tuple[str, ...]:
        """The names of the lanes of the application's groups, sorted."""
        return self._by_application.get(application, ())

    def by_trace(self, application: str) -> bool:
        """Whether sidecars of the application read and remember lanes by trace."""
        return application in self._by_trace

    def default(self, application: str, tag: str | None) -> LaneMeaning | None:
        """The lane of a call that has none, from an instance of this application and tag."""
        return self.inheritance(application, tag).lane

    def inheritance(self, application: str, tag: str | None) -> Inheritance:
        """As `default`, with the reason."""
        return inherited(self._by_tag.get(tag or "", {}).values(), application, tag, self._base)
