"""`laneway finish --replace-base`: base Deployments of Kubernetes get the canaries' pod templates. And the
last step of it alone, `laneway lane scale-down`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from controlplane.cli import kinds
from controlplane.cli.change import LaneArgument
from controlplane.cli.client import Client
from controlplane.cli.options import DEFAULT_SERVER, Exit, Format, Output, Server, Token
from controlplane.cli.output import console, emit, notice, table

LOOK = 2.0
"""Seconds between two questions how far the rollouts are."""


@dataclass(frozen=True)
class Replacing:
    """The steps of one command. timeout: seconds until the promotion has to be finished. drain: seconds from
    then until the canaries are scaled down, in which requests that they have are answered.
    """

    group: str
    force: bool
    timeout: float
    drain: float
    output: Output

    def show(self, client: Client) -> None:
        """Say what would be done. Ends with exit code FAILED if it would be refused."""
        path = kinds.located(client, kinds.find("lane-group"), self.group)[1]
        result = client.send("POST", f"{path}/finish?dry_run=true&replace_base=true")
        scaled = client.send("POST", f"{path}/lanes/{result['lane']}/scale-down?dry_run=true")
        result["scale_down"] = scaled["deployments"]
        emit(result, self.output, lambda: self._print(result))
        if result.get("refused"):
            raise typer.Exit(Exit.FAILED)

    def _print(self, result: dict[str, Any]) -> None:
        print_deployments(result)
        for text in result.get("problems", ()):
            notice(f"refused: {text}")
        _print_scaled(result["scale_down"], dry_run=True)
        what = "would be refused" if result.get("refused") else "would be done, in this order"
        notice(f"dry run: this {what}; nothing was changed")

    def run(self, client: Client) -> None:
        """Replace, wait, finish, scale down. Each step can be repeated: start the command again."""
        path = kinds.located(client, kinds.find("lane-group"), self.group)[1]
        end, told = time.monotonic() + self.timeout, ""
        asked = f"{path}/finish?replace_base=true" + ("&force=true" if self.force else "")
        while (result := client.send("POST", asked)).get("waiting"):
            if (text := "; ".join(result["waiting"])) != told:
                told = text
                notice(f"waiting: {text}")
            if time.monotonic() > end:
                notice("nothing is finished: the canaries serve; start the command again, or roll back")
                raise typer.Exit(Exit.FAILED)
            time.sleep(LOOK)
        notice(f"the promotion of lane {result['lane']} is finished: base serves group {result['group']}")
        time.sleep(self.drain)
        scaled = client.send("POST", f"{path}/lanes/{result['lane']}/scale-down")
        result["scale_down"] = scaled["deployments"]
        emit(result, self.output, lambda: _print_scaled(result["scale_down"], dry_run=False))


def scale_down(
    lane: LaneArgument,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    output: Format = Output.TABLE,
    server: Server = DEFAULT_SERVER,
    token: Token = "",
) -> None:
    """Kubernetes: scale the Deployments with the tag of a lane to 0; the lane must not be in use."""
    with Client(server, token) as client:
        path = kinds.located(client, kinds.find("lane"), lane)[1]
        result = client.send("POST", f"{path}/scale-down" + ("?dry_run=true" if dry_run else ""))
    emit(result, output, lambda: _print_scaled(result["deployments"], dry_run))


def _print_scaled(deployments: list[dict[str, Any]], dry_run: bool) -> None:
    done = "would be" if dry_run else "is"
    for one in deployments:
        console().print(f"Deployment {one['deployment']} {done} scaled from {one['replicas']} to 0")
    if not deployments:
        console().print("no Deployment with the tag has replicas")


def print_deployments(result: dict[str, Any]) -> None:
    """The images of base and canary, and what to look at."""
    pairs = result.get("deployments", ())
    if not pairs:
        return
    rows = [
        (
            pair["application"],
            pair["base"],
            image["container"],
            image["base"],
            image["canary"],
        )
        for pair in pairs
        for image in pair["images"]
    ]
    console().print(table(("application", "base", "container", "image", "image of the canary"), rows))
    for pair in pairs:
        for text in (*pair.get("differences", ()), *pair.get("warnings", ())):
            notice(text)
        if pair.get("template") is not None:
            notice(f"Deployment {pair['base']} differs from {pair['canary']} in its pod template")
