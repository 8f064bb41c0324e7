"""What is watched now, and what was reported of it. It keeps nothing of a request that nobody watches."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from controlplane.tracing.reports import Report

MOST = 8
"""Watches at once."""
MOST_REPORTS = 50_000
"""Reports that one watch keeps, some 60 MB; of a proxy a fifth of them."""
KEPT = 300.0
"""Seconds for which what a watch found can be read after its end."""
LONGEST = 60.0
"""Seconds of a watch."""


class TooMany(Exception):
    """As many watches run as may run at once."""


@dataclass(eq=False, slots=True)
class Watch:
    """One watch. `token` is the one of the request whose way it follows, "" for one of all traffic.

    Times are seconds of a monotonic clock. `left_out` counts the reports that were too many.
    """

    id: str
    gateway: str
    applications: frozenset[str]
    begun: float
    until: float
    token: str = ""
    reports: list[Report] = field(default_factory=list[Report])
    left_out: int = 0
    missing: tuple[str, ...] = ()
    """Proxies that do not report: their bootstraps do not say how."""
    late: tuple[str, ...] = ()
    """Proxies that had not confirmed the watch when it began."""
    _per_node: Counter[str] = field(default_factory=Counter[str])

    def full(self) -> bool:
        return len(self.reports) >= MOST_REPORTS

    def take(self, report: Report) -> None:
        """Keep a report, if it concerns this watch and there is room."""
        if report.side == "edge" and (not self.token or report.token != self.token):
            return
        if self.full() or self._per_node[report.node] >= MOST_REPORTS // 5:
            self.left_out += 1
            return
        self._per_node[report.node] += 1
        self.reports.append(report)


class Watches:
    """Every watch that runs, and those that ended a short time ago."""

    def __init__(self) -> None:
        self._all: dict[str, Watch] = {}
        self.counters: Counter[str] = Counter()

    def begin(
        self, gateway: str, applications: Iterable[str], now: float, seconds: float, one: bool
    ) -> Watch:
        """Begin a watch of `seconds`, of `one` request or of all. Raises TooMany."""
        self._forget(now)
        if sum(watch.until > now for watch in self._all.values()) >= MOST:
            raise TooMany(f"{MOST} watches run, the most at once: try again in {LONGEST:g} seconds")
        # The token is for whoever began the watch: it goes into no log and no answer but the first.
        token = secrets.token_hex(16) if one else ""
        watch = Watch(
            secrets.token_hex(8), gateway, frozenset(applications), now, now + min(seconds, LONGEST), token
        )
        self._all[watch.id] = watch
        return watch

    def end(self, watch: Watch, now: float) -> None:
        """End a watch before its time. What it found stays for a while."""
        watch.until = min(watch.until, now)

    def get(self, identity: str, now: float) -> Watch | None:
        self._forget(now)
        return self._all.get(identity)

    def running(self, now: float) -> list[Watch]:
        return [watch for watch in self._all.values() if watch.until > now]

    def wanted(self, now: float) -> tuple[Mapping[str, frozenset[str]], frozenset[str]]:
        """What proxies are to report: requests with the tokens of each gateway, and all of applications."""
        tokens: dict[str, frozenset[str]] = {}
        applications: frozenset[str] = frozenset()
        for watch in self.running(now):
            applications |= watch.applications
            if watch.token:
                tokens[watch.gateway] = tokens.get(watch.gateway, frozenset()) | {watch.token}
        return tokens, applications

    def open(self, now: float) -> bool:
        """Whether a report can concern any watch. Reports may come a second after its end."""
        return any(watch.until + 1.0 > now and not watch.full() for watch in self._all.values())

    def take(self, report: Report, now: float) -> None:
        self.counters["reports"] += 1
        for watch in self._all.values():
            if watch.until + 1.0 > now:
                watch.take(report)

    def _forget(self, now: float) -> None:
        for identity, watch in list(self._all.items()):
            if watch.until + KEPT < now or (len(self._all) > 2 * MOST and watch.until < now):
                del self._all[identity]
