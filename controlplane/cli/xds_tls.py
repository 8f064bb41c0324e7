"""How a proxy reaches the xDS server by TLS, as plain values.

Envoy reads again what a secret names by path only where the secret comes by SDS, be it from a file: so each
secret has a file of its own (https://www.envoyproxy.io/docs/envoy/latest/configuration/security/secret).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TLS = "envoy.extensions.transport_sockets.tls.v3"
_REFRESH = "60s"
"""How often a gRPC client looks at its files."""


@dataclass(frozen=True, slots=True)
class XdsTls:
    """Files as the proxy sees them. ca: of the server's certificate. certificate, key: the proxy's own, empty
    where the server asks for none. names: one of them has to stand in the server's certificate.
    """

    ca: str
    certificate: str
    key: str
    names: tuple[str, ...]


def secrets(tls: XdsTls, bootstrap: Path) -> dict[Path, dict[str, Any]]:
    """The files that the bootstrap of that name needs beside it, with what stands in them."""
    found = {
        _ca_file(bootstrap): _secret(
            "laneway-ca", "validation_context", tls.ca, {"trusted_ca": {"filename": tls.ca}}
        )
    }
    if tls.certificate:
        pair = {
            "certificate_chain": {"filename": tls.certificate},
            "private_key": {"filename": tls.key},
        }
        found[_certificate_file(bootstrap)] = _secret(
            "laneway-certificate", "tls_certificate", tls.certificate, pair
        )
    return found


def transport_socket(tls: XdsTls, bootstrap: Path) -> dict[str, Any]:
    """The transport socket of the xDS server's cluster."""
    common: dict[str, Any] = {
        "alpn_protocols": ["h2"],
        "tls_params": {
            "tls_minimum_protocol_version": "TLSv1_2",
            "tls_maximum_protocol_version": "TLSv1_3",
        },
        "combined_validation_context": {
            "default_validation_context": {
                "match_typed_subject_alt_names": [_matcher(name) for name in tls.names]
            },
            "validation_context_sds_secret_config": _by_file("laneway-ca", _ca_file(bootstrap)),
        },
    }
    if tls.certificate:
        own = _by_file("laneway-certificate", _certificate_file(bootstrap))
        common["tls_certificate_sds_secret_configs"] = [own]
    config: dict[str, Any] = {
        "@type": f"type.googleapis.com/{_TLS}.UpstreamTlsContext",
        "common_tls_context": common,
    }
    host = next((name for name in tls.names if _kind(name) == "DNS"), None)
    if host is not None:
        config["sni"] = host
    return {"name": "envoy.transport_sockets.tls", "typed_config": config}


def channel_credentials(tls: XdsTls | None) -> dict[str, Any]:
    """What a gRPC client connects with: gRFC A65."""
    if tls is None:
        return {"type": "insecure"}
    config = {"ca_certificate_file": tls.ca, "refresh_interval": _REFRESH}
    if tls.certificate:
        config |= {"certificate_file": tls.certificate, "private_key_file": tls.key}
    return {"type": "tls", "config": config}


def _secret(name: str, kind: str, watched: str, content: dict[str, Any]) -> dict[str, Any]:
    content["watched_directory"] = {"path": str(Path(watched).parent)}
    return {"resources": [{"@type": f"type.googleapis.com/{_TLS}.Secret", "name": name, kind: content}]}


def _by_file(name: str, path: Path) -> dict[str, Any]:
    source = {"resource_api_version": "V3", "path_config_source": {"path": str(path)}}
    return {"name": name, "sds_config": source}


def _ca_file(bootstrap: Path) -> Path:
    return bootstrap.absolute().with_name(f"{bootstrap.stem}-xds-ca.yaml")


def _certificate_file(bootstrap: Path) -> Path:
    return bootstrap.absolute().with_name(f"{bootstrap.stem}-xds-certificate.yaml")


def _matcher(name: str) -> dict[str, Any]:
    return {"san_type": _kind(name), "matcher": {"exact": name}}


def _kind(name: str) -> str:
    if "://" in name:
        return "URI"
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return "DNS"
    return "IP_ADDRESS"
