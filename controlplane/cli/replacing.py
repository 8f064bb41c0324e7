"""`laneway finish --replace-base`: base Deployments of Kubernetes get the canaries' pod templates."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import typer

from controlplane.cli import kinds
from controlplane.cli.client import Client
from controlplane.cli.options import Exit, Output
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
        for one in result["scale_down"]:
            console().print(f"Deployment {one['deployment']} would be scaled from {one['replicas']} to 0")
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
        emit(result, self.output, lambda: self._done(result))

    def _done(self, result: dict[str, Any]) -> None:
        for one in result["scale_down"]:
            console().print(f"Deployment {one['deployment']} is scaled from {one['replicas']} to 0")


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
