"""Writes the sample bootstraps beside it, as `laneway bootstrap` does; with --check only compares."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from controlplane.cli.envoy_config import EdgeLimits, bootstrap, edge_metadata, sidecar_metadata

HERE = Path(__file__).parent
XDS = ("127.0.0.1", 18000)
ADMIN = ("127.0.0.1", 15000)


def samples() -> dict[str, tuple[str, dict]]:
    """File name to the command that writes it and its content."""
    sidecar = ("sc-A", 20001, 30001)
    redirect = ("sc-A", 20001, None)
    address = "10.0.3.177"
    node = f"sidecar~{address}~spring-cloud-a"
    start = f"laneway bootstrap sidecar --application spring-cloud-a --address {address} --tag gray"
    return {
        "edge.yaml": (
            "laneway bootstrap edge --gateway edge --node-id edge-1",
            bootstrap("edge-1", "edge", edge_metadata(), XDS, ADMIN, EdgeLimits()),
        ),
        "sidecar-proxy.yaml": (
            f"{start} --service sc-A:20001:30001",
            bootstrap(node, "spring-cloud-a", sidecar_metadata(address, [sidecar], tag="gray"), XDS, ADMIN),
        ),
        "sidecar-redirect.yaml": (
            f"{start} --service sc-A:20001 --capture redirect",
            bootstrap(
                node, "spring-cloud-a", sidecar_metadata(address, [redirect], "redirect", "gray"), XDS, ADMIN
            ),
        ),
    }


def main() -> int:
    """0, or 1 where --check finds a file that is not current."""
    stale = []
    for name, (command, config) in samples().items():
        text = (
            f"# {command}\n"
            f"# Start: envoy -c {name} --disable-hot-restart --concurrency 1\n"
            + yaml.safe_dump(config, sort_keys=False, width=1000)
        )
        path = HERE / name
        if "--check" not in sys.argv:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            stale.append(name)
    if stale:
        print(f"not current: {', '.join(stale)}; run `make bootstraps`")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
