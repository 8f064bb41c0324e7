"""What proxies note of answers (who served, whether the application was reached) and count of it."""

from __future__ import annotations

import json

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import base_pb2, substitution_format_string_pb2
from envoy.extensions.access_loggers.stats.v3 import stats_pb2
from envoy.extensions.filters.http.header_to_metadata.v3 import header_to_metadata_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.type.matcher.v3 import metadata_pb2, regex_pb2, string_pb2, value_pb2
from google.protobuf import any_pb2, wrappers_pb2

from controlplane.translate.gates import SERVED
from controlplane.translate.messages import header, pack
from controlplane.translate.names import SERVED_HEADER, SERVED_LANE_HEADER, UNREACHED_HEADER
from controlplane.translate.traffic import drawing

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


def served_filter() -> hcm_pb2.HttpFilter:
    """A filter that keeps what routes of lanes note about who served, for the counter of fallbacks."""
    return hcm_pb2.HttpFilter(name=SERVED, typed_config=pack(_served()))


def served_by_draw() -> any_pb2.Any:
    """The configuration of that filter on routes that draw a lane: it notes this, too, see `traffic`."""
    found = _served()
    found.request_rules.append(drawing())
    return pack(found)


def _served() -> header_to_metadata_pb2.Config:
    config = header_to_metadata_pb2.Config

    def taken(header: str, key: str) -> header_to_metadata_pb2.Config.Rule:
        pair = config.KeyValuePair(metadata_namespace="laneway", key=key)
        return config.Rule(header=header, on_header_present=pair, remove=True)

    rules = [taken(SERVED_HEADER, "fallback"), taken(SERVED_LANE_HEADER, "lane")]
    return config(response_rules=rules)


def counting_fallbacks() -> accesslog_pb2.AccessLog:
    """The counter `laneway.fallback`, by service and lane: answers of base in place of the lane."""
    # A lane's own instance has no such metadata: Envoy writes a dash.
    some = string_pb2.StringMatcher(safe_regex=regex_pb2.RegexMatcher(regex="..+"))
    return counting(
        "fallback",
        noted("fallback", value_pb2.ValueMatcher(string_match=some)),
        **{"laneway.service": "fallback", "laneway.lane": "lane"},
    )


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


def counting(name: str, counted: accesslog_pb2.AccessLogFilter, **tags: str) -> accesslog_pb2.AccessLog:
    """The counter `laneway.<name>` of requests that are `counted`; `tags` are labels and notes."""
    config = stats_pb2.Config
    labels = [
        config.Tag(name=label, value_format=f"%DYNAMIC_METADATA(laneway:{note})%")
        for label, note in tags.items()
    ]
    counter = config.Counter(
        stat=config.Stat(name=name, tags=labels), value_fixed=wrappers_pb2.UInt64Value(value=1)
    )
    packed = pack(config(counters=[counter]))
    return accesslog_pb2.AccessLog(
        name=f"{name}s",
        filter=counted,
        typed_config=any_pb2.Any(type_url=packed.type_url, value=packed.value + _STATS_SCOPE),
    )
