"""What proxies note of answers (whether the application was reached) and count of them."""

from __future__ import annotations

import json

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import base_pb2, substitution_format_string_pb2
from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.access_loggers.stats.v3 import stats_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.type.matcher.v3 import metadata_pb2, value_pb2
from google.protobuf import any_pb2, wrappers_pb2
from xds.core.v3 import extension_pb2
from xds.type.matcher.v3 import matcher_pb2, string_pb2

from controlplane.translate.messages import field, header, pack
from controlplane.translate.names import FALLS_BACK, UNREACHED_HEADER

# `stats_scope: {prefix: laneway}` (field 6; prefix is field 5 of envoy.type.v3.Scope): the generated messages
# know only `stat_prefix`, which Envoy 1.40 warns of as deprecated.
_STATS_SCOPE = b"\x32\x09\x2a\x07laneway"


def unreached(value: str, flags: list[str]) -> hcm_pb2.ResponseMapper:
    """Marks Envoy's own replies with one of these response `flags`: they prove that the upstream was not
    reached, or broke off.
    """
    return hcm_pb2.ResponseMapper(
        filter=accesslog_pb2.AccessLogFilter(
            response_flag_filter=accesslog_pb2.ResponseFlagFilter(flags=flags)
        ),
        headers_to_add=[header(UNREACHED_HEADER, value)],
    )


def unreadable() -> hcm_pb2.ResponseMapper:
    """What an egress proxy says in place of an empty 400 to a request whose URL Envoy does not take."""
    detail = (
        "The sidecar's Envoy cannot read this request (%RESPONSE_CODE_DETAILS%). The host of a URL must have "
        "no underscore: write hyphens in its place (http://stock-service/ calls the service stock_service), "
        "or call an instance by its IP address and port."
    )
    body = {"type": "about:blank", "title": "Bad Request", "status": 400, "detail": detail}
    return hcm_pb2.ResponseMapper(
        filter=accesslog_pb2.AccessLogFilter(
            status_code_filter=accesslog_pb2.StatusCodeFilter(
                comparison=accesslog_pb2.ComparisonFilter(
                    op=accesslog_pb2.ComparisonFilter.EQ,
                    value=base_pb2.RuntimeUInt32(default_value=400, runtime_key="laneway.unreadable"),
                )
            )
        ),
        body_format_override=substitution_format_string_pb2.SubstitutionFormatString(
            text_format_source=base_pb2.DataSource(inline_string=json.dumps(body) + "\n"),
            content_type="application/problem+json",
        ),
    )


def saying_why() -> hcm_pb2.LocalReplyConfig:
    """Marks Envoy's own replies for the filter `reply`, which tells the client why a lane without fallback
    answers 503.
    """
    mapper = unreached("local", ["UH", "UF", "NC", "UC"])
    both = accesslog_pb2.AndFilter(filters=[mapper.filter, noted("strict")])
    mapper.filter.CopyFrom(accesslog_pb2.AccessLogFilter(and_filter=both))
    return hcm_pb2.LocalReplyConfig(mappers=[mapper])


def counting_fallbacks(lane: str, carrier: str | None = None) -> accesslog_pb2.AccessLog:
    """The counter `laneway.fallback`, by service and lane: answers of base in place of the lane.

    `lane`: Envoy's command for the lane's name. `carrier`: the header that no request has outside of lanes,
    if there is one.

    The cluster that the route names says whether base may answer for the lane, and only an instance that
    answers as base says of which service (see clusters); so the counter costs the other requests next to
    nothing, and no filter has to note anything.
    """
    config = stats_pb2.Config
    falls_back, nobody = string_pb2.StringMatcher(suffix=FALLS_BACK), string_pb2.StringMatcher(exact="")
    counted = [
        _tag("routed", "%UPSTREAM_CLUSTER_RAW%", falls_back, _DROP_TAG, otherwise=_DROP),
        _tag("laneway.service", "%UPSTREAM_METADATA(lane:base)%", nobody, _DROP),
        config.Tag(name="laneway.lane", value_format=lane),
    ]
    found = _counter("fallback", counted)
    if carrier is not None:
        present = route_components_pb2.HeaderMatcher(name=carrier, present_match=True)
        found.filter.header_filter.header.CopyFrom(present)
    return found


_DROP = b"\x0a\x00"
"""TransformStat of Envoy 1.40, as it is encoded: the counter counts nothing (`drop_stat`, field 1)."""
_DROP_TAG = b"\x12\x00"
"""The label is left out (`drop_tag`, field 2)."""


def _tag(
    name: str, value: str, matched: string_pb2.StringMatcher, then: bytes, otherwise: bytes | None = None
) -> stats_pb2.Config.Tag:
    """A label with a rule: what happens to the counter where its value is `matched`, and where it is not.

    The generated messages do not know the rule (field 3, of the type xds.type.matcher.v3.Matcher), nor the
    types of its input and actions.
    """
    kind = "type.googleapis.com/envoy.extensions.matching"
    of_value = any_pb2.Any(type_url=f"{kind}.common_inputs.stats.v3.StatTagValueInput")

    def act(encoded: bytes) -> matcher_pb2.Matcher.OnMatch:
        action = any_pb2.Any(type_url=f"{kind}.actions.transform_stat.v3.TransformStat", value=encoded)
        return matcher_pb2.Matcher.OnMatch(
            action=extension_pb2.TypedExtensionConfig(name="transform", typed_config=action)
        )

    listed = matcher_pb2.Matcher.MatcherList
    predicate = listed.Predicate(
        single_predicate=listed.Predicate.SinglePredicate(
            input=extension_pb2.TypedExtensionConfig(name="value", typed_config=of_value), value_match=matched
        )
    )
    step = listed.FieldMatcher(predicate=predicate, on_match=act(then))
    rules = matcher_pb2.Matcher(
        matcher_list=listed(matchers=[step]), on_no_match=None if otherwise is None else act(otherwise)
    )
    tag = stats_pb2.Config.Tag(name=name, value_format=value)
    tag.MergeFromString(field(3, rules.SerializeToString(deterministic=True)))
    return tag


_PRESENT = value_pb2.ValueMatcher(present_match=True)


def noted(key: str, value: value_pb2.ValueMatcher = _PRESENT) -> accesslog_pb2.AccessLogFilter:
    """Selects the requests for which a filter noted a `value` under `key`."""
    return accesslog_pb2.AccessLogFilter(
        metadata_filter=accesslog_pb2.MetadataFilter(
            matcher=metadata_pb2.MetadataMatcher(
                filter="laneway",
                path=[metadata_pb2.MetadataMatcher.PathSegment(key=key)],
                value=value,
            ),
            match_if_key_not_found=wrappers_pb2.BoolValue(value=False),
        )
    )


def counting(name: str, counted: accesslog_pb2.AccessLogFilter) -> accesslog_pb2.AccessLog:
    """The counter `laneway.<name>` of requests that are `counted`."""
    found = _counter(name, [])
    found.filter.CopyFrom(counted)
    return found


def _counter(name: str, tags: list[stats_pb2.Config.Tag]) -> accesslog_pb2.AccessLog:
    config = stats_pb2.Config
    counter = config.Counter(
        stat=config.Stat(name=name, tags=tags), value_fixed=wrappers_pb2.UInt64Value(value=1)
    )
    packed = pack(config(counters=[counter]))
    return accesslog_pb2.AccessLog(
        name=f"{name}s",
        typed_config=any_pb2.Any(type_url=packed.type_url, value=packed.value + _STATS_SCOPE),
    )
