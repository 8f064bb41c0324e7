"""The bare server as a program, driven as a conformance harness drives it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from google.protobuf import any_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from controlplane.xds.resource import CLUSTER, ENDPOINT
from tests.xds.client import Stream
from tests.xds.generated import harness_pb2

ROOT = Path(__file__).parents[2]


def packed(kind: Any, **fields: Any) -> Any:
    wrapped = any_pb2.Any()  # pyright: ignore
    wrapped.Pack(kind(**fields))
    return wrapped


CLUSTERS = [packed(cluster_pb2.Cluster, name=name) for name in ("a", "b")]  # pyright: ignore
ENDPOINTS = [packed(endpoint_pb2.ClusterLoadAssignment, cluster_name="a")]  # pyright: ignore


class Program:
    """The running program, its two ports, and its control service."""

    def __init__(self, ports: dict[str, int]) -> None:
        self.target = f"127.0.0.1:{ports['port']}"
        self.control = grpc.aio.insecure_channel(f"127.0.0.1:{ports['control_port']}")
        self.data = grpc.aio.insecure_channel(self.target)

    async def call(self, method: str, request: Any) -> Any:
        return await self.control.unary_unary(
            f"/laneway.xds.harness.v1.Harness/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=harness_pb2.Reply.FromString,
        )(request)

    async def resource(self, method: str, version: str, name: str, type_url: str = CLUSTER) -> Any:
        return await self.call(
            method,
            harness_pb2.ResourceRequest(node="n", type_url=type_url, resource_name=name, version=version),
        )


@pytest.fixture
async def program(transport: str) -> AsyncIterator[Program]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.xds.testserver", "--port", "0", "--control-port", "0"),
        *("--transport", transport),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    running = Program(json.loads(await process.stdout.readline()))
    yield running
    await running.control.close()
    await running.data.close()
    process.terminate()
    assert await process.wait() == 0


async def test_state_is_set_and_changed_and_answers_show_the_version(program: Program, delta: bool) -> None:
    state = harness_pb2.SetStateRequest(node="n", version="1", clusters=CLUSTERS, resources=ENDPOINTS)
    assert (await program.call("SetState", state)).success

    def versions(reply: Any) -> set[str]:
        return {part.version for part in reply.resources} if delta else {reply.version_info}

    stream = Stream(program.data, "n", delta=delta)
    await stream.subscribe(CLUSTER)
    reply = await stream.reply()
    assert len(reply.resources) == 2
    assert versions(reply) == {"1"}
    await stream.ack(reply)
    await stream.subscribe(ENDPOINT, ["a"])
    reply = await stream.reply()
    assert versions(reply) == {"1"}
    await stream.ack(reply)
    for method, name, version, count in (
        ("UpdateResource", "b", "2", 1),
        ("AddResource", "c", "3", 1),
        ("RemoveResource", "c", "4", 0),
    ):
        assert (await program.resource(method, version, name)).success
        reply = await stream.reply()
        assert reply.type_url == CLUSTER
        if delta:
            assert len(reply.resources) == count
            assert list(reply.removed_resources) == ([] if count else ["c"])
        assert versions(reply) == ({version} if count or not delta else set())
        await stream.ack(reply)
    assert (await program.call("ClearState", harness_pb2.ClearStateRequest(node="n"))).success
    reply = await stream.reply()
    assert not reply.resources


async def test_contradictions_are_refused(program: Program) -> None:
    assert not (await program.resource("UpdateResource", "1", "none")).success
    assert not (await program.resource("RemoveResource", "1", "none")).success
    assert (await program.resource("AddResource", "1", "x")).success
    assert not (await program.resource("AddResource", "1", "x")).success
    for request in (
        harness_pb2.SetStateRequest(node="n", version="1", listeners=CLUSTERS),
        harness_pb2.SetStateRequest(node="n", resources=[any_pb2.Any(type_url="x/y")]),  # pyright: ignore
        harness_pb2.SetStateRequest(
            node="n",
            resources=[any_pb2.Any(type_url=CLUSTER, value=b"\xff")],  # pyright: ignore
        ),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await program.call("SetState", request)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_reflection_tells_of_the_control_service(program: Program) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(program.control)
    call = stub.ServerReflectionInfo()
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))  # pyright: ignore
    reply = await call.read()
    names = {service.name for service in reply.list_services_response.service}
    assert "laneway.xds.harness.v1.Harness" in names
    await call.done_writing()
