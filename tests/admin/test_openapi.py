"""The OpenAPI description is true: what schemathesis makes of it is answered as it says."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from prometheus_client import CollectorRegistry
from schemathesis.config import SchemathesisConfig
from schemathesis.core.media_types import YAML_MEDIA_TYPES

from controlplane.admin import openapi
from controlplane.admin.app import AdminSettings, create_app
from controlplane.admin.control import ExplainRequest
from controlplane.admin.hosts import Hosts
from controlplane.model.loading import load_yaml
from controlplane.model.parsing import parse_document
from controlplane.plan.hours import Hours
from controlplane.plan.lanes import enabled_lanes
from controlplane.plan.planner import Planner
from controlplane.plan.preview import Explanation, explain
from controlplane.plan.request import Request
from controlplane.plan.rollout import Deployed
from controlplane.store.memory import MemoryStore
from tests.admin.conftest import GATEWAY, GROUP, LANE, RELEASE, ROUTE, SmallControl

EXAMPLES = 2


@schemathesis.deserializer(*YAML_MEDIA_TYPES)
def yaml_stream(_: Any, response: Any) -> str:
    """An export is described as text. schemathesis would take it for one document, it is a stream of them."""
    assert load_yaml(response.content)
    return response.content.decode()


# The rules across definitions cannot be told in a schema: a valid body may be refused for its meaning.
REFUSED = {"positive_data_acceptance": {"expected-statuses": ["2xx", "400", "404", "409", "412", "422"]}}
FEW, ALL = (
    SchemathesisConfig.from_dict({"checks": REFUSED, "phases": {"coverage": {"enabled": enabled}}})
    for enabled in (False, True)
)
"""With and without a request for each thing that the schema says of each field: twenty thousand, a minute."""


class Explaining(SmallControl):
    """Explains as the running control plane does."""

    async def explain(self, request: ExplainRequest, wanted: bool, at: float | None = None) -> Explanation:
        definitions = self.store.current.definitions
        lanes = enabled_lanes(definitions, Hours.of(definitions, at).closed(at) if at is not None else ())
        plan = Planner().plan(definitions, Deployed(lanes, frozenset(lanes)), {}, lambda name: name)
        asked = Request(request.method, request.host, request.path, request.headers)
        return explain(plan, request.gateway, asked)


def some_control() -> SmallControl:
    store = MemoryStore()

    async def fill() -> None:
        for kind, given, body in (
            ("Gateway", {"name": "edge"}, GATEWAY),
            ("Route", {"gateway": "edge", "name": "a"}, ROUTE),
            ("LaneGroup", {"name": "order-flow"}, GROUP),
            ("Lane", {"group": "order-flow", "name": "gray"}, LANE),
            ("Release", {"group": "order-flow", "name": "rollout"}, RELEASE),
        ):
            document = parse_document(body, kind, given).document
            await store.change(lambda now, document=document: now.put(document))

    asyncio.run(fill())
    return Explaining(store)


app = create_app(
    some_control(), AdminSettings(metrics=CollectorRegistry(), hosts=Hosts("localhost", ["testserver"]))
)
DESCRIPTION = openapi.describe(app, tokens=False)

ENDLESS = "/v1/metrics/stream"
"""It has no end; tests/mesh/test_lane_status.py reads it."""


def described(path: str, config: SchemathesisConfig) -> Any:
    """The description of one path, whose requests go to the application."""
    schema = schemathesis.openapi.from_dict(
        {**DESCRIPTION, "paths": {path: DESCRIPTION["paths"][path]}}, config=config
    )
    schema.app = app
    return schema


@pytest.fixture(autouse=True)
def node_id(request: pytest.FixtureRequest) -> None:
    """What schemathesis 4.32 reads of a test, and pytest 9.2 does not have any more."""
    request.node._nodeid = request.node.nodeid


@pytest.fixture(
    params=[
        pytest.param((path, config), id=f"{path} {name}", marks=marks)
        for path in sorted(set(DESCRIPTION["paths"]) - {ENDLESS})
        for name, config, marks in (("few", FEW, ()), ("all", ALL, pytest.mark.mesh))
    ]
)
def path(request: pytest.FixtureRequest) -> Any:
    """All requests to one path. They are made when the test runs: made for all paths while tests are
    collected, they took each worker ten seconds.
    """
    return described(*request.param)


@pytest.fixture
def explaining() -> Any:
    return described("/v1/explain", FEW)


@schemathesis.pytest.from_fixture("path").parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_schemathesis_finds_nothing(case: Any) -> None:
    if case.query:
        case.query.pop("watch", None)  # a watch has no end; test_lists.py reads them
    case.call_and_validate()


LANE_PATH = "/v1/lane-groups/{group}/lanes/{lane}"
RELEASE_PATH = "/v1/lane-groups/{group}/releases/{release}"
OPERATIONS = {
    "/v1/session": "GET POST DELETE",
    "/v1/metrics/applications/{application}": "GET",
    "/v1/metrics/services/{service}": "GET",
    "/v1/metrics/lanes/{lane}": "GET",
    "/v1/metrics/gateways/{gateway}": "GET",
    "/v1/metrics/gateways/{gateway}/routes/{route}": "GET",
    "/v1/metrics/summary": "GET",
    "/v1/metrics/stream": "GET",
    "/v1/metrics/own": "GET",
    "/v1/gateways": "GET",
    "/v1/gateways/{gateway}": "GET PUT PATCH DELETE",
    "/v1/gateways/{gateway}/routes": "GET",
    "/v1/gateways/{gateway}/routes/{route}": "GET PUT PATCH DELETE",
    "/v1/applications": "GET",
    "/v1/applications/{application}": "GET PUT PATCH DELETE",
    "/v1/lane-groups": "GET",
    "/v1/lane-groups/{group}": "GET PUT PATCH DELETE",
    "/v1/lane-groups/{group}/lanes": "GET",
    LANE_PATH: "GET PUT PATCH DELETE",
    "/v1/routes": "GET",
    "/v1/lanes": "GET",
    f"{LANE_PATH}/enable": "POST",
    f"{LANE_PATH}/disable": "POST",
    f"{LANE_PATH}/matches": "GET",
    "/v1/lane-groups/{group}/matches": "GET",
    "/v1/lane-groups/{group}/releases": "GET",
    "/v1/releases": "GET",
    RELEASE_PATH: "GET PUT PATCH DELETE",
    **{f"{RELEASE_PATH}/{word}": "POST" for word in ("start", "pause", "resume", "approve", "abort")},
    f"{RELEASE_PATH}/status": "GET",
    f"{RELEASE_PATH}/events": "GET",
    "/v1/freezes": "GET",
    "/v1/freezes/{freeze}": "GET PUT PATCH DELETE",
    "/v1/lane-groups/{group}/promote": "POST",
    "/v1/lane-groups/{group}/finish": "POST",
    "/v1/lane-groups/{group}/rollback": "POST",
    "/v1/lane-groups/{group}/lanes/{lane}/scale-down": "POST",
    "/v1/explain": "POST",
    "/v1/apply": "POST",
    "/v1/delete": "POST",
    "/v1/warnings": "GET",
    "/v1/export": "GET",
    "/v1/revisions": "GET",
    "/v1/revisions/{revision}/undo": "POST",
    "/v1/revisions/{revision}/restore": "POST",
    "/v1/services": "GET",
    "/v1/services/{service}": "GET",
    "/v1/proxies": "GET",
    "/v1/proxies/{node}": "GET",
    "/v1/configuration/{node}": "GET",
    "/v1/traces": "POST",
    "/v1/traces/{trace}": "GET DELETE",
    "/v1/propagation": "GET POST DELETE",
    "/healthz": "GET",
    "/readyz": "GET",
    "/metrics": "GET",
}


def test_every_operation_is_described() -> None:
    described = {path: {method.upper() for method in item} for path, item in DESCRIPTION["paths"].items()}
    assert described == {path: set(methods.split()) for path, methods in OPERATIONS.items()}


def test_every_operation_has_an_id_of_its_own() -> None:
    ids = [one["operationId"] for item in DESCRIPTION["paths"].values() for one in item.values()]
    assert len(ids) == len(set(ids))


def test_documents_of_the_description_refuse_unknown_fields() -> None:
    schemas = DESCRIPTION["components"]["schemas"]
    for kind in ("Gateway", "Route", "Application", "LaneGroup", "Lane"):
        for name in (kind, f"{kind}Body", f"{kind}Document"):
            assert schemas[name]["additionalProperties"] is False
            assert "status" in schemas[name]["properties"]


# A thousand requests for a large schema take seconds, and a minute or two where other tests have the cores.
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(600)]


@schemathesis.pytest.from_fixture("explaining").parametrize()
@settings(
    max_examples=150, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
def test_explain_answers_whatever_is_asked(case: Any) -> None:
    """Of the gateway that is there: the ones above mostly ask for one that is not."""
    if isinstance(case.body, dict) and isinstance(case.body.get("gateway"), str):
        case.body["gateway"] = "edge"
        answer = case.call()
        assert answer.status_code < 500
        assert len(answer.content) < 100_000
