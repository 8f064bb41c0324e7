"""The forms of output, files with mistakes, and completion, in this process: as a shell would call them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

from controlplane.cli import jsonpath
from controlplane.cli.main import app
from controlplane.cli.options import Output
from controlplane.cli.output import dump
from controlplane.model.conditions import Condition
from controlplane.plan.evaluate import ConditionOutcome, Decision, LaneOutcome
from controlplane.plan.preview import Explanation
from tests.admin.conftest import SERVICES, SmallControl
from tests.cli.conftest import Control
from tests.entrance import ENTRANCE

GROUP = "kind: LaneGroup\nname: order-flow\ngateway: edge\napplications: [spring-cloud-a, spring-cloud-b]\n"
LANES = """kind: Lane
group: order-flow
name: gray
tag: gray
rule: {conditions: [{source: header, name: canary, operator: "==", value: gray}]}
---
kind: Lane
group: order-flow
name: blue
tag: blue
enabled: false
rule: {conditions: [{source: cookie, name: u, operator: "in", value: [x, y]}]}
"""
Admin = tuple[str, Control]


def run(*arguments: str, server: str, code: int = 0, stdin: str = "", **variables: str) -> Result:
    given = {"LANEWAY_SERVER": server, "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "40"} | variables
    result = CliRunner(env=given).invoke(app, arguments, input=stdin)
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def filled(admin: Admin) -> str:
    run("apply", "-f", "-", server=admin[0], stdin=f"{ENTRANCE}{GROUP}---\n{LANES}")
    return admin[0]


def test_what_goes_to_a_pipe_is_neither_wrapped_nor_cut(filled: str) -> None:
    text = run("get", "lanes", "-o", "wide", server=filled).stdout
    (gray,) = [line for line in text.splitlines() if line.startswith("gray")]
    assert "header canary == gray" in gray
    (group,) = [
        line for line in run("get", "groups", server=filled).stdout.splitlines() if "order-flow " in line
    ]
    assert "spring-cloud-a, spring-cloud-b" in group
    sentence = "; ".join(["a warning that is longer than a line of a terminal"] * 9)
    assert dump({"message": sentence}, Output.YAML) == f"message: {sentence}"


def test_every_form_of_a_list(filled: str) -> None:
    def get(form: str) -> str:
        return run("get", "lanes", "-o", form, server=filled).stdout

    assert get("name") == "lane/order-flow/blue\nlane/order-flow/gray\n"
    assert [one["name"] for one in json.loads(get("json"))["items"]] == ["blue", "gray"]
    assert yaml.safe_load(get("yaml")) == json.loads(get("json"))
    assert get("jsonpath={.items[*].name}") == "blue gray\n"
    wrong = run("get", "lanes", "-o", "jason", server=filled, code=2)
    assert "jsonpath=EXPRESSION" in wrong.output


PRINTING = (
    ("get", "all"),
    ("get", "services"),
    ("get", "lane/gray"),
    ("describe", "lane", "gray"),
    ("describe", "service", "sc-A"),
    ("proxies",),
    ("history",),
    ("matches", "gray"),
    ("explain", "--gateway", "edge"),
    ("lane", "disable", "gray"),
    ("lane", "status", "gray"),
    ("top", "--once"),
    ("status",),
    ("apply", "-f", "-", "--dry-run"),
    ("delete", "lane", "gray"),
)


def test_all_that_prints_has_forms_for_programs(filled: str) -> None:
    for words in PRINTING:
        told = run(*words, "-o", "json", server=filled, stdin=LANES).stdout
        assert json.loads(told), words
        if words[0] in ("get", "describe", "proxies", "history"):
            assert yaml.safe_load(run(*words, "-o", "yaml", server=filled).stdout), words
            assert "/" in run(*words, "-o", "name", server=filled).stdout, words


def test_a_list_can_be_applied_again(filled: str) -> None:
    for kind in ("all", "lanes", "lanes,routes", "applications"):
        text = run("get", kind, "-o", "yaml", server=filled).stdout
        count = len(yaml.safe_load(text)["items"])
        if kind in ("all", "applications"):  # what is only observed is not a definition
            text = run("get", "gateways,groups,lanes", "-o", "yaml", server=filled).stdout
            count = 4
        done = json.loads(run("apply", "-f", "-", "-o", "json", server=filled, stdin=text).stdout)
        assert (done["created"], done["changed"], len(done["unchanged"])) == ([], [], count)


def test_names_go_from_one_command_to_another(filled: str) -> None:
    for name in run("get", "routes,lanes", "-o", "name", server=filled).stdout.split():
        one = json.loads(run("get", name, "-o", "json", server=filled).stdout)
        assert one["name"] == name.rpartition("/")[2]
    assert run("delete", "lane/order-flow/gray", server=filled).stdout == "deleted Lane/gray\n"


def test_everything_at_once(filled: str) -> None:
    text = run("get", "all", server=filled).stdout
    for heading in ("GATEWAYS", "ROUTES", "APPLICATIONS", "LANE-GROUPS", "LANES", "SERVICES", "PROXIES"):
        assert heading in text
    assert "nacos/public/DEFAULT_GROUP/sc-A" in text


def test_live_applications_are_listed_whether_they_are_defined_or_not(filled: str) -> None:
    defined = "kind: Application\nname: shop\nservices: [file///sc-B]\n"
    run("apply", "-f", "-", server=filled, stdin=defined)
    rows = [line.split() for line in run("get", "applications", server=filled).stdout.splitlines()]
    shown = {row[0]: row[1:] for row in rows if row}
    assert shown["spring-cloud-a"] == ["no", "nacos/public/DEFAULT_GROUP/sc-A", "2/2", "gray", "order-flow"]
    assert shown["spring-cloud-b"] == ["no", "0/0", "-", "order-flow"]
    assert shown["shop"][0] == "yes"
    told = json.loads(run("get", "apps", "-o", "json", server=filled).stdout)
    assert [one["name"] for one in told["items"]] == ["shop"]
    assert [one["application"] for one in told["live"]] == ["shop", "spring-cloud-a", "spring-cloud-b"]
    one = json.loads(run("get", "app", "spring-cloud-a", "-o", "json", server=filled).stdout)
    assert (one["defined"], one["tags"]) == (False, ["gray"])
    assert "known are shop" in run("get", "app", "none", server=filled, code=1).stderr


def test_a_mistake_is_told_with_its_file_and_document(filled: str, tmp_path: Path) -> None:
    good, lanes = tmp_path / "a.yaml", tmp_path / "b.yaml"
    good.write_text(f"{ENTRANCE}{GROUP}")
    lanes.write_text(LANES.replace('"in"', '"matches"').replace("tag: gray", "tag: 7"))
    told = run("apply", "-f", str(tmp_path), server=filled, code=1).stderr
    assert told.splitlines() == [
        f"error: {lanes}, document 1 (Lane/gray): tag: must be a string (it is 7)",
        '  remedy: quote it: "7"',
        f"error: {lanes}, document 2 (Lane/blue): rule.conditions[0].operator: "
        "must be ==, !=, in, percentage, regex, prefix, exists or absent (it is matches)",
        "  remedy: give one of ==, !=, in, percentage, regex, prefix, exists, absent",
    ]
    good.write_text("kind: Gateway\n  name: edge\n")
    told = run("apply", "-f", str(tmp_path), server=filled, code=2).stderr
    assert told.startswith(f"error: {good}: ")
    assert "line 2" in told
    good.write_text("# nothing\n")
    assert "there is no document" in run("apply", "-f", str(good), server=filled, code=2).stderr
    good.write_text("name: x\n")
    told = run("apply", "-f", str(good), server=filled, code=1).stderr
    assert told.startswith(f"error: {good}: kind: is missing\n")


def test_a_wrong_token_is_told_from_none(guarded: str) -> None:
    assert "A token is needed" in run("get", "lanes", server=guarded, code=1).stderr
    assert (
        "This token is not known." in run("get", "lanes", "--token", "another", server=guarded, code=1).stderr
    )
    assert "This token is not known." in run("status", "--token", "another", server=guarded, code=1).stderr


def test_wordings_of_lanes(filled: str) -> None:
    ratio = "kind: Lane\ngroup: order-flow\nname: third\ntag: third\nratio: {percent: 30}\n"
    told = run("apply", "-f", "-", server=filled, stdin=ratio, code=1).stderr
    assert "group order-flow takes only content lanes (set by lane gray)" in told
    assert run("undo", "999", server=filled, code=1).stderr.count("see `laneway history`") == 1
    rows = {line.split()[0]: line for line in run("get", "lanes", server=filled).stdout.splitlines() if line}
    assert rows["gray"].split()[3] == "yes"
    assert rows["blue"].split()[3] == "no"


def test_wordings_of_explain_and_matches(filled: str, admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    condition = Condition(source="header", name="canary", operator="==", value="gray")
    outcome = LaneOutcome("gray", False, (ConditionOutcome(condition, None, False),))

    async def explain(*_: object) -> Explanation:
        return Explanation(Decision(None, None, "no rule matches", (outcome,)), "/", "", (), ())

    monkeypatch.setattr(admin[1], "explain", explain)
    monkeypatch.setattr(admin[1], "matches", lambda _: [("spring-cloud-x", [])])
    told = run("explain", "--gateway", "edge", server=filled).stdout
    assert "not met: header canary == gray (the request has none)" in told
    assert "no instances" in run("matches", "gray", server=filled).stdout


def test_no_raw_text_of_validation_is_shown(filled: str, tmp_path: Path) -> None:
    file = tmp_path / "laneway.yaml"
    file.write_text("xdss: x\nlane_drain: soon\nadmin_connections: -1\nlog_format: xml\n")
    told = run("serve", "--config", str(file), server=filled, code=2).stderr
    assert f"error: {file}: xdss: is not a setting\n  remedy: did you mean xds?" in told
    assert "lane_drain: must be a number (it is soon)" in told
    assert "log_format: must be console or json (it is xml)" in told
    assert "nput" not in told, "pydantic's own words"


def test_names_are_completed(filled: str, guarded: str) -> None:
    def completed(words: str, server: str = filled, **variables: str) -> set[str]:
        typed = words.split(" ")
        asked = {
            "_LANEWAY_COMPLETE": "complete_bash",
            "COMP_WORDS": f"laneway {words}",
            "COMP_CWORD": str(len(typed)),
        }
        result = CliRunner(env={"LANEWAY_SERVER": server, **asked, **variables}).invoke(
            app, [], prog_name="laneway"
        )
        return set(result.stdout.split())

    assert completed("get lane gr") == {"gray"}
    assert completed("get lanes order-flow/") == {"order-flow/gray", "order-flow/blue"}
    assert completed("lane disable ") == {"gray", "blue"}
    assert completed("describe service sc-") == {"sc-A", "sc-B"}
    assert completed("get all --group o") == {"order-flow"}
    assert completed("explain --gateway ") == {"edge"}
    assert {"lanes", "lane-groups"} == completed("get la")
    assert completed("describe lane/g") == {"lane/gray"}
    assert completed("delete lane/order-flow/") == {"lane/order-flow/gray", "lane/order-flow/blue"}
    assert completed("get lanes ", guarded) == set()
    assert completed("get lanes ", "http://127.0.0.1:9") == set()


def test_version_and_help(filled: str) -> None:
    assert run("--version", server=filled).stdout.startswith("laneway ")
    assert "Exit codes" in run("-h", server=filled).stdout
    assert "--watch" in run("get", "-h", server=filled).stdout


def test_status(filled: str, admin: Admin) -> None:
    text = run("status", server=filled).stdout
    assert "ready" in text.splitlines()[0]
    assert "lanes enabled: gray" in text
    assert "lanes disabled: blue" in text
    assert "Nacos 2.3.2" in text
    admin[1].waiting.append("source nacos has not synced yet")
    assert "source nacos has not synced yet" in run("status", server=filled, code=1).stdout
    assert isinstance(admin[1], SmallControl)
    assert set(json.loads(run("status", "-o", "json", server=filled, code=1).stdout)["counts"]) >= {"lanes"}
    assert len(SERVICES) == 3


@pytest.mark.parametrize(
    ("template", "wanted"),
    [
        ("{.items[*].name}", "a b"),
        (".items[0].name", "a"),
        ("$.items[-1:].name", "b"),
        ('{range .items[*]}{.name}{"\\t"}{.n.x-y}{"\\n"}{end}', "a\t1\nb\t\n"),
        ("{.items[?(@.on==true)].name} on", "a on"),
        ("{range .items[*]}{@.name}={.on};{end}", "a=true;b=false;"),
        ("{.items[0].n}", '{"x-y":1}'),
        ("{.nothing}", ""),
        ("{'it''s'}", "it''s"),
    ],
)
def test_jsonpath_as_kubectl_has_it(template: str, wanted: str) -> None:
    value = {"items": [{"name": "a", "on": True, "n": {"x-y": 1}}, {"name": "b", "on": False}]}
    assert jsonpath.render(template, value) == wanted


@pytest.mark.parametrize("template", ["{.items[}", "{range .items[*]}", "{end}", "{.items", "{'a\\q'}"])
def test_a_wrong_template_is_wrong_usage(filled: str, template: str) -> None:
    told = run("get", "lanes", "-o", f"jsonpath={template}", server=filled, code=2)
    assert "-o jsonpath:" in told.stderr
