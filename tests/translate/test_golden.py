"""Golden files: testdata/NAME.in.yaml (definitions and services) -> NAME.out.yaml (what Envoy gets).

`make golden` regenerates them; a change of a golden file is a change of what every proxy is sent. There is a
case for each feature of the translation, so that a difference says which one changed.
"""

from __future__ import annotations

import json
import pkgutil
from typing import Any

import pytest
import yaml
from google.protobuf import any_pb2, json_format

import envoy
from tests.translate import cases


@pytest.fixture(autouse=True, scope="module")
def _every_extension() -> None:
    """Import the generated modules, so that each Any can be shown."""
    for module in pkgutil.walk_packages(envoy.__path__, "envoy."):
        if module.name.endswith("_pb2"):
            __import__(module.name)


def translate(name: str) -> str:
    shown: dict[str, Any] = {}
    for one in cases.sent(cases.read(name)):
        symbol = any_pb2.Any(type_url=one.type_url, value=one.resource.body)
        text = json_format.MessageToJson(symbol, preserving_proto_field_name=True)
        shown.setdefault(one.node, {}).setdefault(one.kind, {})[one.resource.name] = json.loads(text)
    return yaml.safe_dump(shown, sort_keys=True, allow_unicode=True, width=110)


@pytest.mark.parametrize("name", cases.NAMES)
def test_golden(name: str, request: pytest.FixtureRequest) -> None:
    output = cases.TESTDATA / f"{name}.out.yaml"
    actual = translate(name)
    if request.config.getoption("--golden-update"):
        output.write_text(actual, encoding="utf-8")
    assert actual == output.read_text(encoding="utf-8"), "run `make golden` and review the difference"
