"""Commands that make a lane's instances base of all applications of its group, and end that again."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from controlplane.cli import completion, kinds
from controlplane.cli.change import LaneArgument
from controlplane.cli.client import Client
from controlplane.cli.options import DEFAULT_SERVER, Exit, Format, Output, Server, Token
from controlplane.cli.output import console, emit, notice, table
from controlplane.cli.replacing import Replacing, print_deployments

GroupArgument = Annotated[
    str, typer.Argument(help="Name of the lane group.", autocompletion=completion.group)
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done, and what is missing.")]
DONE = {
    "promote": "lane {lane} is promoted: instances with tag {tag} are base of group {group}",
    "finish": "the promotion of lane {lane} is finished: untagged instances are base of group {group} again; "
    "the lane is disabled",
    "rollback": "lane {lane} is rolled back: untagged instances are base of group {group} again; "
    "the lane is disabled",
}


def promote(
    group: GroupArgument,
    lane: LaneArgument,
    dry_run: DryRun = False,
    output: Format = Output.TABLE,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
) -> None:
    """Make the instances of a lane base of all applications of its group."""
    _act("promote", group, dry_run, output, server, token, body={"lane": lane})


def finish(
    group: GroupArgument,
    dry_run: DryRun = False,
    force: Annotated[bool, typer.Option("--force", help="Finish although something is missing.")] = False,
    replace_base: Annotated[
        bool,
        typer.Option(
            "--replace-base",
            help="Kubernetes: first give the base Deployments the canaries' pod templates and wait for them; "
            "scale the canaries down afterwards.",
        ),
    ] = False,
    timeout: Annotated[
        float, typer.Option(help="With --replace-base: seconds to wait until the promotion is finished.")
    ] = 900.0,
    drain: Annotated[
        float,
        typer.Option(help="With --replace-base: seconds from then until canaries are scaled down."),
    ] = 10.0,
    output: Format = Output.TABLE,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
) -> None:
    """End a promotion once the untagged instances are of the promoted version; disables the lane."""
    if replace_base:
        asked = Replacing(group, force, timeout, drain, output)
        with Client(server, token) as client:
            asked.show(client) if dry_run else asked.run(client)
        return
    _act("finish", group, dry_run, output, server, token, force=force)


def rollback(
    group: GroupArgument,
    dry_run: DryRun = False,
    output: Format = Output.TABLE,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
) -> None:
    """Make the untagged instances base again at once, and disable the lane."""
    _act("rollback", group, dry_run, output, server, token)


def _act(
    action: str,
    group: str,
    dry_run: bool,
    output: Output,
    server: str,
    token: str,
    *,
    force: bool = False,
    body: dict[str, str] | None = None,
) -> None:
    asked = "&".join(name for name, on in (("dry_run=true", dry_run), ("force=true", force)) if on)
    with Client(server, token) as client:
        path = kinds.located(client, kinds.find("lane-group"), group)[1]
        result = client.send("POST", f"{path}/{action}" + (f"?{asked}" if asked else ""), body)
    emit(result, output, lambda: _print(result, dry_run))
    if dry_run and result.get("refused"):
        raise typer.Exit(Exit.FAILED)


def _print(result: dict[str, Any], dry_run: bool) -> None:
    columns = ("application", "service", f"tag {result['tag']}", "untagged", "missing")
    rows = [
        (application["application"], *cells)
        for application in result["applications"]
        for cells in [_cells(one) for one in application["services"]] or [("no service", "", "", "")]
    ]
    console().print(table(columns, rows))
    print_deployments(result)
    if dry_run:
        what = "would be refused without --force" if result.get("refused") else "would be done"
        notice(f"dry run: {result['action']} {what}; nothing was changed")
    elif result["changed"]:
        console().print(DONE[result["action"]].format(**result))
    else:
        console().print(f"lane {result['lane']} of group {result['group']} was promoted already")


def _cells(service: dict[str, Any]) -> tuple[str, str, str, str]:
    return (
        service["service"],
        _instances(service["tagged"]),
        _instances(service["base"]),
        "; ".join(service.get("missing", ())) or "-",
    )


def _instances(listed: list[dict[str, Any]]) -> str:
    """How many instances there are, by version."""
    by_version: dict[str, list[bool]] = {}
    for one in listed:
        good = one["healthy"] and not one.get("held")
        by_version.setdefault(one["version"] or "no version", []).append(good)
    said = [
        f"{len(good)} of {version}" + (f" ({len(good) - sum(good)} unhealthy)" if not all(good) else "")
        for version, good in sorted(by_version.items())
    ]
    return ", ".join(said) or kinds.NO_INSTANCES
