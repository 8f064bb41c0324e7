"""The sentences of warnings: names that nothing answers to, lanes that are never chosen, overlaps."""

from __future__ import annotations

import shlex

import pytest

from controlplane.model.definitions import Definitions, Key
from controlplane.model.parsing import parse_documents
from controlplane.plan.warnings import Warner, warnings
from controlplane.registry.names import ServiceNames
from controlplane.registry.types import Health, Instance, Service

START = """
{kind: Gateway, name: edge, listeners: [{port: 80}]}
---
{kind: Route, gateway: edge, name: a, service: sc-A, match: {path: {prefix: /a}}}
---
{kind: LaneGroup, name: order-flow, gateway: edge, applications: [spring-cloud-a]}
---
{kind: LaneGroup, name: other, gateway: edge, applications: [spring-cloud-a]}
"""


def lane(name: str, *conditions: str, group: str = "order-flow", more: str = "tag: gray") -> str:
    rules = ", ".join(conditions)
    return f"\n---\n{{kind: Lane, group: {group}, name: {name}, {more}, rule: {{conditions: [{rules}]}}}}"


def ratio(name: str, more: str = "ratio: {percent: 10}") -> str:
    return f"\n---\n{{kind: Lane, group: shares, name: {name}, tag: gray, {more}}}"


CANARY = '{source: header, name: canary, operator: "==", value: gray}'
ANY_CANARY = "{source: header, name: canary, operator: exists}"
NO_CANARY = "{source: header, name: canary, operator: absent}"
UID = "{source: cookie, name: uid, operator: percentage, value: 30}"
SHARES = "\n---\n{kind: LaneGroup, name: shares, gateway: edge, applications: [spring-cloud-a]}"


def service(*tags: str | None, health: Health = Health.HEALTHY, warned: tuple[str, ...] = ()) -> Service:
    instances = tuple(
        Instance(f"10.0.0.{n}", 80, tag, "spring-cloud-a", health=health if tag else Health.HEALTHY)
        for n, tag in enumerate(tags, 1)
    )
    return Service("file///sc-A", "file", "sc-A", instances, warnings=warned)


def told(text: str, *services: Service) -> dict[str, list[str]]:
    now = Definitions().apply(parse_documents((START + text).encode())).definitions
    known = {one.id: one for one in services or (service(None, "gray"),)}
    found = warnings(now, known, ServiceNames(known).resolve, 0.0)
    return {str(key): list(texts) for key, texts in found.definitions.items()}


def test_a_sound_lane_is_not_warned_about() -> None:
    assert told(lane("gray", CANARY)) == {}


def test_names_that_nothing_answers_to() -> None:
    assert told(
        "\n---\n{kind: Route, gateway: edge, name: z, service: sc-Z, match: {path: {prefix: /z}}}"
    ) == {"Route/z": ["no service 'sc-Z': requests of this route get 503; did you mean sc-A?"]}
    group = "\n---\n{kind: LaneGroup, name: g, gateway: edge, applications: [spring-cloud-aa]}"
    assert told(group) == {
        "LaneGroup/g": ["no service belongs to application spring-cloud-aa; did you mean spring-cloud-a?"]
    }
    application = "\n---\n{kind: Application, name: spring-cloud-a, services: [sc-A, sc-B]}"
    assert told(application) == {"Application/spring-cloud-a": ["no service 'sc-B'; did you mean sc-A?"]}


def test_a_tag_that_no_instance_has_and_one_whose_instances_are_ill() -> None:
    (text,) = told(lane("gray", CANARY, more="tag: grey"))["Lane/gray"]
    assert text == (
        "no instance of spring-cloud-a has tag grey: each request of this lane falls back to base "
        "everywhere; did you mean gray?"
    )
    (text,) = told(lane("gray", CANARY, more="tag: gray, fallback: none"), service(None))["Lane/gray"]
    assert (
        text == "no instance of spring-cloud-a has tag gray: each request of this lane is answered with 503"
    )
    (text,) = told(lane("gray", CANARY), service(None, "gray", health=Health.UNHEALTHY))["Lane/gray"]
    assert text.startswith("no instance with tag gray in spring-cloud-a can be reached")


def test_what_the_registry_says_of_two_tags_is_told_of_the_group() -> None:
    said = told("", service(None, warned=("10.0.0.1:80: the tag a of x is used, although y is b",)))
    assert said["LaneGroup/order-flow"] == [
        "service file///sc-A: 10.0.0.1:80: the tag a of x is used, although y is b"
    ]


NEVER = "no request reaches this lane: "


@pytest.mark.parametrize(
    ("text", "of", "why"),
    [
        (
            lane("a", CANARY) + lane("b", CANARY),
            "b",
            "lane a takes all that its rule matches, and it comes first by priority",
        ),
        (lane("a", UID) + lane("b", UID.replace("30", "10")), "b", "lane a takes all"),
        (lane("a", CANARY) + lane("b", CANARY, UID), "b", "lane a takes all"),
        (
            lane("a", ANY_CANARY) + lane("b", NO_CANARY) + lane("c", UID),
            "c",
            "lanes a, b together take all that its rule matches, and they come first by priority",
        ),
        (lane("a", CANARY, NO_CANARY), "a", "its conditions contradict each other"),
        (
            lane("a", "{source: path, operator: prefix, value: /b}"),
            "a",
            "none that takes its routes meets its conditions",
        ),
        (
            lane("a", ANY_CANARY) + lane("b", NO_CANARY) + SHARES + ratio("sale"),
            "sale",
            "on each of its routes lanes with rules take every request before shares are looked at: a, b",
        ),
    ],
)  # fmt: skip
def test_lanes_that_no_request_reaches(text: str, of: str, why: str) -> None:
    said = [one for one in told(text).get(f"Lane/{of}", ()) if one.startswith(NEVER)]
    assert len(said) == 1
    assert said[0].removeprefix(NEVER).startswith(why)


def test_lanes_of_two_groups_that_match_one_request_are_told_on_both() -> None:
    said = told(lane("gray", CANARY) + lane("users", UID, group="other"))
    (gray,), (users,) = said["Lane/gray"], said["Lane/users"]
    assert gray.startswith("lane users of group other matches some of the same requests; lane gray gets, for")
    assert users.startswith("lane gray of group order-flow matches some of the same requests; lane gray gets")
    command = shlex.split(users.partition("example: ")[2])
    assert command[:4] == ["laneway", "explain", "--gateway", "edge"]
    assert "canary: gray" in command


def test_equal_routes() -> None:
    said = told("\n---\n{kind: Route, gateway: edge, name: b, service: sc-A, match: {path: {prefix: /a}}}")
    assert said == {
        "Route/b": [
            "no request takes this route: route a has the same match and comes first; change one of them, or "
            "delete it"
        ]
    }
    rest = "\n---\n{kind: Route, gateway: edge, name: b, service: sc-A, match: {path: {regex: /a/x}}}"
    assert told(rest) == {"Route/b": ["no request takes this route: route a takes all that it matches"]}


def test_what_cannot_be_decided_is_said() -> None:
    hard = r"{source: header, name: user, operator: regex, value: '[a-z]+\b'}"
    also = "{source: header, name: user, operator: regex, value: '[a-z]+'}"
    said = told(lane("a", hard) + lane("b", also, group="other"))
    why = r"(a regular expression has \b, which is not compared)"
    reaches, matches = said["Lane/b"]
    assert reaches == f"undecided: whether a request reaches this lane {why}"
    assert matches.startswith("lane a of group order-flow matches some of the same requests")
    other = also.replace("[a-z]+", "[0-9]+")
    (matches,) = told(lane("a", hard) + lane("b", other, group="other"))["Lane/b"]
    assert matches == f"undecided: whether lane a of group order-flow matches the same requests {why}"


def test_a_change_is_looked_at_alone() -> None:
    text = START + "".join(lane(f"l{n}", CANARY.replace("gray", f"v{n}")) for n in range(50))
    now = Definitions().apply(parse_documents(text.encode())).definitions
    known = {"file///sc-A": service(None, "gray")}
    warner = Warner()
    assert not warner.warnings(now, known, ServiceNames(known).resolve, 0.0).definitions
    changed = now.apply(parse_documents(lane("l7", CANARY.replace("gray", "v8")).encode())).definitions
    found = warner.warnings(changed, known, ServiceNames(known).resolve, 0.0)
    assert set(found.definitions) == {Key("Lane", "order-flow", "l8")}
    assert warner.searches < 10
    more = "\n---\n{kind: Gateway, name: other, listeners: [{port: 81}]}"
    elsewhere = changed.apply(parse_documents(more.encode())).definitions
    route = "{kind: Route, gateway: other, name: a, service: sc-A}"
    warner.warnings(elsewhere, known, ServiceNames(known).resolve, 0.0)
    routed = elsewhere.apply(parse_documents(route.encode())).definitions
    assert warner.warnings(routed, known, ServiceNames(known).resolve, 0.0).definitions == found.definitions
    assert warner.searches == 0  # at the gateway with the lanes nothing has changed


@pytest.mark.parametrize("pattern", ["v{}[0-9a-f]*x", "(a|b){{{}}}[a-z]+"])
def test_lanes_whose_regexes_begin_alike_cost_a_few_searches_each(pattern: str) -> None:
    """Requests that were found for one lane show what it has in common with others."""
    text, number = START, 30
    for n in range(1, number + 1):
        regex = f'{{source: header, name: x, operator: regex, value: "{pattern.format(n)}"}}'
        text += lane(f"l{n:02}", regex, group=("order-flow", "other")[n % 2])
    now = Definitions().apply(parse_documents(text.encode())).definitions
    warner = Warner()
    found = warner.warnings(now, {}, lambda name: name, 0.0)
    told = [one for texts in found.definitions.values() for one in texts]
    assert sum("no request reaches this lane" in one for one in told) > number / 2
    assert sum("matches some of the same requests" in one for one in told) > number / 2
    assert warner.searches <= 5 * number


def test_callers_that_nobody_is() -> None:
    """Gateways are looked for among gateways, applications among those that are defined or have a service."""
    text = "\n---\n{kind: Application, name: cron}"
    text += "\n---\n{kind: Application, name: spring-cloud-b, callers: [%s]}"
    assert told(text % "spring-cloud-a, gateway/edge, cron") == {}
    assert told(text % "spring-cloud-aa, gateway/egde, edge") == {
        "Application/spring-cloud-b": [
            "caller spring-cloud-aa is no application that is defined or has a service; "
            "did you mean spring-cloud-a?",
            "caller gateway/egde is no gateway that is defined or has a service; did you mean gateway/edge?",
            "caller edge is no application that is defined or has a service",
        ]
    }
    many = ", ".join(f"x{number}" for number in range(9))
    assert told(text % many)["Application/spring-cloud-b"][-1] == (
        "4 more callers are not defined and have no service"
    )
