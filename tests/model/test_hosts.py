"""Hosts of routes and addresses of listeners: taken, or refused by name with a remedy."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.model.definitions import Definitions
from controlplane.model.parsing import parse_document
from controlplane.model.problems import DefinitionError, Problem
from controlplane.plan.gateways import GatewayPlan, plan_gateway
from controlplane.plan.hosts import without_dot


def gateway(*listeners: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "Gateway", "name": "edge", "listeners": list(listeners)}


def route(name: str, *hosts: str) -> dict[str, Any]:
    return {"kind": "Route", "gateway": "edge", "name": name, "service": "a", "match": {"hosts": list(hosts)}}


def defined(*documents: dict[str, Any]) -> Definitions:
    return Definitions().apply([parse_document(one) for one in documents]).definitions


def problem(document: dict[str, Any]) -> Problem:
    with pytest.raises(DefinitionError) as caught:
        defined(*([gateway({"port": 80})] if document["kind"] == "Route" else []), document)
    return caught.value.problems[0]


def planned(*hosts: str) -> GatewayPlan:
    now = defined(gateway({"port": 80}), route("r", *hosts))
    return plan_gateway(now.gateways["edge"], now, (), lambda name: name)


@pytest.mark.parametrize(
    ("host", "message", "remedy"),
    [
        ("*", "means every host, as no hosts do", "leave hosts out"),
        ("shop.example.com:8080", "has a port, but a host matches on every port", "write shop.example.com"),
        ("[::1]:8080", "has a port, but a host matches on every port", "write [::1]"),
        ("http://shop.example.com", "has a scheme or a path", "write the host alone"),
        ("shop.example.com/a", "has a scheme or a path", "write the host alone"),
        ("2001:db8::7", "without brackets", "write [2001:db8::7]"),
        ("[fe80::1%eth0]", "has a zone", "leave out what follows '%'"),
        ("[10.0.0.1]", "is not an address of version 6", "write [2001:db8::7]"),
        ("[::1", "without brackets", "write [::1]"),
        ("a:b:c", "is not an address of version 6", "write [2001:db8::7]"),
        ("*example.com", "has an asterisk that is not the first label", "write *.example.com"),
        ("shop.*", "has an asterisk that is not the first label", "write *.example.com"),
        ("*.*.com", "has an asterisk that is not the first label", "write *.example.com"),
        ("bücher.example", "has characters that no client sends", "xn--bcher-kva.example"),
        ("", "is not a host", "shop.example.com"),
        ("-shop.example.com", "is not a host", "shop.example.com"),
        ("shop..example.com", "is not a host", "shop.example.com"),
        ("shop example", "is not a host", "shop.example.com"),
    ],
)
def test_a_host_is_refused_by_name(host: str, message: str, remedy: str) -> None:
    found = problem(route("r", "ok.example.com", host))
    assert (found.field, found.value) == ("match.hosts[1]", host)
    assert message in found.message
    assert remedy in found.remedy


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("Shop.Example.com", "shop.example.com"),
        ("shop.example.com.", "shop.example.com"),
        ("shop.example.com", "SHOP.example.com.:8080"),
        ("stock_service", "stock_service:80"),
        ("*.Example.com.", "a.b.example.com."),
        ("10.0.0.1", "10.0.0.1:8080"),
        ("[2001:DB8:0::7]", "[2001:db8::7]:8080"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ],
)
def test_a_host_that_is_taken(written: str, asked: str) -> None:
    plan = planned(written)
    assert plan.host_key(asked) == plan.routes[0].hosts[0] != "*"


def test_a_host_with_and_without_the_dot_is_one() -> None:
    assert planned("shop.example.com", "shop.example.com.").hosts() == ["shop.example.com", "*"]


@pytest.mark.parametrize(
    ("authority", "expected"),
    [
        ("a.", "a"),
        ("a.:80", "a:80"),
        ("a", "a"),
        ("a.b:80", "a.b:80"),
        ("a..", "a."),
        ("[::1]", "[::1]"),
        (".", ""),
    ],
)
def test_a_dot_at_the_end_of_a_host(authority: str, expected: str) -> None:
    assert without_dot(authority) == expected


@pytest.mark.parametrize(
    "listeners",
    [
        [{"port": 80, "address": ["0.0.0.0", "::"]}],
        [{"port": 80, "address": "0.0.0.0"}, {"port": 80, "address": "::"}],
        [{"port": 80, "address": ["127.0.0.1", "::1", "10.0.0.1"]}, {"port": 81}],
        [{"port": 80, "address": "[::1]"}],
    ],
)
def test_listeners_of_both_versions(listeners: list[dict[str, Any]]) -> None:
    found = defined(gateway(*listeners)).gateways["edge"]
    assert parse_document(found.model_dump(mode="json")).document == found


@pytest.mark.parametrize(
    ("listeners", "field", "message"),
    [
        ([{"port": 80, "address": ["::", "::1"]}], "listeners[0]", "listeners[0]: ::1 and ::"),
        ([{"port": 80, "address": ["10.0.0.1", "10.0.0.1"]}], "listeners[0]", "10.0.0.1 and 10.0.0.1"),
        ([{"port": 80}, {"port": 80, "address": ["::", "10.0.0.1"]}], "listeners[1]", "10.0.0.1 and 0.0.0.0"),
        ([{"port": 80, "address": ["::", "host"]}], "listeners[0].address[1]", "is not an IP address"),
        ([{"port": 80, "address": ["::", 1]}], "listeners[0].address[1]", "is not an IP address"),
        ([{"port": 80, "address": []}], "listeners[0].address", "neither an IP address nor a list of them"),
        ([{"port": 80, "address": 1}], "listeners[0].address", "neither an IP address nor a list of them"),
    ],
)
def test_listeners_that_are_refused(listeners: list[dict[str, Any]], field: str, message: str) -> None:
    found = problem(gateway(*listeners))
    assert found.field == field
    assert message in found.message
    assert found.remedy
