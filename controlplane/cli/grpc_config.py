"""The bootstrap of a proxyless gRPC client (gRFC A27), as plain values."""

from __future__ import annotations

from typing import Any

from controlplane.cli.xds_tls import XdsTls, channel_credentials


def grpc_bootstrap(
    node_id: str, application: str, tag: str, xds: str, tls: XdsTls | None = None
) -> dict[str, Any]:
    """Content of the file that GRPC_XDS_BOOTSTRAP names. `tag` is empty for base, `xds` is host:port. tls:
    None for plain text.
    """
    metadata = {"role": "grpc"} | ({"tag": tag} if tag else {})
    return {
        "xds_servers": [
            {
                "server_uri": xds,
                "channel_creds": [channel_credentials(tls)],
                "server_features": ["xds_v3"],
            }
        ],
        "node": {"id": node_id, "cluster": application, "metadata": metadata},
    }
