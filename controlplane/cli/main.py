"""Assembles the command line: which function implements which command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from controlplane.cli import (
    bootstrap,
    certs,
    change,
    check,
    demo,
    differences,
    doctor,
    inject,
    inspection,
    promotion,
    read,
    release,
    replacing,
    revisions,
    serve,
    status,
    store,
    token,
    trace,
    traffic,
)
from controlplane.cli.client import TRUST, Trust

app = typer.Typer(
    name="laneway",
    help=(
        "Laneway: an Envoy control plane for traffic lanes.\n\n"
        "Exit codes: 0 done; 1 refused or failed; 2 wrong usage; 3 the control plane cannot be reached; "
        "4 `check` has warnings."
    ),
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
lane = typer.Typer(help="Switch lanes on and off, and see how they do.", no_args_is_help=True)
releases = typer.Typer(help="Raise a lane's share step by step, with checks.", no_args_is_help=True)
doctors = typer.Typer(
    help="Check what Laneway depends on: registries, and applications that hand on the lane.",
    no_args_is_help=True,
)
stores = typer.Typer(help="Check, recover and reset where definitions are kept.", no_args_is_help=True)
bootstraps = typer.Typer(help="Write what an Envoy, or a gRPC client, is started with.", no_args_is_help=True)

authorities = typer.Typer(help="Certificates for trials of xDS over TLS.", no_args_is_help=True)

tokens = typer.Typer(help="Tokens for the admin API, in a file of digests.", no_args_is_help=True)

app.command("serve")(serve.serve)
app.command("inject")(inject.inject)
app.add_typer(stores, name="store")
stores.command("check")(store.check)
stores.command("recover")(store.recover)
stores.command("reset")(store.reset)
app.command("apply")(change.apply)
app.command("diff")(differences.diff)
app.command("check")(check.check)
app.command("get")(read.get)
app.command("describe")(read.describe)
app.command("delete")(change.delete)
app.add_typer(lane, name="lane")
lane.command("enable")(change.enable)
lane.command("disable")(change.disable)
lane.command("scale-down")(replacing.scale_down)
lane.command("status")(traffic.lane_status)
app.command("status")(status.status)
app.add_typer(releases, name="release")
releases.command("start")(release.start)
releases.command("status")(release.status)
releases.command("pause")(release.pause)
releases.command("resume")(release.resume)
releases.command("approve")(release.approve)
releases.command("abort")(release.abort)
app.command("promote")(promotion.promote)
app.command("finish")(promotion.finish)
app.command("rollback")(promotion.rollback)
app.command("top")(traffic.top)
app.command("matches")(inspection.matches)
app.command("explain")(inspection.explain)
app.command("trace")(trace.trace)
app.command("export")(read.export)
app.command("proxies")(read.proxies)
app.command("history")(revisions.history)
app.command("undo")(revisions.undo)
app.add_typer(doctors, name="doctor")
doctors.command("nacos")(doctor.nacos)
doctors.command("propagation")(trace.propagation)
app.add_typer(bootstraps, name="bootstrap")
bootstraps.command("edge")(bootstrap.edge)
bootstraps.command("sidecar")(bootstrap.sidecar)
bootstraps.command("grpc")(bootstrap.grpc)
app.add_typer(tokens, name="token")
tokens.command("create")(token.create)
tokens.command("list")(token.show)
tokens.command("revoke")(token.revoke)
app.add_typer(authorities, name="certs")
authorities.command("init")(certs.init)
authorities.command("issue")(certs.issue)
authorities.command("show")(certs.show)
app.command("demo")(demo.demo)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"laneway {version('laneway')}")
        raise typer.Exit


@app.callback()
def _root(
    ca: Annotated[
        Path | None,
        typer.Option(
            envvar="LANEWAY_CA", help="CA of the admin API's certificate (PEM). [default: system's]"
        ),
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(envvar="LANEWAY_CERTIFICATE", help="Your certificate for it (PEM).")
    ] = None,
    key: Annotated[Path | None, typer.Option(envvar="LANEWAY_KEY", help="Its key (PEM).")] = None,
    _: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version.")
    ] = False,
) -> None:
    """Options of `laneway` itself, and whom its calls trust."""
    TRUST.set(Trust(ca, certificate, key))
