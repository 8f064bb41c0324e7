"""Settings of the xDS port, and of what one of its clients may cost."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from controlplane.app.admin_settings import AdminSettings, Names
from controlplane.rpc.choice import TransportName
from controlplane.xds.identities import DEFAULT_PATTERNS


class XdsSettings(AdminSettings):
    """The part of the settings of `laneway serve` that is about the xDS port."""

    xds: str = Field("127.0.0.1:18000", description="address:port of the xDS server")
    xds_transport: TransportName = Field(
        "laneway", description="gRPC server of the xDS port: laneway (its own) or grpcio (gRPC's library)"
    )
    xds_certificate: Path | None = Field(
        None, description="certificate of the xDS server with its chain (PEM); read again when it changes"
    )
    xds_key: Path | None = Field(None, description="key of that certificate (PEM)")
    xds_client_ca: Path | None = Field(
        None, description="CA of the certificates that xDS clients have to show (PEM); unset: they need none"
    )
    xds_identities: Names = Field(
        DEFAULT_PATTERNS,
        description="patterns of names in clients' certificates, with {gateway}, {application} or {operator}",
    )
    xds_allow_plaintext: bool = Field(
        False, description="serve xDS without TLS on an address other than loopback"
    )
    xds_connections: int = Field(
        16_000, ge=1, description="most connections to the xDS server, all clients together"
    )
    xds_connections_per_address: int = Field(
        8_000, ge=1, description="most connections to the xDS server from one address"
    )
    xds_connection_cpu: float = Field(
        0.5,
        gt=0,
        description="most that the requests of one xDS connection may use, as a share of a CPU core",
    )
    xds_handshake_cpu: float = Field(
        0.5, gt=0, le=1, description="share of a core that TLS handshakes of the xDS port may take over time"
    )
    xds_request_bytes: int = Field(16 << 20, ge=1 << 16, description="largest xDS request")
    xds_waiting_bytes: int = Field(
        128 << 20,
        ge=1 << 20,
        description="bytes of responses that xDS clients have not read yet, before streams wait for others",
    )
    xds_streams: int = Field(20_000, ge=1, description="most open xDS streams, all clients together")
    xds_streams_per_client: int = Field(
        10_000,
        ge=1,
        description="most open xDS streams of one gateway or application, or of one address where clients "
        "show no certificate",
    )
    xds_stream_rate_per_client: float = Field(
        1_000.0, ge=0, description="most new xDS streams a second of such a client; 0 for no limit"
    )
    xds_streams_per_node: int = Field(
        200, ge=1, description="most open xDS streams of one node id of such a client"
    )
    xds_names_per_stream: int = Field(
        50_000, ge=1, description="most resource names that one xDS stream may subscribe to"
    )
    xds_node_bytes: int = Field(256 << 10, ge=1 << 10, description="largest node in an xDS request")
    xds_status_bytes: int = Field(
        16 << 20, ge=1 << 10, description="largest answer of the client status service (CSDS)"
    )
