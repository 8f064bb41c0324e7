"""`laneway serve`: the control plane itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from controlplane.cli.options import Exit
from controlplane.cli.output import fail, problem_lines, say

if TYPE_CHECKING:
    from pydantic import ValidationError

    from controlplane.app.settings import Settings

Text = str | None


def serve(
    config: Annotated[
        Path | None, typer.Option("--config", envvar="LANEWAY_CONFIG", help="YAML file with settings.")
    ] = None,
    services: Annotated[
        Path | None, typer.Option(help="File or directory of services and their instances; watched.")
    ] = None,
    secrets: Annotated[
        Path | None,
        typer.Option(help="Directory of certificates for gateways: NAME/tls.crt and NAME/tls.key; watched."),
    ] = None,
    definitions: Annotated[
        Path | None, typer.Option(help="Definitions that are applied at start if the store is empty.")
    ] = None,
    store: Annotated[
        Text,
        typer.Option(
            help="sqlite:PATH, memory, nacos or kubernetes[:NAMESPACE]. [default: sqlite:laneway.db]"
        ),
    ] = None,
    state_dir: Annotated[Path | None, typer.Option(help="Directory of the last known services.")] = None,
    xds: Annotated[Text, typer.Option(help="Address of the xDS server. [default: 127.0.0.1:18000]")] = None,
    xds_certificate: Annotated[
        Path | None, typer.Option(help="Certificate of the xDS server, with its chain (PEM).")
    ] = None,
    xds_key: Annotated[Path | None, typer.Option(help="Its key (PEM).")] = None,
    xds_client_ca: Annotated[
        Path | None, typer.Option(help="CA of the certificates that xDS clients have to show (PEM).")
    ] = None,
    xds_identities: Annotated[
        list[str] | None,
        typer.Option(
            help="Pattern of names in clients' certificates; may be repeated. "
            "[default: spiffe://*/gateway/{gateway}, spiffe://*/application/{application} and "
            "spiffe://*/operator/{operator}]"
        ),
    ] = None,
    xds_allow_plaintext: Annotated[
        bool | None,
        typer.Option("--xds-allow-plaintext", help="Serve xDS beyond loopback without TLS."),
    ] = None,
    xds_transport: Annotated[
        Literal["laneway", "grpcio"] | None,
        typer.Option(help="gRPC server of the xDS port: Laneway's own or gRPC's library. [default: laneway]"),
    ] = None,
    admin: Annotated[Text, typer.Option(help="Address of the admin API. [default: 127.0.0.1:18080]")] = None,
    admin_tokens: Annotated[
        Path | None, typer.Option(help="File of tokens, see `laneway token create`.")
    ] = None,
    admin_certificate: Annotated[
        Path | None, typer.Option(help="Certificate of the admin API, with its chain (PEM).")
    ] = None,
    admin_key: Annotated[Path | None, typer.Option(help="Its key (PEM).")] = None,
    admin_client_ca: Annotated[
        Path | None,
        typer.Option(help="CA of the certificates that clients of the admin API have to show (PEM)."),
    ] = None,
    admin_allow_plaintext: Annotated[
        bool | None,
        typer.Option("--admin-allow-plaintext", help="Serve the admin API beyond loopback without TLS."),
    ] = None,
    admin_allow_anonymous: Annotated[
        bool | None,
        typer.Option("--admin-allow-anonymous", help="Serve the admin API beyond loopback to everyone."),
    ] = None,
    audit: Annotated[
        Text,
        typer.Option(help="File for changes and refusals, or syslog, syslog:/path, syslog:host:port."),
    ] = None,
    admin_hosts: Annotated[
        list[str] | None,
        typer.Option(help="Name by which clients call the admin API, besides localhost; may be repeated."),
    ] = None,
    peers: Annotated[
        list[str] | None,
        typer.Option(
            help="Admin port of another control plane, such as https://laneway-2:18080, to ask for its "
            "proxies' traffic; may be repeated."
        ),
    ] = None,
    peers_token_file: Annotated[
        Path | None, typer.Option(help="File with a token of the role viewer for them.")
    ] = None,
    peers_ca: Annotated[Path | None, typer.Option(help="CA of their admin certificates (PEM).")] = None,
    release_urls: Annotated[
        Text,
        typer.Option(
            help="URLs, with commas between, below which releases may ask a Prometheus and call web hooks. "
            "[default: none]"
        ),
    ] = None,
    release_ca: Annotated[Path | None, typer.Option(help="CA of these servers (PEM).")] = None,
    allow_envoy_patches: Annotated[
        bool | None,
        typer.Option("--allow-envoy-patches", help="Take gateways with envoy_patches."),
    ] = None,
    envoy_binary: Annotated[
        Path | None, typer.Option(help="The Envoy that validates envoy_patches. [default: none]")
    ] = None,
    lane_drain: Annotated[
        float | None,
        typer.Option(help="Seconds that sidecars honour a lane that was switched off. [default: 5]"),
    ] = None,
    trial_wait: Annotated[
        float | None,
        typer.Option(
            help="Seconds that a changed listener or route waits for the first two proxies; 0: no trial. "
            "[default: 0.5]"
        ),
    ] = None,
    empty_hold: Annotated[
        float | None, typer.Option(help="Seconds that a lost base set is still served. [default: 300]")
    ] = None,
    kubernetes: Annotated[
        bool | None,
        typer.Option("--kubernetes", help="Read the services of the cluster that this process runs in."),
    ] = None,
    kubernetes_config: Annotated[
        Path | None, typer.Option(help="Read those of the cluster that this kubeconfig names.")
    ] = None,
    kubernetes_context: Annotated[
        Text, typer.Option(help="Context of the kubeconfig. [default: its current one]")
    ] = None,
    kubernetes_namespace: Annotated[
        list[str] | None, typer.Option(help="Namespace; may be repeated. [default: all]")
    ] = None,
    kubernetes_namespace_selector: Annotated[
        Text, typer.Option(help="Label selector of the namespaces, such as lanes=on. [default: all]")
    ] = None,
    gateway_api: Annotated[
        bool | None,
        typer.Option("--gateway-api", help="Take HTTPRoutes of the Gateway API of that cluster as routes."),
    ] = None,
    kubernetes_deployments: Annotated[
        Literal["off", "compare", "replace"] | None,
        typer.Option(help="What a promotion does with Deployments of that cluster. [default: off]"),
    ] = None,
    nacos: Annotated[
        list[str] | None, typer.Option(help="host:port of a Nacos server; may be repeated.")
    ] = None,
    nacos_namespace: Annotated[Text, typer.Option(help="Namespace id. [default: public]")] = None,
    nacos_group: Annotated[
        list[str] | None, typer.Option(help="Group; may be repeated. [default: DEFAULT_GROUP]")
    ] = None,
    nacos_service: Annotated[
        list[str] | None, typer.Option(help="Name or pattern of services; may be repeated. [default: all]")
    ] = None,
    log_format: Annotated[
        Literal["console", "json"] | None, typer.Option(help="Format of log lines.")
    ] = None,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None,
        typer.Option(help="Lowest level that is written."),
    ] = None,
) -> None:
    """Run the control plane until SIGTERM or Ctrl-C.

    Every option is also a variable LANEWAY_<OPTION> and a key of the --config file.
    """
    settings = load_or_fail(
        config,
        {
            "services": services,
            "secrets": secrets,
            "release_urls": release_urls,
            "release_ca": release_ca,
            "definitions": definitions,
            "store": store,
            "state_dir": state_dir,
            "xds": xds,
            "xds_certificate": xds_certificate,
            "xds_key": xds_key,
            "xds_client_ca": xds_client_ca,
            "xds_identities": ",".join(xds_identities) if xds_identities else None,
            "xds_allow_plaintext": xds_allow_plaintext,
            "xds_transport": xds_transport,
            "admin": admin,
            "token_file": admin_tokens,
            "admin_certificate": admin_certificate,
            "admin_key": admin_key,
            "admin_client_ca": admin_client_ca,
            "admin_allow_plaintext": admin_allow_plaintext,
            "audit": audit,
            "admin_allow_anonymous": admin_allow_anonymous,
            "admin_hosts": ",".join(admin_hosts) if admin_hosts else None,
            "peers": ",".join(peers) if peers else None,
            "peers_token_file": peers_token_file,
            "peers_ca": peers_ca,
            "allow_envoy_patches": allow_envoy_patches,
            "envoy_binary": envoy_binary,
            "lane_drain": lane_drain,
            "trial_wait": trial_wait,
            "empty_hold": empty_hold,
            "kubernetes": kubernetes,
            "kubernetes_config": kubernetes_config,
            "kubernetes_context": kubernetes_context,
            "kubernetes_namespaces": kubernetes_namespace or None,
            "kubernetes_namespace_selector": kubernetes_namespace_selector,
            "gateway_api": gateway_api,
            "kubernetes_deployments": kubernetes_deployments,
            "nacos": nacos or None,
            "nacos_namespace": nacos_namespace,
            "nacos_groups": nacos_group or None,
            "nacos_services": nacos_service or None,
            "log_format": log_format,
            "log_level": log_level,
        },
    )
    run(settings)


def load_or_fail(config: Path | None, overrides: dict[str, Any]) -> Settings:
    """The settings. If some are wrong, names each and ends the command."""
    import yaml
    from pydantic import ValidationError

    from controlplane.app.settings import load
    from controlplane.net.credentials import where

    try:
        return load(config, overrides)
    except ValidationError as error:
        say(line for one in _wrong_settings(error, config) for line in problem_lines(*one))
        raise typer.Exit(Exit.USAGE) from None
    except yaml.YAMLError as error:
        fail(f"cannot read {config}: {where(error)}", Exit.USAGE)
    except OSError as error:
        fail(f"cannot read {config}: {error}", Exit.USAGE)


def _wrong_settings(error: ValidationError, config: Path | None) -> list[tuple[str, dict[str, Any]]]:
    """Each wrong setting: where it was given, and what is wrong; nothing that may be a secret."""
    import os

    import yaml

    from controlplane.app.settings import Settings
    from controlplane.model.mistakes import meant, said
    from controlplane.net.credentials import without_users

    in_file: Any = yaml.safe_load(config.read_bytes()) if config is not None else {}
    found: list[tuple[str, dict[str, Any]]] = []
    for one in error.errors():
        name = ".".join(map(str, one["loc"]))
        variable = f"LANEWAY_{name.upper()}"
        given = isinstance(in_file, dict) and name.partition(".")[0] in in_file
        where = str(config) if given else variable if variable in os.environ else ""
        message, remedy = said(one["type"], one.get("ctx", {}))
        if one["type"] == "extra_forbidden":
            message, remedy = "is not a setting", meant(name, list(Settings.model_fields), "known settings:")
        elif one["type"] == "value_error":
            message, remedy = one["msg"].removeprefix("Value error, "), ""
        elif one["type"] == "literal_error":
            message = f"must be {one.get('ctx', {})['expected'].replace(chr(39), '')}"
            remedy = "give one of them"
        # A name that is unknown may be a misspelt one of a secret.
        known = Settings.model_fields.get(name)
        wrong = one.get("input") if known is not None and known.repr else None
        value = without_users(str(wrong)) if isinstance(wrong, str | int | float) else None
        shown = {"field": name, "message": without_users(message), "remedy": remedy, "value": value}
        found.append((where, shown))
    return found


def run(settings: Settings) -> None:
    """Serve with `settings` until stopped. The composition root is imported here because that is slow."""
    import uvloop

    from controlplane.app.serving import StartError
    from controlplane.app.serving import run as serve_until_stopped
    from controlplane.cli.files import read

    seed = read([str(settings.definitions)], some=False).text if settings.definitions is not None else None
    try:
        uvloop.run(serve_until_stopped(settings, seed))
    except StartError as error:
        fail(f"cannot start: {error}")
