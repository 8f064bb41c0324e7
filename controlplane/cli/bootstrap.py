"""`laneway bootstrap edge|sidecar|grpc`: the bootstrap of an Envoy (`envoy -c`) or of a gRPC client."""

from __future__ import annotations

import ipaddress
import socket
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from controlplane.cli.envoy_config import EdgeLimits, bootstrap, edge_metadata, sidecar_metadata
from controlplane.cli.grpc_config import grpc_bootstrap
from controlplane.cli.options import Exit
from controlplane.cli.output import fail
from controlplane.cli.xds_tls import XdsTls, secrets, transport_socket


class Capture(StrEnum):
    """How traffic reaches a sidecar: it is the applications' HTTP proxy, or connections are redirected."""

    PROXY = "proxy"
    REDIRECT = "redirect"


class Encoding(StrEnum):
    """Format of the bootstrap; Envoy reads both."""

    YAML = "yaml"
    JSON = "json"


Xds = Annotated[
    str, typer.Option("--xds", envvar="LANEWAY_XDS", help="host:port of the control plane's xDS server.")
]
AdminPort = Annotated[int, typer.Option(min=0, max=65535, help="Port of Envoy's own admin interface.")]
AdminAddress = Annotated[str, typer.Option(help="Its address; keep it on loopback.")]
Metrics = Annotated[
    str,
    typer.Option(
        help="host:port where Prometheus reads the Envoy's statistics, at /metrics and nothing else; without "
        "it, nowhere but at the admin interface."
    ),
]
NodeId = Annotated[str, typer.Option(help="Node id, different for each Envoy. [default: from name and host]")]
File = Annotated[Path | None, typer.Option("--file", "-f", help="Write here instead of to standard output.")]
Form = Annotated[Encoding, typer.Option("--output", "-o", help="yaml or json.")]

XdsCa = Annotated[
    str,
    typer.Option(help="CA of the xDS server's certificate (PEM), as the client sees it; needed for TLS."),
]
XdsCertificate = Annotated[str, typer.Option(help="The client's own certificate (PEM), as it sees it.")]
XdsKey = Annotated[str, typer.Option(help="The key of that certificate (PEM).")]
XdsName = Annotated[
    list[str] | None,
    typer.Option(
        help="Host, address or SPIFFE URI in the xDS server's certificate; may be repeated. "
        "[default: of --xds]"
    ),
]

DEFAULT_XDS = "127.0.0.1:18000"


def edge(
    gateway: Annotated[str, typer.Option(help="Name of the gateway that this Envoy is.")] = "edge",
    node_id: NodeId = "",
    xds: Xds = DEFAULT_XDS,
    xds_ca: XdsCa = "",
    xds_certificate: XdsCertificate = "",
    xds_key: XdsKey = "",
    xds_name: XdsName = None,
    admin_port: AdminPort = 15000,
    admin_address: AdminAddress = "127.0.0.1",
    metrics: Metrics = "",
    max_connections: Annotated[
        int,
        typer.Option(min=1, max=10_000_000, help="Most connections of clients; keep it below `ulimit -Hn`."),
    ] = EdgeLimits().connections,
    max_heap: Annotated[
        int, typer.Option(min=64, max=1_048_576, help="Most memory in MiB; near it, Envoy refuses requests.")
    ] = EdgeLimits().heap,
    output: Form = Encoding.YAML,
    file: File = None,
) -> None:
    """Write the bootstrap of an edge Envoy, where requests enter.

    Start it with: envoy -c FILE --disable-hot-restart --concurrency 2
    """
    node = node_id or f"edge~{gateway}~{socket.gethostname()}"
    limits = EdgeLimits(max_connections, max_heap)
    tls = _tls(xds, xds_ca, xds_certificate, xds_key, xds_name)
    secured = _secrets(tls, file)
    admin = (admin_address, admin_port)
    config = bootstrap(
        node, gateway, edge_metadata(), _endpoint(xds), admin, limits, secured, _metrics(metrics)
    )
    _write(config, output, file)


def sidecar(
    application: Annotated[str, typer.Option(help="Application that this sidecar stands beside.")],
    address: Annotated[str, typer.Option(help="Address of the instance, as the registry has it.")],
    service: Annotated[
        list[str],
        typer.Option(
            help="NAME:PORT[:APP_PORT]: a service, its port in the registry, and the application's own "
            "port (needed with --capture proxy); may be repeated."
        ),
    ],
    tag: Annotated[str, typer.Option(help="Tag of the instance; none for base.")] = "",
    capture: Annotated[Capture, typer.Option(help="proxy or redirect.")] = Capture.PROXY,
    calls: Annotated[
        list[str] | None, typer.Option(help="A service that it may call; may be repeated. [default: all]")
    ] = None,
    app_address: Annotated[
        str, typer.Option(help="Where the application listens. [default: --address]")
    ] = "",
    egress_address: Annotated[
        str, typer.Option(help="Where the HTTP proxy listens. [default: 127.0.0.1]")
    ] = "",
    node_id: NodeId = "",
    xds: Xds = DEFAULT_XDS,
    xds_ca: XdsCa = "",
    xds_certificate: XdsCertificate = "",
    xds_key: XdsKey = "",
    xds_name: XdsName = None,
    admin_port: AdminPort = 15000,
    admin_address: AdminAddress = "127.0.0.1",
    metrics: Metrics = "",
    output: Form = Encoding.YAML,
    file: File = None,
) -> None:
    """Write the bootstrap of a sidecar Envoy, which stands beside one instance of an application.

    Start it with: envoy -c FILE --disable-hot-restart --concurrency 1
    """
    services = [_service(text, capture) for text in service]
    metadata = sidecar_metadata(address, services, capture.value, tag, calls, app_address, egress_address)
    node = node_id or f"sidecar~{address}~{application}"
    tls = _tls(xds, xds_ca, xds_certificate, xds_key, xds_name)
    secured = _secrets(tls, file)
    admin = (admin_address, admin_port)
    config = bootstrap(node, application, metadata, _endpoint(xds), admin, None, secured, _metrics(metrics))
    _write(config, output, file)


def grpc(
    application: Annotated[str, typer.Option(help="Application that the client is a part of.")],
    tag: Annotated[str, typer.Option(help="Tag of the instance; none for base.")] = "",
    node_id: Annotated[
        str, typer.Option(help="Node id; one of its own for each process. [default: from name and host]")
    ] = "",
    xds: Xds = DEFAULT_XDS,
    xds_ca: XdsCa = "",
    xds_certificate: XdsCertificate = "",
    xds_key: XdsKey = "",
    file: File = None,
) -> None:
    """Write the bootstrap of a gRPC client without a proxy, which calls services as xds:///NAME.

    Start the application with GRPC_XDS_BOOTSTRAP=FILE in its environment.
    """
    _endpoint(xds)
    node = node_id or f"grpc~{application}~{socket.gethostname()}"
    tls = _tls(xds, xds_ca, xds_certificate, xds_key, None)
    _write(grpc_bootstrap(node, application, tag, xds, tls), Encoding.JSON, file)


def _tls(xds: str, ca: str, certificate: str, key: str, names: list[str] | None) -> XdsTls | None:
    if bool(certificate) != bool(key):
        fail("--xds-certificate and --xds-key belong together: give both, or neither", Exit.USAGE)
    if not ca:
        if certificate or names:
            fail("--xds-ca is missing: without it the xDS server cannot be told from another", Exit.USAGE)
        return None
    return XdsTls(ca, certificate, key, tuple(names or (_endpoint(xds)[0],)))


def _secrets(tls: XdsTls | None, file: Path | None) -> dict[str, Any] | None:
    """The transport socket to the xDS server; the secrets that it names are written."""
    if tls is None:
        return None
    if file is None:
        fail("--xds-ca needs --file: the files that name the certificates are written beside it", Exit.USAGE)
    for path, content in secrets(tls, file).items():
        _write(content, Encoding.YAML, path)
    return transport_socket(tls, file)


def _service(text: str, capture: Capture) -> tuple[str, int, int | None]:
    """NAME:PORT[:APP_PORT]. The name may hold colons itself (a port's name)."""
    parts = text.split(":")
    numbers: list[int] = []
    while len(parts) > 1 and len(numbers) < 2 and parts[-1].isdecimal():
        numbers.insert(0, int(parts.pop()))
    if not numbers or not all(0 < number < 65536 for number in numbers) or not parts[0]:
        fail(f"--service {text!r} is not of the form NAME:PORT or NAME:PORT:APP_PORT", Exit.USAGE)
    if len(numbers) == 1 and capture is Capture.PROXY:
        fail(f"--service {text!r}: with --capture proxy write NAME:PORT:APP_PORT", Exit.USAGE)
    return ":".join(parts), numbers[0], numbers[1] if len(numbers) == 2 else None


def _endpoint(text: str, option: str = "--xds") -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        fail(f"{option} {text!r} is not of the form host:port", Exit.USAGE)
    return host.strip("[]"), int(port)


def _metrics(text: str) -> tuple[str, int] | None:
    if not text:
        return None
    host, port = _endpoint(text, "--metrics")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        fail(f"--metrics {text!r}: {host} is not an IP address; write 0.0.0.0 for all of them", Exit.USAGE)
    return host, port


def _write(config: dict[str, Any], output: Encoding, file: Path | None) -> None:
    import json

    if output is Encoding.JSON:
        text = json.dumps(config, indent=2) + "\n"
    else:
        import yaml

        text = yaml.safe_dump(config, sort_keys=False, width=1000)
    if file is None:
        sys.stdout.write(text)
        return
    new = file.with_name(f"{file.name}.new")
    try:
        if file.exists() and not file.is_file():  # such as /dev/stdout
            file.write_text(text, encoding="utf-8")
        else:
            # Renamed, not rewritten: an Envoy may read it, and who wrote it last may be another user.
            new.write_text(text, encoding="utf-8")
            new.replace(file)
    except OSError as error:
        fail(f"cannot write {file}: {error}")
