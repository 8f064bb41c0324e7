"""The OpenAPI description is true: what schemathesis makes of it is answered as it says."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from prometheus_client import CollectorRegistry
from schemathesis.config import SchemathesisConfig

from controlplane.admin.app import AdminSettings, create_app
from controlplane.model.parsing import parse_document
from controlplane.store.memory import MemoryStore
from tests.admin.conftest import GATEWAY, GROUP, LANE, ROUTE, SmallControl

EXAMPLES = 4
# The rules across definitions cannot be told in a schema: a valid body may be refused for its meaning.
CONFIG = SchemathesisConfig.from_dict(
    {
        "checks": {
            "positive_data_acceptance": {"expected-statuses": ["2xx", "400", "404", "409", "412", "422"]}
        }
    }
)


def some_control() -> SmallControl:
    store = MemoryStore()

    async def fill() -> None:
        for kind, given, body in (
            ("Gateway", {"name": "edge"}, GATEWAY),
            ("Route", {"gateway": "edge", "name": "a"}, ROUTE),
            ("LaneGroup", {"name": "order-flow"}, GROUP),
            ("Lane", {"group": "order-flow", "name": "gray"}, LANE),
        ):
            document = parse_document(body, kind, given).document
            await store.change(lambda now, document=document: now.put(document))

    asyncio.run(fill())
    return SmallControl(store)


app = create_app(some_control(), AdminSettings(metrics=CollectorRegistry()))
schema = schemathesis.openapi.from_asgi("/openapi.json", app, config=CONFIG)


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_schemathesis_finds_nothing(case: Any) -> None:
    case.call_and_validate()


def test_every_operation_is_described() -> None:
    described = {(method.upper(), path) for path, item in app.openapi()["paths"].items() for method in item}
    assert len(described) == 36
    assert ("POST", "/v1/lane-groups/{group}/lanes/{lane}/enable") in described


def test_documents_of_the_description_refuse_unknown_fields() -> None:
    schemas = app.openapi()["components"]["schemas"]
    for kind in ("Gateway", "Route", "Application", "LaneGroup", "Lane"):
        for name in (kind, f"{kind}Body", f"{kind}Document"):
            assert schemas[name]["additionalProperties"] is False
            assert "status" in schemas[name]["properties"]


pytestmark = pytest.mark.filterwarnings("default")
