"""HTTPRoutes of the Gateway API as routes of the running control plane.

Imported only where that is configured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog

from controlplane.app.laneway import Laneway
from controlplane.gatewayapi.following import GatewayApi, Surroundings
from controlplane.gatewayapi.objects import PREFIX
from controlplane.kubernetes.access import Access
from controlplane.model.definitions import Definitions, Key
from controlplane.model.documents import Route
from controlplane.model.problems import DefinitionError
from controlplane.store.fallback import FallbackStore
from controlplane.store.interface import DefinitionStore, StoreUnavailable

log = structlog.get_logger("laneway.gatewayapi")

AUTHOR = "gateway-api"
"""The author of changes that HTTPRoutes make."""


def gateway_api_of(access: Callable[[], Access], store: DefinitionStore, laneway: Laneway) -> GatewayApi:
    """What follows HTTPRoutes. Of several control planes whose definitions are custom resources, the one
    that acts for these writes; of others, each writes the same.
    """
    kept = _Kept(laneway)
    made = GatewayApi(access, Surroundings(_acts(store), kept.known, kept.service, kept.keep))
    laneway.catalog.subscribe(lambda _: made.news.set())
    store.subscribe(lambda *_: made.news.set())
    return made


def _acts(store: DefinitionStore) -> Callable[[], bool]:
    inner = store.store if isinstance(store, FallbackStore) else store
    lease = getattr(inner, "lease", None)
    return (lambda: lease.held) if lease is not None else (lambda: True)


class _Kept:
    def __init__(self, laneway: Laneway) -> None:
        self._laneway = laneway

    def known(self) -> frozenset[str] | None:
        try:
            definitions = self._laneway.store.current.definitions
        except StoreUnavailable:
            return None
        if self._laneway.store_status().read_only or not self._laneway.catalog.synced():
            return None
        return frozenset(definitions.gateways)

    def service(self, namespace: str, name: str, port: int) -> str | None:
        try:
            return self._laneway.resolve_service(f"kubernetes/*/{namespace}/{name}:{port}").id
        except LookupError:
            return None

    async def keep(self, routes: Mapping[Key, Route]) -> Mapping[Key, str] | None:
        failed: dict[Key, str] = {}

        def transform(definitions: Definitions) -> Definitions:
            failed.clear()
            puts = [one for key, one in sorted(routes.items()) if definitions.get(key) != one]
            gone = [
                key for key in definitions.table("Route") if key.name.startswith(PREFIX) and key not in routes
            ]
            try:
                return definitions.change([(one, None) for one in puts], gone)
            except DefinitionError:
                return _one_by_one(definitions, puts, gone, failed)

        try:
            now = self._laneway.store.current.definitions
            if transform(now) != now:
                await self._laneway.store.change(transform, AUTHOR, "HTTPRoutes")
        except StoreUnavailable as error:
            log.warning("routes of HTTPRoutes cannot be stored now", reason=str(error))
            return None
        except DefinitionError as error:
            log.warning("routes of HTTPRoutes are refused", reason=str(error))
            return None
        return failed


def _one_by_one(
    definitions: Definitions, puts: list[Route], gone: list[Key], failed: dict[Key, str]
) -> Definitions:
    """As many of the changes as can be made; `failed` gets the others, and why."""
    for one in puts:
        try:
            definitions = definitions.put(one)
        except DefinitionError as error:
            failed[Key("Route", one.gateway, one.name)] = str(error)
    for key in gone:
        try:
            definitions = definitions.change([], [key])
        except DefinitionError as error:
            failed[key] = str(error)
    return definitions
