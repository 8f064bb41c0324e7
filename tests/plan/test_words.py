"""What explain says of ratios, in words for people."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.model.definitions import Definitions
from controlplane.model.parsing import parse_documents
from controlplane.plan.lanes import enabled_lanes
from controlplane.plan.planner import Planner
from controlplane.plan.preview import explain
from controlplane.plan.request import Request
from controlplane.plan.rollout import Deployed

DOCUMENTS = b"""
{kind: Gateway, name: edge, listeners: [{port: 8080}]}
---
{kind: Route, gateway: edge, name: a, match: {path: {prefix: /a}}, service: sc-A}
---
{kind: LaneGroup, name: g, gateway: edge, applications: [x]}
---
{kind: Lane, group: g, name: gray, tag: gray, ratio: {percent: 30%s}}
"""


@pytest.mark.parametrize(
    ("sticky", "wanted"),
    [
        (b"", "its lane is drawn per request: gray 30 %, base 70 %"),
        (
            b", sticky: {header: user}",
            "the request has no sticky key, so its lane is drawn per request: gray 30 %, base 70 %",
        ),
    ],
)
def test_a_lane_by_ratio_is_drawn(sticky: bytes, wanted: str) -> None:
    definitions = Definitions().apply(parse_documents(DOCUMENTS % sticky)).definitions
    lanes: Any = enabled_lanes(definitions)
    plan = Planner().plan(definitions, Deployed(lanes, frozenset(lanes)), {}, lambda name: name)
    assert explain(plan, "edge", Request("GET", "shop", "/a", ())).decision.reason == wanted
