"""What the running control plane says about definitions that are custom resources of Kubernetes.

Imported only where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from controlplane.admin.references import refuse_ambiguous
from controlplane.app.laneway import Laneway
from controlplane.model.definitions import Definitions, Key
from controlplane.model.documents import Lane
from controlplane.store.fallback import FallbackStore
from controlplane.store.interface import DefinitionStore, StoreUnavailable
from controlplane.store.kubernetes.reporting import Reporting
from controlplane.store.kubernetes.shared_store import KubernetesStore
from controlplane.store.kubernetes.status import Facts, Proxies

NONE = Proxies(0, 0)


def reporting_of(store: DefinitionStore, laneway: Laneway) -> Reporting:
    """What writes status and Events of the custom resources of `store`. They are checked as over REST."""
    inner = store.store if isinstance(store, FallbackStore) else store
    assert isinstance(inner, KubernetesStore)

    async def further(definitions: Definitions) -> None:
        await laneway.check(inner.current.definitions, definitions, labelled=True)
        try:
            refuse_ambiguous(laneway, definitions.documents(), labelled=True)
        except StoreUnavailable:
            return  # at the start nothing is known yet of what the names of services mean

    inner.further = further
    return Reporting(inner, lambda: _ask(laneway))


async def _ask(laneway: Laneway) -> Callable[[Key], Facts]:
    try:
        definitions = laneway.store.current.definitions
    except StoreUnavailable:
        return lambda _: Facts()
    warnings = await laneway.look(definitions)
    proxies = _proxies(laneway)

    def facts(key: Key) -> Facts:
        return Facts(
            tuple(warnings.of(key)), _instances(laneway, definitions, key), _of(definitions, proxies, key)
        )

    return facts


def _instances(laneway: Laneway, definitions: Definitions, key: Key) -> dict[str, int] | None:
    """Of a lane: the instances with its tag, the base ones, its services, and those that fall back."""
    lane = definitions.get(key)
    if not isinstance(lane, Lane):
        return None
    found = [one for _, services in laneway.matches(lane.name) for one in services]
    return {
        "tagged": sum(len(one.tagged) for one in found),
        "base": sum(one.base for one in found),
        "services": len(found),
        "fallback": sum(one.fallback for one in found),
    }


def _proxies(laneway: Laneway) -> Mapping[tuple[str, str], Proxies]:
    """The connected proxies by role and cluster, which is the gateway's name or the application's."""
    counted: dict[tuple[str, str], Proxies] = {}
    for one in laneway.proxies():
        key = one.role, one.cluster
        before = counted.get(key, NONE)
        current = all(state.sent == state.acked for state in one.types.values())
        counted[key] = Proxies(before.concerned + 1, before.current + current)
    return counted


def _of(definitions: Definitions, proxies: Mapping[tuple[str, str], Proxies], key: Key) -> Proxies:
    """Those that a definition concerns: edges of its gateway, sidecars of its applications."""
    if key.kind in ("Gateway", "Route"):
        wanted = [("edge", key.parent or key.name)]
    elif key.kind == "Application":
        wanted = [("sidecar", key.name)]
    else:
        group = definitions.groups.get(key.parent or key.name)
        wanted = [] if group is None else [("edge", group.gateway)]
        wanted += [("sidecar", one) for one in group.applications] if group is not None else []
    found = [proxies.get(one, NONE) for one in wanted]
    return Proxies(sum(one.concerned for one in found), sum(one.current for one in found))
