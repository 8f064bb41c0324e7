"""`laneway check` on files, without a control plane: what it prints, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from controlplane.cli.main import app

SERVICES = """
services:
  - {name: sc-A, instances: [{address: 127.0.0.1, port: 80, metadata: {app: a}}, {address: 127.0.0.2, port: 80, metadata: {app: a, lane: gray}}]}
"""  # noqa: E501
DEFINITIONS = """
{kind: Gateway, name: edge, listeners: [{port: 80}]}
---
{kind: Route, gateway: edge, name: r, service: sc-A}
---
{kind: LaneGroup, name: g, gateway: edge, applications: [a]}
---
kind: Lane
group: g
name: gray
tag: gray
rule: {conditions: [{source: header, name: x, operator: exists}]}
"""
UNCLEAR = r"""
---
kind: Lane
group: g
name: w
tag: gray
rule: {conditions: [{source: header, name: y, operator: regex, value: '\b[0-9]{3}'}]}
"""


def check(tmp_path: Path, definitions: str, *more: str, services: str = SERVICES) -> tuple[int, str]:
    (tmp_path / "services.yaml").write_text(services)
    (tmp_path / "lanes.yaml").write_text(definitions)
    files = ["-f", str(tmp_path / "lanes.yaml"), "--services", str(tmp_path / "services.yaml")]
    result = CliRunner().invoke(app, ["check", *files, *more])
    return result.exit_code, result.output


def test_sound_definitions_have_no_warnings(tmp_path: Path) -> None:
    assert check(tmp_path, DEFINITIONS) == (0, "no warnings\n")


def test_warnings_are_printed_and_end_with_their_code(tmp_path: Path) -> None:
    code, output = check(tmp_path, DEFINITIONS.replace("tag: gray", "tag: grey"))
    assert code == 4
    assert "Lane/gray: no instance of a has tag grey" in output
    assert "did you mean gray?" in output
    code, output = check(tmp_path, DEFINITIONS.replace("sc-A", "sc-Z"), "-o", "json")
    assert code == 4
    (one,) = json.loads(output)["warnings"]
    assert one["document"] == "Route/r"
    assert one["message"] == "no service 'sc-Z': requests of this route get 503; did you mean sc-A?"


@pytest.mark.parametrize(
    ("definitions", "services", "code", "said"),
    [
        (
            DEFINITIONS.replace("gateway: edge, applications", "gateway: no, applications"),
            SERVICES,
            1,
            "gateway",
        ),
        (DEFINITIONS, "services: [{nam: x}]", 2, "nam"),
        ("", SERVICES, 2, "no document"),
    ],
)
def test_what_would_be_refused_or_cannot_be_read(
    tmp_path: Path, definitions: str, services: str, code: int, said: str
) -> None:
    found, output = check(tmp_path, definitions, services=services)
    assert found == code
    assert said in output


def test_what_is_undecided_is_shown_and_is_no_reason_to_fail(tmp_path: Path) -> None:
    code, output = check(tmp_path, DEFINITIONS + UNCLEAR)
    assert "Lane/w: undecided: whether a request reaches this lane" in output
    assert code == 0


def test_services_alone_are_wrong_usage() -> None:
    result = CliRunner().invoke(app, ["check", "--services", "x.yaml"])
    assert result.exit_code == 2
    assert "give them with -f" in result.output
