"""`laneway doctor`: checks the systems that Laneway depends on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from controlplane.cli.options import Exit
from controlplane.cli.output import fail


def nacos(
    config: Annotated[Path | None, typer.Option("--config", help="YAML file with the settings.")] = None,
    address: Annotated[list[str] | None, typer.Option("--nacos", help="host:port of a Nacos server.")] = None,
) -> None:
    """Check connection, credentials, version, clock, namespace and groups of the Nacos registry."""
    import asyncio

    from controlplane.cli.serve import load_or_fail

    settings = load_or_fail(config, {"nacos": address or None})
    if not settings.nacos:
        fail("no Nacos server is set: give --nacos HOST:PORT or NACOS_SERVER_ADDR", Exit.USAGE)
    from controlplane.app.parts import conventions_of, nacos_of
    from controlplane.registry.nacos.diagnosis import check

    well = asyncio.run(check(nacos_of(settings), conventions_of(settings)))
    raise typer.Exit(Exit.OK if well else Exit.FAILED)
