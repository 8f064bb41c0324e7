"""`laneway inject`: the webhook of Kubernetes that gives pods their sidecars."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from controlplane.cli.options import Exit
from controlplane.cli.output import fail
from controlplane.cli.serve import load_or_fail


def inject(
    xds: Annotated[
        str, typer.Option(envvar="LANEWAY_XDS", help="host:port of the control plane, as pods reach it.")
    ],
    envoy_image: Annotated[
        str, typer.Option(envvar="LANEWAY_ENVOY_IMAGE", help="Image of Envoy.")
    ] = "envoyproxy/envoy:v1.40.0",
    init_image: Annotated[
        str, typer.Option(envvar="LANEWAY_INIT_IMAGE", help="Image of the first step of a pod.")
    ] = "laneway-init:latest",
    pull_policy: Annotated[
        Literal["Always", "IfNotPresent", "Never"],
        typer.Option(envvar="LANEWAY_PULL_POLICY", help="When nodes pull these images."),
    ] = "IfNotPresent",
    capture: Annotated[
        Literal["proxy", "redirect"],
        typer.Option(
            envvar="LANEWAY_CAPTURE",
            help="How a pod without the annotation laneway.dev/capture is caught: redirect needs NET_ADMIN.",
        ),
    ] = "proxy",
    xds_ca: Annotated[
        Path | None,
        typer.Option(envvar="LANEWAY_XDS_CA", help="CA of the xDS server's certificate (PEM); pods get it."),
    ] = None,
    resources: Annotated[
        str,
        typer.Option(envvar="LANEWAY_SIDECAR_RESOURCES", help="Requests and limits of a sidecar, as JSON."),
    ] = "",
    listen: Annotated[str, typer.Option(help="Address of the webhook.")] = "0.0.0.0:8443",
    host: Annotated[
        list[str] | None,
        typer.Option(
            help="Name by which the API server calls the webhook: SERVICE.NAMESPACE.svc; may be repeated."
        ),
    ] = None,
    secret: Annotated[
        str, typer.Option(help="Secret in which the certificate of the webhook is kept; it must exist.")
    ] = "",
    namespace: Annotated[str, typer.Option(help="Its namespace. [default: that of this pod]")] = "",
    webhook: Annotated[
        str, typer.Option(help="MutatingWebhookConfiguration that is told whom to trust.")
    ] = "",
    directory: Annotated[
        Path, typer.Option(help="Directory for the certificate; nobody else may write there.")
    ] = Path("/tmp/laneway-inject"),
    certificate: Annotated[
        Path | None,
        typer.Option(
            help="Certificate that somebody else renews, such as cert-manager (PEM); in place of --secret."
        ),
    ] = None,
    key: Annotated[Path | None, typer.Option(help="Its key (PEM).")] = None,
    kubernetes_config: Annotated[
        Path | None, typer.Option(help="Kubeconfig of the cluster. [default: that of this pod]")
    ] = None,
    kubernetes_context: Annotated[str | None, typer.Option(help="Context of the kubeconfig.")] = None,
    log_format: Annotated[
        Literal["console", "json"] | None, typer.Option(help="Format of log lines.")
    ] = None,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None,
        typer.Option(help="Lowest level that is written."),
    ] = None,
) -> None:
    """Run the webhook that gives pods of Kubernetes their sidecars, until SIGTERM or Ctrl-C.

    How applications and tags are read is set by LANEWAY_TAG_KEYS, LANEWAY_BASE_TAGS and
    LANEWAY_APPLICATION_KEYS, as for `laneway serve`.
    """
    if (certificate is None) != (key is None):
        fail("--certificate and --key belong together: give both, or neither", Exit.USAGE)
    if certificate is None and not (secret and webhook and host):
        fail("give --secret, --webhook and --host, or --certificate and --key", Exit.USAGE)
    import uvloop

    from controlplane.app.injecting import Options, run
    from controlplane.app.parts import conventions_of
    from controlplane.app.serving import StartError
    from controlplane.injection.pods import RESOURCES, Sidecars

    settings = load_or_fail(
        None,
        {
            "xds": "127.0.0.1:18000",
            "kubernetes_config": kubernetes_config,
            "kubernetes_context": kubernetes_context,
            "log_format": log_format,
            "log_level": log_level,
        },
    )
    sidecars = Sidecars(
        xds,
        envoy_image,
        init_image,
        capture,
        pull_policy=pull_policy,
        resources=_resources(resources) or RESOURCES,
        conventions=conventions_of(settings),
    )
    options = Options(
        listen, tuple(host or ()), secret, namespace, webhook, directory, certificate, key, xds_ca
    )
    try:
        uvloop.run(run(settings, sidecars, options))
    except StartError as error:
        fail(f"cannot start: {error}")


def _resources(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError as error:
        fail(f"--resources is not JSON: {error}", Exit.USAGE)
    if not isinstance(found, dict) or set(found) - {"requests", "limits"}:
        fail('--resources is not of the form {"requests": {}, "limits": {}}', Exit.USAGE)
    return found
