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


def underscore_filter(plan: GatewayPlan) -> hcm_pb2.HttpFilter:
    """Removes request headers with underscores after the route is chosen, so that rules can read them.

    If the gateway keeps such headers, only those are removed that an application would take for a header of a
    proxy, because it reads `_` as `-`.
    """
    matcher = _matching(confusable(plan)) if plan.keep_underscores else string_pb2.StringMatcher(contains="_")
    mutations = header_mutation_pb2.Mutations(request_mutations=[removed(matcher)])
    config = header_mutation_pb2.HeaderMutation(mutations=mutations)
    return hcm_pb2.HttpFilter(name="underscores", typed_config=pack(config))


def _every_mark_but(kept: str) -> str:
    """A regex for the marks of proxies except one (RE2 has no negative look-ahead)."""
    word = kept.removeprefix(MARK_PREFIX)
    shorter = "|".join(f"{word[:n]}([^{char}].*)?" for n, char in enumerate(word))
    return f"{MARK_PREFIX}({shorter}|{word}.+)"


def router(trusted_mark: bool, numbered: bool = False) -> hcm_pb2.HttpFilter:
    """The router, which takes every mark of proxies out of what an upstream answers, trailers included.

    It does so before routes add their own. `trusted_mark`: the upstream may be a sidecar, which says by
    UNREACHED_HEADER that it did not reach its application; the filter `reply` takes that one out.
    `numbered`: each answer says by TRY_HEADER which try it answers, and its status (see retries).
    """
    if trusted_mark:
        matcher = _matching(_every_mark_but(UNREACHED_HEADER))
    else:
        matcher = string_pb2.StringMatcher(prefix=MARK_PREFIX)
    answers = [removed(matcher)]
    if numbered:
        value = "%UPSTREAM_REQUEST_ATTEMPT_COUNT% %RESP(:status)%"
        answers.append(mutation_rules_pb2.HeaderMutation(append=header(TRY_HEADER, value)))
    every = removed(string_pb2.StringMatcher(prefix=MARK_PREFIX))
    mutations = header_mutation_pb2.Mutations(response_mutations=answers, response_trailers_mutations=[every])
    return hcm_pb2.HttpFilter(
        name="router",
        typed_config=pack(
            router_pb2.Router(
                suppress_envoy_headers=True,
                upstream_http_filters=[
                    hcm_pb2.HttpFilter(
                        name="marks",
                        typed_config=pack(header_mutation_pb2.HeaderMutation(mutations=mutations)),
                    ),
                    hcm_pb2.HttpFilter(name="codec", typed_config=pack(upstream_codec_pb2.UpstreamCodec())),
                ],
            )
        ),
    )
