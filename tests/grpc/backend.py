"""One instance: a gRPC server that answers with the names on the call's way, and may itself call a service.

Its argument is JSON: {name, address, port, next}. `next` is called as xds:///NEXT, where the lane of the call
is passed on: gRPC forwards no metadata by itself.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import grpc

METHOD = "/laneway.test.Chain/Call"
CARRIERS = ("x-lane", "baggage")


async def serve(name: str, address: str, port: int, next: str) -> None:
    further = grpc.aio.insecure_channel(f"xds:///{next}").unary_unary(METHOD) if next else None

    async def call(request: bytes, context: Any) -> bytes:
        chain = [name]
        if further is not None:
            lane = [(key, value) for key, value in context.invocation_metadata() if key in CARRIERS]
            chain += json.loads(await further(request, metadata=lane, timeout=5))
        return json.dumps(chain).encode()

    server = grpc.aio.server()
    service, _, method = METHOD[1:].partition("/")
    handlers = {method: grpc.unary_unary_rpc_method_handler(call)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    server.add_insecure_port(f"{address}:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(**json.loads(sys.argv[1])))
