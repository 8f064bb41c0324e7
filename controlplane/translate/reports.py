"""Reports of single requests to the control plane, over its access log service (ALS).

Every connection manager has the log, and a filter that is first in its chain and arrives as an extension
configuration (ECDS). The log is written for requests of which that filter noted WATCHED, so a watch begins
and ends without a change of any listener, and no request is reported while nobody watches.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import base_pb2, config_source_pb2, extension_pb2, grpc_service_pb2
from envoy.extensions.access_loggers.grpc.v3 import als_pb2
from envoy.extensions.filters.http.header_to_metadata.v3 import header_to_metadata_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2
from envoy.type.matcher.v3 import regex_pb2
from envoy.type.metadata.v3 import metadata_pb2
from envoy.type.tracing.v3 import custom_tag_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

from controlplane.tracing.names import LOG_PREFIX, NOTES, TOKEN_HEADER, WATCHED
from controlplane.translate.answers import noted
from controlplane.translate.messages import ADS, duration, extension, pack

WATCH = "watch"
CONFIG = header_to_metadata_pb2.Config
TRACE_HEADERS = ("traceparent", "b3", "x-b3-traceid", "sw8", "uber-trace-id")
"""Headers by which tracing agents pass on the id of a trace. None of them is a secret."""
HOST_NOTES = ("tag", "service", "application")
FLUSH = 0.2
"""Seconds after which reports leave a proxy."""
BUFFER = 16 << 10
"""Bytes of reports that are sent together."""
OTHER_CONTROL_PLANES = 4
"""To how many further ones a report goes until one takes it."""
_ANOTHER_HOST = base_pb2.RetryPolicy.RetryHostPredicate(
    name="envoy.retry_host_predicates.previous_hosts",
    typed_config=pack(previous_hosts_pb2.PreviousHostsPredicate()),
)


# A chain of further filters, of which there are none. xds-protos does not know the type.
_CHAIN = descriptor_pb2.FileDescriptorProto(
    name="laneway/filter_chain.proto",
    package="envoy.extensions.filters.http.filter_chain.v3",
    syntax="proto3",
)
_CHAIN.message_type.add(name="FilterChainConfig")
descriptor_pool.Default().AddSerializedFile(_CHAIN.SerializeToString())
NO_FILTER = message_factory.GetMessageClass(
    descriptor_pool.Default().FindMessageTypeByName(f"{_CHAIN.package}.FilterChainConfig")
)


def watch_filter() -> hcm_pb2.HttpFilter:
    """The filter that notes which requests are reported; where it has nothing to note, there is none."""
    kinds = [f"type.googleapis.com/{one.DESCRIPTOR.full_name}" for one in (CONFIG, NO_FILTER)]
    return hcm_pb2.HttpFilter(
        name=WATCH,
        config_discovery=config_source_pb2.ExtensionConfigSource(config_source=ADS, type_urls=kinds),
    )


def _note(key: str, value: str = "") -> header_to_metadata_pb2.Config.KeyValuePair:
    return CONFIG.KeyValuePair(metadata_namespace=NOTES, key=key, value=value)


def _matched(key: str, regex: str, group: str) -> header_to_metadata_pb2.Config.KeyValuePair:
    """The first group of `regex`, which must match the whole value; an empty one is not noted."""
    pair = _note(key)
    pair.regex_value_rewrite.pattern.CopyFrom(regex_pb2.RegexMatcher(regex=regex))
    pair.regex_value_rewrite.substitution = group
    return pair


def edge_watch(tokens: Collection[str]) -> extension_pb2.TypedExtensionConfig:
    """Requests that bring one of `tokens` are reported. The header with the token goes no further."""
    if not tokens:
        return extension(WATCH, NO_FILTER())
    listed = "|".join(map(re.escape, sorted(tokens)))
    taken = _matched(WATCHED, f"^(?:({listed})|(?s:.*))$", r"\1")
    rule = CONFIG.Rule(header=TOKEN_HEADER, on_header_present=taken, remove=True)
    return extension(WATCH, CONFIG(request_rules=[rule]))


def sidecar_watch(
    watched: bool, logged: bool, carriers: Iterable[tuple[str, str]]
) -> extension_pb2.TypedExtensionConfig:
    """While `watched`, every request is reported. Then, and where the access log writes it (`logged`), it
    is noted which lane each carrier has as it comes.

    `carriers` are (header, baggage member) of every gateway.
    """
    if not watched and not logged:
        return extension(WATCH, NO_FILTER())
    config = CONFIG()
    if watched:
        config.request_rules.append(CONFIG.Rule(header=":method", on_header_present=_note(WATCHED, "all")))
    members: list[str] = []
    for header, member in carriers:
        config.request_rules.append(CONFIG.Rule(header=header, on_header_present=_note("header")))
        members.append(re.escape(member))
    lane = rf"^(?:(?:.*,)?\s*(?:{'|'.join(members)})\s*=\s*([^,;\s]+).*|(?s:.*))$"
    for name, value in (("baggage", lane), ("tracestate", lane.replace("|".join(members), "laneway"))):
        pair = _matched(name, value, r"\1")
        config.request_rules.append(CONFIG.Rule(header=name, on_header_present=pair))
    return extension(WATCH, config)


def _of_instance(key: str) -> custom_tag_pb2.CustomTag:
    kind = metadata_pb2.MetadataKind(host=metadata_pb2.MetadataKind.Host())
    place = metadata_pb2.MetadataKey(key="lane", path=[metadata_pb2.MetadataKey.PathSegment(key=key)])
    return custom_tag_pb2.CustomTag(
        tag=key, metadata=custom_tag_pb2.CustomTag.Metadata(kind=kind, metadata_key=place)
    )


def reporting(cluster: str, side: str, lane_header: str = "") -> accesslog_pb2.AccessLog:
    """The log of the requests that are watched, sent to the bootstrap's `cluster`.

    `side` is edge, inbound or outbound. `lane_header`: where it stands which lane an edge chose.
    """
    service = grpc_service_pb2.GrpcService(
        envoy_grpc=grpc_service_pb2.GrpcService.EnvoyGrpc(cluster_name=cluster),
        # The cluster may have several control planes: those without this proxy's stream answer UNAVAILABLE.
        retry_policy=base_pb2.RetryPolicy(
            retry_on="unavailable",
            num_retries=wrappers_pb2.UInt32Value(value=OTHER_CONTROL_PLANES),
            retry_host_predicate=[_ANOTHER_HOST],
            host_selection_retry_max_attempts=5,
        ),
    )
    headers = (*TRACE_HEADERS, lane_header) if lane_header else TRACE_HEADERS
    config = als_pb2.HttpGrpcAccessLogConfig(
        common_config=als_pb2.CommonGrpcAccessLogConfig(
            log_name=f"{LOG_PREFIX}{side}",
            grpc_service=service,
            transport_api_version="V3",
            buffer_flush_interval=duration(FLUSH),
            buffer_size_bytes=wrappers_pb2.UInt32Value(value=BUFFER),
            custom_tags=[
                *(_of_instance(key) for key in HOST_NOTES),
                # The cluster of the route: where it falls back, the instance's own is another one.
                custom_tag_pb2.CustomTag(tag="routed", value="%UPSTREAM_CLUSTER%"),
            ],
        ),
        additional_request_headers_to_log=headers,
    )
    return accesslog_pb2.AccessLog(name="watch", filter=noted(WATCHED), typed_config=pack(config))
