"""What an edge bounds and refuses, and which marks no proxy believes from an application.

Envoy's guide "Configuring Envoy as an edge proxy" is followed point by point in
docs/reference/edge-hardening.md, which gives each value and says why some differ.
"""

from __future__ import annotations

from envoy.config.common.mutation_rules.v3 import mutation_rules_pb2
from envoy.config.core.v3 import protocol_pb2
from envoy.extensions.filters.http.header_mutation.v3 import header_mutation_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.http.upstream_codec.v3 import upstream_codec_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.extensions.http.early_header_mutation.header_mutation.v3 import (
    header_mutation_pb2 as early_mutation_pb2,
)
from envoy.type.matcher.v3 import regex_pb2, string_pb2
from google.protobuf import wrappers_pb2

from controlplane.plan.conditions import REFERER_HEADER
from controlplane.plan.gateways import GatewayPlan
from controlplane.plan.request import confusable
from controlplane.translate.messages import duration, extension, header, pack
from controlplane.translate.names import (
    MARK_PREFIX,
    OPEN_PHASE,
    PHASE_HEADER,
    TRY_HEADER,
    UNREACHED_HEADER,
)

Hcm = hcm_pb2.HttpConnectionManager
HEADERS_TIMEOUT = 10.0
"""Seconds from a request's first byte until its headers are whole."""
BODY_IDLE = 30.0
"""Seconds for which a request whose body is not whole may be silent; gRPC and upgrades excepted."""
STREAM_IDLE = 3600.0
"""Seconds for which any other stream may be silent."""
FLUSH_TIMEOUT = 300.0
"""Seconds for which a client may take nothing of an answer that is ready."""
STREAMS = 100
STREAM_WINDOW = 64 * 1024
CONNECTION_WINDOW = 1024 * 1024
CONNECTION_BUFFER = 32 * 1024
"""Bytes that a connection of an edge buffers in each direction before it stops reading."""
SIDECAR_BUFFER = 64 * 1024
"""The same of a sidecar, where less costs large bodies a third more CPU, and more may cost an upload."""
INBOUND_WINDOW = 256 * 1024
"""Bytes of a stream that a caller may send over HTTP/2 before its application's sidecar has taken them."""
REPLAYED_BODY = 1024 * 1024
"""Bytes of a request's body that are kept, so that it can be sent again to another instance.

More than a proxy takes of a body until it knows that an instance refuses, so that an upload of any size goes
to another one. Half of it was enough: docs/decisions."""


def _number(value: int) -> wrappers_pb2.UInt32Value:
    return wrappers_pb2.UInt32Value(value=value)


def window_limits() -> protocol_pb2.Http2ProtocolOptions:
    """The number of bytes that the peer of an HTTP/2 connection may send before they are read."""
    return protocol_pb2.Http2ProtocolOptions(
        initial_stream_window_size=_number(STREAM_WINDOW),
        initial_connection_window_size=_number(CONNECTION_WINDOW),
    )


def harden(manager: Hcm) -> None:
    """Set the bounds of an edge's connection manager."""
    manager.early_header_mutation_extensions.append(
        extension(
            "phase",
            early_mutation_pb2.HeaderMutation(
                mutations=[
                    *map(removed, (prefixed(MARK_PREFIX), prefixed("x-envoy-"))),
                    # The duration has no value while the request's body is open, and then sets nothing.
                    mutation_rules_pb2.HeaderMutation(append=header(PHASE_HEADER, OPEN_PHASE)),
                    mutation_rules_pb2.HeaderMutation(append=header(PHASE_HEADER, "%REQUEST_DURATION%")),
                    # Envoy removes odd ones next; conditions read what the client sent.
                    mutation_rules_pb2.HeaderMutation(append=header(REFERER_HEADER, "%REQ(REFERER)%")),
                ]
            ),
        )
    )
    manager.request_headers_timeout.CopyFrom(duration(HEADERS_TIMEOUT))
    manager.stream_flush_timeout.CopyFrom(duration(FLUSH_TIMEOUT))
    manager.http2_protocol_options.CopyFrom(window_limits())
    manager.http2_protocol_options.max_concurrent_streams.value = STREAMS
    manager.normalize_path.value = True
    manager.merge_slashes = True
    manager.path_with_escaped_slashes_action = Hcm.UNESCAPE_AND_FORWARD


def removed(matcher: string_pb2.StringMatcher) -> mutation_rules_pb2.HeaderMutation:
    """Removes the headers whose names match `matcher`."""
    return mutation_rules_pb2.HeaderMutation(
        remove_on_match=mutation_rules_pb2.HeaderMutation.RemoveOnMatch(key_matcher=matcher)
    )


def prefixed(prefix: str) -> string_pb2.StringMatcher:
    """Matches strings that begin with `prefix`."""
    return string_pb2.StringMatcher(prefix=prefix)


def _matching(expression: str) -> string_pb2.StringMatcher:
    return string_pb2.StringMatcher(safe_regex=regex_pb2.RegexMatcher(regex=expression))


def dropped_underscores(plan: GatewayPlan) -> mutation_rules_pb2.HeaderMutation:
    """Removes request headers with underscores after the route is chosen, so that rules can read them.

    If the gateway keeps such headers, only those are removed that an application would take for a header of a
    proxy, because it reads `_` as `-`.
    """
    return removed(
        _matching(confusable(plan)) if plan.keep_underscores else string_pb2.StringMatcher(contains="_")
    )


def sets_underscores(plan: GatewayPlan) -> bool:
    """Whether the edge itself sets a request header with an underscore: the carrier, or one of a route.

    Else the router's own filter drops what has one, which spares every request a filter.
    """
    changes = [route.actions.request for route in plan.routes]
    named = [name for one in changes for name, _ in (*one.set, *one.add)]
    return any("_" in name for name in (plan.carriers.header, *named))


def underscore_filter(plan: GatewayPlan) -> hcm_pb2.HttpFilter:
    """Does `dropped_underscores` before the router, which adds the edge's own headers."""
    mutations = header_mutation_pb2.Mutations(request_mutations=[dropped_underscores(plan)])
    config = header_mutation_pb2.HeaderMutation(mutations=mutations)
    return hcm_pb2.HttpFilter(name="underscores", typed_config=pack(config))


def _every_mark_but(kept: str) -> str:
    """A regex for the marks of proxies except one (RE2 has no negative look-ahead)."""
    word = kept.removeprefix(MARK_PREFIX)
    shorter = "|".join(f"{word[:n]}([^{char}].*)?" for n, char in enumerate(word))
    return f"^{MARK_PREFIX}({shorter}|{word}.+)"  # with the anchor RE2 first compares the beginning


def router(
    numbered: bool = False, requests: mutation_rules_pb2.HeaderMutation | None = None
) -> hcm_pb2.HttpFilter:
    """The router of callers. It takes every mark of proxies out of what an upstream answers, trailers
    included, before routes add their own; but for UNREACHED_HEADER, by which a sidecar says that it did not
    reach its application: routes remove it, or the filter `reply` does.

    `numbered`: each answer says by TRY_HEADER which try it answers, and its status (see retries). `requests`:
    what is changed of requests when everything else is done.
    """
    answers = [removed(_matching(_every_mark_but(UNREACHED_HEADER)))]
    if numbered:
        value = "%UPSTREAM_REQUEST_ATTEMPT_COUNT% %RESP(:status)%"
        answers.append(mutation_rules_pb2.HeaderMutation(append=header(TRY_HEADER, value)))
    every = removed(string_pb2.StringMatcher(prefix=MARK_PREFIX))
    mutations = header_mutation_pb2.Mutations(
        request_mutations=[] if requests is None else [requests],
        response_mutations=answers,
        response_trailers_mutations=[every],
    )
    return _router(
        [
            hcm_pb2.HttpFilter(
                name="marks", typed_config=pack(header_mutation_pb2.HeaderMutation(mutations=mutations))
            ),
            hcm_pb2.HttpFilter(name="codec", typed_config=pack(upstream_codec_pb2.UpstreamCodec())),
        ]
    )


def receiver_router() -> hcm_pb2.HttpFilter:
    """The router to an application. What it answers, its caller's router takes marks out of; the one that
    callers believe, the routes to it remove.
    """
    return _router([])


def _router(filters: list[hcm_pb2.HttpFilter]) -> hcm_pb2.HttpFilter:
    config = router_pb2.Router(suppress_envoy_headers=True, upstream_http_filters=filters)
    return hcm_pb2.HttpFilter(name="router", typed_config=pack(config))
