"""Each problem has a type that leads to a page of the server, and to the same in docs/."""

from __future__ import annotations

from pathlib import Path

import httpx

from controlplane.admin.openapi import WHY
from controlplane.admin.problem_types import TYPES
from tests.admin.conftest import LANE, problem

JSON = {"content-type": "application/json"}
TABLE = Path(__file__).parents[2] / "docs" / "reference" / "problems.md"


async def test_the_type_of_a_problem_leads_to_its_description(flow: httpx.AsyncClient) -> None:
    answers = [
        problem(await flow.get("/v1/nothing"), 404),
        problem(await flow.put("/v1/lane-groups/order-flow/lanes/x", json=LANE | {"tag": "-"}), 422),
        problem(await flow.post("/v1/apply", content=b"{", headers=JSON), 400),
        problem(await flow.put("/v1/gateways/x", content=b""), 415),
        problem(await flow.delete("/v1/lanes"), 405),
    ]
    page = await flow.get("/docs/problems")
    assert page.headers["content-type"].startswith("text/html")
    assert "content-security-policy" in page.headers
    for answer in answers:
        path, _, place = answer["type"].partition("#")
        assert path == "/docs/problems"
        assert f'id="{place}"' in page.text
        assert answer["title"] == TYPES[answer["status"]].title


def test_docs_have_the_same_types() -> None:
    text = TABLE.read_text(encoding="utf-8")
    for status, one in TYPES.items():
        assert f"| `{one.slug}` | {status} | {one.title} | {one.meaning} | {one.remedy} |" in text
    assert set(WHY) <= set(TYPES)
