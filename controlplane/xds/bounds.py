"""What one client of the xDS server may cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """A stream that goes beyond one of these ends with a status that names it. Bytes, seconds."""

    node_bytes: int = 256 << 10
    """Of the Node message in a first request; an Envoy's is some 40 KiB, mostly its list of extensions."""
    streams: int = 20_000
    """Open streams of all nodes."""
    streams_per_node: int = 200
    """Open streams of one node id; an Envoy has one, or one for each service that it asks."""
    stream_rate: float = 2_000.0
    """New streams a second; 0 for no limit."""
    stream_burst: int = 10_000
    """New streams at once: a fleet that comes back."""
    first_request: float = 15.0
    """Until a stream that was opened has sent its first request."""
    names: int = 50_000
    """Names that a stream subscribes to, of all types."""
    name_bytes: int = 8 << 20
    """What these names may have together."""
    waiting_bytes: int = 64 << 20
    """First requests of all streams that wait until the server is ready for their nodes."""
    status_bytes: int = 16 << 20
    """Of one answer of client status."""
