"""Users' patches are tried before they are stored: by applying them, and by Envoy's own validation.

Envoy runs with `--mode validate` on what an edge of the gateway would get. Code in its configuration runs
then, too, on this machine: see docs/decisions/0020-envoy-patches.md.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import structlog
from envoy.config.bootstrap.v3 import bootstrap_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from google.protobuf import any_pb2, json_format

from controlplane.model.definitions import Definitions
from controlplane.model.parsing import invalid
from controlplane.model.problems import Problem
from controlplane.plan.gateways import GatewayPlan
from controlplane.plan.planner import Planner, Resolve
from controlplane.plan.rollout import settled
from controlplane.plan.services import ServicePlan
from controlplane.registry.types import Services
from controlplane.translate import clusters, edge, front, listeners, lua, observing, reports
from controlplane.translate.messages import pack
from controlplane.translate.patches import Failure, patched

log = structlog.get_logger("laneway")

LONGEST = 20.0
"""Seconds that Envoy may take."""
REPORTS = "laneway-xds"
"""The cluster over which edges report: that of the bootstrap which Laneway writes."""
TEXT = 1000
"""Characters of Envoy's words that are shown."""
_SAID = re.compile(r"error initializing config(?:uration)? '[^']*': (.*)", re.S)
_FRAME: dict[str, object] = {
    "node": {"id": "validation", "cluster": "validation"},
    "dynamic_resources": {
        "ads_config": {
            "api_type": "DELTA_GRPC",
            "transport_api_version": "V3",
            "grpc_services": [{"envoy_grpc": {"cluster_name": "laneway-xds"}}],
        }
    },
    "static_resources": {
        "clusters": [
            {"name": "laneway-xds", "type": "STATIC", "load_assignment": {"cluster_name": "laneway-xds"}}
        ]
    },
    "layered_runtime": {
        "layers": [{"name": "laneway", "static_layer": {"re2": {"max_program_size": {"error_level": 10000}}}}]
    },
}


class PatchCheck:
    """`allowed`: whether definitions may have patches. `envoy`: the binary that validates them, if any."""

    def __init__(self, allowed: bool = False, envoy: Path | None = None) -> None:
        self._allowed = allowed
        self._envoy = envoy
        self._one_at_a_time = asyncio.Lock()

    async def check(
        self,
        before: Definitions,
        after: Definitions,
        services: Services,
        resolve: Resolve,
        labelled: bool,
        fitting: bool = True,
    ) -> None:
        """Raise DefinitionError (422) for patches of new or changed gateways that cannot be used.

        `labelled`: errors name their document. `fitting`: patches have to fit what the edges have now; else
        those that do not are passed over, as they are when what they change goes.
        """
        problems: list[Problem] = []
        for name, gateway in after.gateways.items():
            if gateway.envoy_patches is None or before.gateways.get(name) == gateway:
                continue
            if not self._allowed:
                remedy = "leave them out, or start the control plane with --allow-envoy-patches"
                found = [Problem("envoy_patches", "are not allowed by this control plane", None, remedy)]
            else:
                found = await self._problems(after, name, services, resolve, fitting)
            problems += [one.within(f"Gateway/{name}") for one in found] if labelled else found
        if problems:
            raise invalid(problems)

    async def _problems(
        self, definitions: Definitions, gateway: str, services: Services, resolve: Resolve, fitting: bool
    ) -> list[Problem]:
        plan = Planner().plan(definitions, settled(definitions), services, resolve)
        wanted = plan.gateways[gateway]
        bootstrap, failures = await asyncio.to_thread(configuration, wanted, plan.services)
        if failures and fitting:
            return [_problem(one) for one in failures]
        if self._envoy is None or (text := await self._rejected(bootstrap)) is None:
            return []
        # The fewest patches that Envoy rejects: the last of them is to blame.
        passing, failing = -1, len(wanted.patches)
        while failing - passing > 1:
            middle = (passing + failing) // 2
            fewer, _ = configuration(replace(wanted, patches=wanted.patches[:middle]), plan.services)
            if (said := await self._rejected(fewer)) is None:
                passing = middle
            else:
                failing, text = middle, said
        if failing == 0:
            log.error("Envoy rejects the configuration without patches, too", gateway=gateway, reason=text)
            return []
        message = f"is rejected by Envoy: {text}"
        return [Problem(f"envoy_patches[{failing - 1}]", message, None, "change it as Envoy's text says")]

    async def _rejected(self, bootstrap: bootstrap_pb2.Bootstrap) -> str | None:
        """Why Envoy rejects a bootstrap; None where it takes it, or cannot be run."""
        async with self._one_at_a_time:
            with tempfile.TemporaryDirectory(prefix="laneway-") as directory:
                file = await asyncio.to_thread(_written, bootstrap, directory)
                # Unknown fields pass, as they do when they come over xDS; a patch has none.
                options = ("--mode", "validate", "--allow-unknown-static-fields", "--disable-hot-restart")
                try:
                    process = await asyncio.create_subprocess_exec(
                        str(self._envoy),
                        *options,
                        "-l",
                        "error",
                        "-c",
                        file,
                        cwd=directory,
                        env={},
                        stdin=asyncio.subprocess.DEVNULL,
                        stdout=asyncio.subprocess.DEVNULL,
                        stderr=asyncio.subprocess.PIPE,
                    )
                except OSError as error:
                    log.error("Envoy cannot be run; patches are not validated", reason=str(error))
                    return None
                try:
                    _, output = await asyncio.wait_for(process.communicate(), LONGEST)
                except TimeoutError:
                    process.kill()
                    await process.wait()
                    return f"no answer within {LONGEST:g} s"
        if process.returncode == 0:
            return None
        text = output.decode(errors="replace")
        found = _SAID.search(text)
        return " ".join((found[1] if found else text).split())[:TEXT]


def _written(bootstrap: bootstrap_pb2.Bootstrap, directory: str) -> str:
    """The file of a bootstrap. By its ending Envoy knows how to read it."""
    file = Path(directory, "bootstrap.pb")
    file.write_bytes(bootstrap.SerializeToString(deterministic=True))
    return str(file)


def _problem(one: Failure) -> Problem:
    field = f"envoy_patches[{one.patch}]"
    if one.operation is not None:
        field += f".operations[{one.operation}]"
    return Problem(field, f"cannot be applied: {one.reason}", None, "look at what the edge has: /config_dump")


def configuration(
    plan: GatewayPlan, services: Mapping[str, ServicePlan]
) -> tuple[bootstrap_pb2.Bootstrap, list[Failure]]:
    """What an edge of the gateway gets, in one static configuration; and patches that cannot be applied."""
    named = sorted({route.service for route in plan.routes if route.service in services and route.service})
    used = {name: services[name] for name in named}
    made, failures = patched("listener", list(listeners.edge_listeners(plan, REPORTS)), plan.patches)
    routes, more = patched("route_configuration", [edge.route_configuration(plan, used)], plan.patches)
    failures += more
    every = [cluster for one in used.values() for cluster in clusters.clusters(one, False)]
    every += observing.collectors(plan.observing)
    every, more = patched("cluster", every, plan.patches)
    failures += more
    bootstrap = json_format.ParseDict(_FRAME, bootstrap_pb2.Bootstrap())
    static = bootstrap.static_resources
    static.listeners.extend(made)
    static.clusters.extend(every)
    static.secrets.extend(front.secrets(plan))
    extensions = {one.name: one.typed_config for one in (lua.edge_filter(plan), reports.edge_watch(()))}
    by_name = {one.name: one for one in routes}
    for listener in static.listeners:
        _inline(listener, by_name, extensions)
    return bootstrap, sorted(failures, key=lambda one: one.patch)


def _inline(
    listener: listener_pb2.Listener,
    routes: Mapping[str, object],
    extensions: Mapping[str, any_pb2.Any],
) -> None:
    """Put what the listener would ask for into it."""
    for chain in listener.filter_chains:
        for network in chain.filters:
            manager = hcm_pb2.HttpConnectionManager()
            if not network.typed_config.Unpack(manager):
                continue
            route = routes.get(manager.rds.route_config_name) if manager.HasField("rds") else None
            if route is not None:
                manager.route_config.CopyFrom(route)  # type: ignore[reportArgumentType]
            for one in manager.http_filters:
                if one.HasField("config_discovery") and one.name in extensions:
                    one.typed_config.CopyFrom(extensions[one.name])
            network.typed_config.CopyFrom(pack(manager))
