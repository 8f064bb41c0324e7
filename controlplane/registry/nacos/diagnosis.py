"""`laneway doctor nacos`: tells what is wrong between this machine and Nacos."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from controlplane.nacos import about
from controlplane.nacos.errors import NacosError
from controlplane.nacos.login import access_token
from controlplane.nacos.reach import probe
from controlplane.printable import printable
from controlplane.registry.metadata import Conventions, read_service
from controlplane.registry.nacos.config import NacosConfig
from controlplane.registry.nacos.sdk import NamingClient
from controlplane.registry.source import RawInstance, RawService

CLOCK_TOLERANCE = 30.0
"""Seconds by which the server's clock may differ: signatures and tokens depend on it."""

SAMPLE = 200
"""How many services of a group are read to find tags."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence for users; `ok` is False where they have to do something."""

    ok: bool
    text: str


async def check(
    config: NacosConfig,
    conventions: Conventions = Conventions(),  # noqa: B008
    say: Callable[[str], None] = print,
) -> bool:
    """Pass every finding to `say`; returns whether nothing has to be done."""
    findings = await examine(config, conventions)
    for finding in findings:
        say(f"{'ok     ' if finding.ok else 'PROBLEM'}  {printable(finding.text)}")
    return all(finding.ok for finding in findings)


async def examine(
    config: NacosConfig,
    conventions: Conventions = Conventions(),  # noqa: B008
) -> list[Finding]:
    """Findings about ports, clocks, login and version of the servers, and about the groups of the
    namespace.
    """
    findings: list[Finding] = []
    heard = False
    for address in config.server_addresses:
        of_server = await _server(config, address)
        heard |= of_server[0].ok
        findings += of_server
    if not heard:
        return findings
    client = NamingClient(config)
    try:
        await client.open()
        findings.append(
            Finding(True, f"Nacos {await about.version(config) or 'of an unknown version'} answers")
        )
        for group in config.groups:
            findings += await _group(client, config, group, conventions)
    except NacosError as error:
        findings.append(Finding(False, str(error)))
    finally:
        await client.close()
    return findings


async def _server(config: NacosConfig, address: str) -> list[Finding]:
    """The connections to one server; the first finding is about its gRPC port."""
    findings: list[Finding] = []
    try:
        await probe(config, address)
        findings.append(Finding(True, f"{address}: the gRPC port takes connections"))
    except NacosError as error:
        findings.append(Finding(False, str(error)))
    try:
        drift = await about.clock(config, address) - time.time()
        ok = abs(drift) <= CLOCK_TOLERANCE
        text = "agrees with this machine's" if ok else f"differs from this machine's by {drift:+.0f} s"
        findings.append(Finding(ok, f"{address}: the server's clock {text}"))
        if config.username:
            await access_token(config, address)
            findings.append(Finding(True, f"{address}: the login of {config.username} is accepted"))
    except NacosError as error:
        findings.append(Finding(False, str(error)))
    return findings


async def _group(
    client: NamingClient, config: NacosConfig, group: str, conventions: Conventions
) -> list[Finding]:
    everything = await client.list_services(group)
    wanted = sorted(name for name in everything if config.wants(name))
    where = f"namespace {config.namespace}, group {group}"
    if not everything:
        return [Finding(False, f"{where}: no services; {await _elsewhere(config)}")]
    if not wanted:
        text = f"{where}: none of the {len(everything)} services has a name that NACOS_SERVICES allows"
        return [Finding(False, text)]
    tags: Counter[str] = Counter()
    refused: list[str] = []
    instances = 0
    for name in wanted[:SAMPLE]:
        reading = read_service(RawService(name, await _instances(client, group, name)), conventions)
        instances += len(reading.instances)
        tags.update(i.tag or "base" for i in reading.instances)
        refused += [f"{name} {r.address}:{r.port}: {r.reason}" for r in reading.refused]
    shown = ", ".join(f"{tag} {count}" for tag, count in sorted(tags.items()))
    looked = f" (the first {SAMPLE} were read)" if len(wanted) > SAMPLE else ""
    text = f"{where}: {len(wanted)} services{looked}, {instances} instances ({shown or 'none'})"
    findings = [Finding(True, text)]
    findings += [Finding(False, f"refused: {text}") for text in refused[:20]]
    if instances and set(tags) == {"base"}:
        keys = ", ".join(conventions.tag_keys)
        text = f"{where}: no instance has a tag; tags are read from the metadata {keys}"
        findings.append(Finding(True, text))
    return findings


async def _elsewhere(config: NacosConfig) -> str:
    """Where services may be, for a group that has none."""
    for address in config.server_addresses:
        if groups := await about.groups(config, address):
            found = ", ".join(f"{name} ({count})" for name, count in groups.most_common(10))
            return f"this namespace has services in the groups {found}"
    if missing := await about.missing_namespace(config):
        return str(missing)
    return (
        "no other group has any either; check that NACOS_NAMESPACE is the id, not the name, of the namespace"
    )


async def _instances(client: NamingClient, group: str, name: str) -> tuple[RawInstance, ...]:
    """The instances of one service."""
    said: list[tuple[RawInstance, ...]] = []
    await client.unsubscribe(await client.subscribe(group, name, said.append))
    return said[-1] if said else ()
