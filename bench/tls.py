"""What TLS costs: first syncs of clients one after the other, in plain text and over mTLS, side by side.

    python -m bench.tls [--clients 100] [--clusters 1000]

Each client connects, asks for all clusters and endpoints, and reads them. Time and CPU of the server's
process are divided by the number of clients; the client is a thin one in a process of its own.
"""

from __future__ import annotations

import argparse
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from controlplane.rpc import frames
from controlplane.rpc.headers import block
from controlplane.xds import messages
from controlplane.xds.resource import CLUSTER, ENDPOINT
from tests.rpc.pair import HELLO
from tests.trust import Authority

METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
WIDE = frames.settings({frames.INITIAL_WINDOW_SIZE: 1 << 30}) + frames.window_update(0, 1 << 30)


def requests() -> bytes:
    head = [(":method", "POST"), (":scheme", "https"), (":path", METHOD), (":authority", "bench")]
    head += [("te", "trailers"), ("content-type", "application/grpc")]
    sent = HELLO + WIDE + frames.frame(frames.HEADERS, frames.END_HEADERS, 1, block(head))
    for type_url in (CLUSTER, ENDPOINT):
        request = messages.DeltaRequest(type_url=type_url, resource_names_subscribe=["*"])
        request.node.id, request.node.cluster = "n", "edge"
        request.node.metadata["role"] = "edge"
        raw = request.SerializeToString()
        sent += frames.frame(frames.DATA, 0, 1, b"\0" + len(raw).to_bytes(4, "big") + raw)
    return sent


def sync(port: int, tls: ssl.SSLContext | None, asked: bytes, wanted: int) -> None:
    """Connect and read so many bytes."""
    plain = socket.create_connection(("127.0.0.1", port))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as every client of gRPC does
    with plain if tls is None else tls.wrap_socket(plain, server_hostname="localhost") as connected:
        connected.sendall(asked)
        left = wanted
        while left > 0:
            found = len(connected.recv(1 << 18))
            if not found:
                raise EOFError(f"{wanted - left} bytes came")
            left -= found


def cpu(pid: int) -> float:
    """Seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(transport: str, authority: Authority | None, clients: int, clusters: int) -> tuple[float, float]:
    """Milliseconds of time, and of the server's CPU, for each client."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "bench/server.py", "--xds", f"127.0.0.1:{port}", "--control", "127.0.0.1:0"]
    command += ["--clusters", str(clusters), "--transport", transport]
    tls = None
    if authority is not None:
        files = authority.server()
        command += ["--certificate", files.certificate, "--key", files.key, "--client-ca", files.client_ca]
        tls = authority.client("gateway/edge").context()
    server = subprocess.Popen([str(word) for word in command])
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        asked, wanted = requests(), clusters * 500  # of some 506 bytes each
        for _ in range(5):
            sync(port, tls, asked, wanted)
        began, used = time.perf_counter(), cpu(server.pid)
        for _ in range(clients):
            sync(port, tls, asked, wanted)
        took, used = time.perf_counter() - began, cpu(server.pid) - used
        return 1000 * took / clients, 1000 * used / clients
    finally:
        server.terminate()
        server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--clusters", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print("| transport | | time | server's CPU |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as directory:
        authority = Authority(Path(directory))
        for transport in ("laneway", "grpcio"):
            for name, of in (("plain", None), ("mTLS", authority)):
                found = [measure(transport, of, given.clients, given.clusters) for _ in range(given.rounds)]
                took, used = sorted(found)[len(found) // 2]
                print(f"| {transport} | {name} | {took:.2f} ms | {used:.2f} ms |", flush=True)


if __name__ == "__main__":
    main()
