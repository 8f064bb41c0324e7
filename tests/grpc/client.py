"""A gRPC client that does what it is told: a JSON object a line in, a JSON object a line out.

In: {target, metadata: [[key, value]], timeout: seconds, wait: bool}. Out: {chain} or {error, text}.
The Go client beside it speaks the same lines.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import grpc

METHOD = "/laneway.test.Chain/Call"


def main() -> None:
    channels: dict[str, grpc.Channel] = {}
    for line in sys.stdin:
        asked: dict[str, Any] = json.loads(line)
        target = asked["target"]
        if target not in channels:
            channels[target] = grpc.insecure_channel(target)
        call = channels[target].unary_unary(METHOD)
        metadata = [(key, value) for key, value in asked["metadata"]]
        try:
            body = call(b"", metadata=metadata, timeout=asked["timeout"], wait_for_ready=asked["wait"])
            answer = {"chain": json.loads(body)}
        except grpc.RpcError as error:
            answer = {"error": error.code().name, "text": error.details()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
