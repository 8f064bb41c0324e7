"""The certificates that the control plane holds: checked before a gateway names them, and followed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from controlplane.model.definitions import Definitions
from controlplane.model.documents import Gateway
from controlplane.model.parsing import invalid
from controlplane.model.problems import Problem
from controlplane.secrets.directory import LOOK, Secrets


def named(definitions: Definitions) -> set[str]:
    """The secrets that any gateway names."""
    return {name for gateway in definitions.gateways.values() for _, name in secrets_of(gateway)}


def secrets_of(gateway: Gateway) -> list[tuple[str, str]]:
    """Where in a gateway secrets are named, and which."""
    return [
        (f"listeners[{at}].{place}", name)
        for at, listener in enumerate(gateway.listeners)
        for place, name in listener.secrets
    ]


async def check_secrets(secrets: Secrets, before: Definitions, after: Definitions, labelled: bool) -> None:
    """Raise DefinitionError (422) for secrets that a gateway names anew and that cannot be used. One that it
    named already may fail to be renewed: that stops no other change. `labelled`: errors name their document.
    """
    problems: list[Problem] = []
    for gateway in after.gateways.values():
        former = before.gateways.get(gateway.name)
        if former == gateway:
            continue
        known = {name for _, name in secrets_of(former)} if former is not None else set[str]()
        for field, name in secrets_of(gateway):
            found = await asyncio.to_thread(secrets.examine, name) if name not in known else None
            if found is not None:
                one = Problem(field, f"cannot be used: {found.reason}", name, found.remedy)
                problems.append(one.within(f"Gateway/{gateway.name}") if labelled else one)
    if problems:
        raise invalid(problems)


def secret_warnings(secrets: Secrets, gateway: Gateway) -> tuple[str, ...]:
    """Sentences on the secrets that a gateway names."""
    every = (f"{field}: {said}" for field, name in secrets_of(gateway) if (said := secrets.warning(name)))
    return tuple(every)


async def follow(
    secrets: Secrets, definitions: Callable[[], Definitions], renewed: Callable[[], None]
) -> None:
    """Look at the files of all named secrets again and again, and tell when some were replaced."""
    while True:
        names = named(definitions())
        secrets.keep(names)
        if await asyncio.to_thread(secrets.look, names):
            renewed()
        await asyncio.sleep(LOOK)
