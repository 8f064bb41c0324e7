"""What a base route does besides choosing a cluster, as fields of Envoy's routes."""

from __future__ import annotations

from collections.abc import Iterator

from envoy.config.core.v3 import base_pb2
from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.filters.http.cors.v3 import cors_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.type.matcher.v3 import regex_pb2, string_pb2

from controlplane.model.fields import seconds
from controlplane.model.route_actions import Cors, Redirect, Respond
from controlplane.plan.gateways import GatewayPlan, RoutePlan
from controlplane.plan.route_actions import HeaderChanges, origin_pattern, path_rewrite, prefix_rewrite
from controlplane.translate import matching
from controlplane.translate.matching import Predicate
from controlplane.translate.messages import everything, header, pack
from controlplane.translate.routes import Route

CORS = "cors"
ClusterWeight = route_components_pb2.WeightedCluster.ClusterWeight


def literal(value: str) -> str:
    """`value` where Envoy expands command operators."""
    return value.replace("%", "%%")


def header_options(changes: HeaderChanges) -> Iterator[base_pb2.HeaderValueOption]:
    """Headers that are set, and those that are added."""
    for name, value in changes.set:
        yield header(name, literal(value))
    for name, value in changes.add:
        yield header(name, literal(value), "APPEND_IF_EXISTS_OR_ADD")


def _substitute(change: tuple[str, str]) -> regex_pb2.RegexMatchAndSubstitute:
    pattern, substitution = change
    return regex_pb2.RegexMatchAndSubstitute(
        pattern=regex_pb2.RegexMatcher(regex=pattern), substitution=substitution
    )


def dress(route: Route, plan: RoutePlan) -> None:
    """Give `route`, which forwards to a cluster of the service, what its base route says."""
    rewrite = plan.actions.rewrite
    if rewrite is not None:
        change = path_rewrite(rewrite, plan.path.prefix, bool(plan.path.ignore_case))
        if change is not None:
            route.route.regex_rewrite.CopyFrom(_substitute(change))
        if rewrite.host is not None:
            route.route.host_rewrite_literal = rewrite.host
    route.request_headers_to_add.extend(header_options(plan.actions.request))
    route.request_headers_to_remove.extend(plan.actions.request.remove)
    _dress_answer(route, plan)


def _dress_answer(route: Route, plan: RoutePlan) -> None:
    route.response_headers_to_add.extend(header_options(plan.actions.response))
    route.response_headers_to_remove.extend(plan.actions.response.remove)
    cors = plan.actions.cors
    if cors is not None:
        route.typed_per_filter_config[CORS].CopyFrom(pack(_cors_policy(cors)))
        if "*" not in cors.allow_origins:
            # The answer depends on who asks: a cache must not give it to another origin.
            route.response_headers_to_add.append(header("vary", "origin", "APPEND_IF_EXISTS_OR_ADD"))


def _cors_policy(cors: Cors) -> cors_pb2.CorsPolicy:
    return cors_pb2.CorsPolicy(
        allow_origin_string_match=[_origin(origin) for origin in cors.allow_origins],
        allow_methods=", ".join(cors.allow_methods or ()),
        allow_headers=", ".join(cors.allow_headers or ()),
        expose_headers=", ".join(cors.expose_headers or ()),
        max_age="" if cors.max_age is None else str(int(seconds(cors.max_age))),
        allow_credentials={"value": True} if cors.allow_credentials else None,
    )


def _origin(origin: str) -> string_pb2.StringMatcher:
    if "://*." in origin:
        pattern = origin_pattern(origin)
        return string_pb2.StringMatcher(safe_regex=regex_pb2.RegexMatcher(regex=pattern))
    return string_pb2.StringMatcher(exact=origin)


def cors_filters(plan: GatewayPlan) -> Iterator[hcm_pb2.HttpFilter]:
    """The filter, only where a route needs it: every filter costs every request."""
    if any(route.actions.cors is not None for route in plan.routes):
        yield hcm_pb2.HttpFilter(name=CORS, typed_config=pack(cors_pb2.Cors()))


def answer(plan: RoutePlan) -> Route | None:
    """The route that answers by itself; None where a service answers."""
    route = Route(name=plan.name, match=everything())
    if plan.actions.redirect is not None:
        route.redirect.CopyFrom(_redirect(plan.actions.redirect, plan))
    elif plan.actions.respond is not None:
        _respond(route, plan.actions.respond)
    else:
        return None
    _dress_answer(route, plan)
    return route


def _redirect(wanted: Redirect, plan: RoutePlan) -> route_components_pb2.RedirectAction:
    action = route_components_pb2.RedirectAction
    codes = {
        301: action.MOVED_PERMANENTLY,
        302: action.FOUND,
        303: action.SEE_OTHER,
        307: action.TEMPORARY_REDIRECT,
        308: action.PERMANENT_REDIRECT,
    }
    redirect = action(
        host_redirect=wanted.host or "",
        port_redirect=wanted.port or 0,
        response_code=codes[wanted.status],
        strip_query=wanted.strip_query,
    )
    if wanted.scheme is not None:
        redirect.scheme_redirect = wanted.scheme
    if wanted.path is not None:
        redirect.path_redirect = wanted.path
    elif wanted.prefix is not None:
        change = prefix_rewrite(plan.path.prefix or "/", wanted.prefix, bool(plan.path.ignore_case))
        redirect.regex_rewrite.CopyFrom(_substitute(change))
    return redirect


def _respond(route: Route, wanted: Respond) -> None:
    route.direct_response.status = wanted.status
    if wanted.body:
        route.direct_response.body.inline_string = wanted.body
        route.response_headers_to_add.append(header("content-type", literal(wanted.content_type)))


def guard(plan: RoutePlan) -> Predicate | None:
    """What a request must meet besides host and path; None for nothing."""
    own = [matching.any_of([matching.equals(":method", m) for m in plan.methods])] if plan.methods else []
    own += [matching.condition(c) for c in plan.conditions if c.source == "header"]
    always = [matching.condition(c) for c in plan.conditions if c.source != "header"]
    if own and plan.actions.cors is not None:
        # A preflight has another method and none of the headers of the request that it asks for.
        given = [
            matching.single(name, matching.regex(r"\C+"))
            for name in ("origin", "access-control-request-method")
        ]
        asked = [matching.equals(":method", "OPTIONS"), *given]
        own = [matching.any_of([matching.all_of(own), matching.all_of(asked)])]
    return matching.all_of([*own, *always]) if own or always else None
