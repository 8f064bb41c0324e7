"""The bare server as a program: python -m tests.xds.testserver --port P --control-port Q.

P serves discovery, Q the service of harness.proto, with reflection. Port 0 takes one that the system
gives; both are printed as one line of JSON when the server listens. SIGTERM and SIGINT stop it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from collections.abc import Callable
from typing import Any, cast, get_args

import grpc
import uvloop
from grpc_reflection.v1alpha import reflection

from controlplane.rpc.choice import TransportName
from controlplane.xds.messages import Message
from controlplane.xds.resource import CLUSTER, ENDPOINT, LISTENER, ROUTE
from tests.xds.generated import harness_pb2
from tests.xds.harness import Harness, name_in

_SERVICE = "laneway.xds.harness.v1.Harness"
_Control = Callable[[Harness, Any], str]


def _set_state(harness: Harness, request: harness_pb2.SetStateRequest) -> str:
    resources = list(request.resources)
    for type_url, typed in (
        (LISTENER, request.listeners),
        (CLUSTER, request.clusters),
        (ROUTE, request.routes),
        (ENDPOINT, request.endpoints),
    ):
        resources += [_of_type(type_url, resource) for resource in typed]
    harness.set_state(request.node, request.version, resources)
    return ""


def _clear_state(harness: Harness, request: harness_pb2.ClearStateRequest) -> str:
    harness.clear(request.node)
    return ""


def _add(harness: Harness, request: harness_pb2.ResourceRequest) -> str:
    type_url, name, body = _resource(request)
    if harness.collection(request.node, type_url).get(name) is not None:
        return f"there is a resource {name} already"
    harness.put(request.node, type_url, name, request.version, body)
    return ""


def _update(harness: Harness, request: harness_pb2.ResourceRequest) -> str:
    type_url, name, body = _resource(request)
    if harness.collection(request.node, type_url).get(name) is None:
        return f"there is no resource {name}"
    harness.put(request.node, type_url, name, request.version, body)
    return ""


def _remove(harness: Harness, request: harness_pb2.ResourceRequest) -> str:
    type_url, name, _ = _resource(request)
    removed = harness.remove(request.node, type_url, name, request.version)
    return "" if removed else f"there is no resource {name}"


def _resource(request: harness_pb2.ResourceRequest) -> tuple[str, str, bytes | None]:
    """Type, name and content of a request. Raises ValueError if they contradict each other."""
    if not request.HasField("resource"):
        return request.type_url, request.resource_name, None
    content = _of_type(request.type_url or request.resource.type_url, request.resource)
    name = name_in(content)
    if request.resource_name not in ("", name):
        raise ValueError(f"the resource is called {name}, not {request.resource_name}")
    return content.type_url, name, content.value


def _of_type(type_url: str, resource: Message) -> Message:
    if resource.type_url != type_url:
        raise ValueError(f"a {resource.type_url} where {type_url} is due")
    return resource


_METHODS: dict[str, tuple[Any, _Control]] = {
    "SetState": (harness_pb2.SetStateRequest, _set_state),
    "ClearState": (harness_pb2.ClearStateRequest, _clear_state),
    "UpdateResource": (harness_pb2.ResourceRequest, _update),
    "AddResource": (harness_pb2.ResourceRequest, _add),
    "RemoveResource": (harness_pb2.ResourceRequest, _remove),
}


def control(harness: Harness) -> grpc.aio.Server:
    """The control service over `harness`, not yet listening."""

    def unary(request_type: Any, apply: _Control) -> grpc.RpcMethodHandler:
        async def behaviour(request: Any, context: Any) -> harness_pb2.Reply:
            try:
                text = apply(harness, request)
            except ValueError as error:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
                raise
            return harness_pb2.Reply(success=not text, message=text)

        return grpc.unary_unary_rpc_method_handler(
            behaviour,
            request_deserializer=request_type.FromString,
            response_serializer=cast("Any", harness_pb2.Reply).SerializeToString,
        )

    server = grpc.aio.server(
        options=[("grpc.max_receive_message_length", 64 << 20), ("grpc.so_reuseport", 0)]
    )
    methods = {name: unary(request_type, apply) for name, (request_type, apply) in _METHODS.items()}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, methods),))
    reflection.enable_server_reflection((_SERVICE, reflection.SERVICE_NAME), server)
    return server


async def run(host: str, port: int, control_port: int, transport: TransportName) -> None:
    """Serve until a signal comes."""
    harness = Harness(transport)
    server = control(harness)
    control_bound = server.add_insecure_port(f"{host}:{control_port}")
    await server.start()
    bound = await harness.start(f"{host}:{port}")
    print(json.dumps({"port": bound, "control_port": control_bound}), flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await harness.stop()
    await server.stop(0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve xDS resources that a control service puts in.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=18000)
    parser.add_argument("--control-port", type=int, default=18001)
    parser.add_argument("--transport", choices=get_args(TransportName), default="laneway")
    arguments = parser.parse_args()
    uvloop.run(run(arguments.host, arguments.port, arguments.control_port, arguments.transport))


if __name__ == "__main__":
    main()
