"""A receiver of OTLP over gRPC, as a collector has one. It writes each span and log record as a line of JSON.

python otlp.py ADDRESS:PORT FILE
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TextIO

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

_PACKAGE = "opentelemetry.proto.collector"


def serve(address: str, file: TextIO) -> None:
    """Receive until the process is ended."""
    server = grpc.server(ThreadPoolExecutor(2))

    def add(kind: str, request: Any, response: Any, read: Any) -> None:
        def export(asked: Any, _: Any) -> Any:
            for one in read(asked):
                file.write(json.dumps(one) + "\n")
            file.flush()
            return response()

        handler = grpc.unary_unary_rpc_method_handler(export, request.FromString, response.SerializeToString)
        service = f"{_PACKAGE}.{kind.lower()}.v1.{kind}Service"
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": handler}),))

    traces, logs = trace_service_pb2, logs_service_pb2
    add("Trace", traces.ExportTraceServiceRequest, traces.ExportTraceServiceResponse, spans)
    add("Logs", logs.ExportLogsServiceRequest, logs.ExportLogsServiceResponse, records)
    server.add_insecure_port(address)
    server.start()
    server.wait_for_termination()


def spans(request: Any) -> Iterator[dict[str, Any]]:
    for resource in request.resource_spans:
        owner = _values(resource.resource.attributes)["service.name"]
        for scope in resource.instrumentation_library_spans:
            for span in scope.spans:
                yield {
                    "owner": owner,
                    "trace": span.trace_id.hex(),
                    "id": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    **_values(span.attributes),
                }


def records(request: Any) -> Iterator[dict[str, Any]]:
    for resource in request.resource_logs:
        owner = _values(resource.resource.attributes)["service.name"]
        for scope in resource.instrumentation_library_logs:
            for one in scope.logs:
                yield {"owner": owner, "body": one.body.string_value, **_values(one.attributes)}


def _values(attributes: Any) -> dict[str, str]:
    return {one.key: one.value.string_value for one in attributes}


if __name__ == "__main__":
    with open(sys.argv[2], "w") as written:
        serve(sys.argv[1], written)
