"""Gateways that somebody else changed, in a store that several control planes share.

What comes by the own API is tried before it is stored. What another control plane stored is tried when it is
seen; until then, and for as long as Envoy rejects it, edges go on with the gateway as it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import MappingProxyType

import structlog

from controlplane.app.loading import Try
from controlplane.model.definitions import Definitions
from controlplane.model.documents import Gateway
from controlplane.model.kinds import key_of
from controlplane.model.problems import DefinitionError

log = structlog.get_logger("laneway")

PASSED = 100
"""Gateways that were tried and perhaps stored after it, of which so many are remembered."""


@dataclass(slots=True)
class _Held:
    """A changed gateway. `reason` is empty while it is tried."""

    gateway: Gateway
    reason: str = ""


class HeldGateways:
    """`current`: the stored definitions. `attempt` tries a change. `changed` is called when one that was
    waited for may be served.
    """

    def __init__(self, current: Callable[[], Definitions], attempt: Try, changed: Callable[[], None]) -> None:
        self._current = current
        self._attempt = attempt
        self._changed = changed
        self._good: dict[str, Gateway] = {}
        self._passed: dict[str, Gateway] = {}
        self._held: dict[str, _Held] = {}
        self._trying: asyncio.Task[None] | None = None
        self._served: tuple[Definitions, Definitions] | None = None

    def __len__(self) -> int:
        return len(self._held)

    def start_with(self, definitions: Definitions) -> None:
        """What was stored before the start is served: it was tried when it was written, and edges that have
        something better keep it.
        """
        self._good = dict(definitions.gateways)

    def passed(self, after: Definitions) -> None:
        """These gateways were tried."""
        for name, gateway in after.gateways.items():
            if gateway.envoy_patches is not None:
                self._passed.pop(name, None)
                self._passed[name] = gateway
        for name in list(self._passed)[:-PASSED]:
            del self._passed[name]

    def take(self, definitions: Definitions) -> None:
        """The definitions have changed."""
        self._served = None
        gateways = definitions.gateways
        for name in (self._good.keys() | self._held.keys()) - gateways.keys():
            self._good.pop(name, None)
            self._held.pop(name, None)
        for name, gateway in gateways.items():
            if gateway.envoy_patches is None or gateway in (self._good.get(name), self._passed.get(name)):
                self._good[name] = gateway
                self._held.pop(name, None)
            elif name not in self._held or self._held[name].gateway != gateway:
                self._held[name] = _Held(gateway)
        if self._next() is not None and (self._trying is None or self._trying.done()):
            self._trying = asyncio.create_task(self._try(), name="gateways that others changed")

    def served(self, definitions: Definitions) -> Definitions:
        """The definitions with the gateways that edges get. A new one that waits has no listeners yet."""
        if not self._held:
            return definitions
        if self._served is None or self._served[0] is not definitions:
            self._served = (definitions, _with(definitions, self._former()))
        return self._served[1]

    def texts(self) -> dict[str, str]:
        """By gateway: why its change is held."""
        return {
            name: "another control plane changed the gateway; edges go on with it as it was: "
            + (held.reason or "its envoy_patches are being tried")
            for name, held in self._held.items()
        }

    def _former(self) -> list[Gateway]:
        return [
            self._good.get(name) or held.gateway.model_copy(update={"listeners": ()})
            for name, held in self._held.items()
        ]

    def _next(self) -> str | None:
        """A gateway that has to be tried."""
        return next((name for name, held in self._held.items() if not held.reason), None)

    async def _try(self) -> None:
        while (name := self._next()) is not None:
            held = self._held[name]
            before = self.served(self._current())
            reason = ""
            try:
                await self._attempt(before, _with(before, [held.gateway]))
            except DefinitionError as error:
                reason = "; ".join(f"{one.field} {one.message}" for one in error.problems)
            except Exception:
                log.exception("a gateway could not be tried", gateway=name)
                reason = "it could not be tried, see the log"
            if self._held.get(name) is not held:
                continue  # it was changed meanwhile
            if reason:
                held.reason = reason
                log.error("another control plane changed a gateway; it is held", gateway=name, reason=reason)
                continue
            del self._held[name]
            self._good[name] = held.gateway
            self._served = None
            log.info("another control plane changed a gateway; it was tried and is served", gateway=name)
            self._changed()


def _with(definitions: Definitions, gateways: Iterable[Gateway]) -> Definitions:
    """The definitions with other documents of these gateways."""
    table = {**definitions.table("Gateway"), **{key_of(one): one for one in gateways}}
    tables = MappingProxyType({**definitions.tables, "Gateway": MappingProxyType(table)})
    return Definitions(tables, definitions.slots, definitions.at)
