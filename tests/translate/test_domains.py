"""Whose a host name or an ip:port is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.plan.services import ServicePlan
from controlplane.registry.types import Protocol
from controlplane.translate.domains import Domains, key_of, keys_of

Place = tuple[str, int]


def plan(
    name: str,
    live: tuple[Place, ...] = (),
    former: tuple[Place, ...] = (),
    protocol: Protocol = Protocol.UNKNOWN,
) -> ServicePlan:
    return ServicePlan(f"file///{name}", name, protocol, (), {}, {}, (name,), live, former)


def of(*plans: ServicePlan) -> Domains:
    domains = Domains()
    for one in plans:
        domains.update(None, one)
    return domains


ONE, TWO = ("10.0.0.1", 80), ("10.0.0.2", 80)
ALL = {"file///a", "file///b"}


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("sc-b", "sc-b"),
        ("sc-b:8080", "sc-b"),
        ("123:80", "123"),
        ("10.0.0.1:80", "10.0.0.1:80"),
        ("10.0.0.1", "10.0.0.1"),
        ("[fd00::1]:80", "[fd00::1]:80"),
        ("com.acme.shop:http", "com.acme.shop:http"),
    ],
)
def test_key_of_a_host(host: str, key: str) -> None:
    assert key_of(host) == key


def test_hosts_of_a_service_on_two_ports() -> None:
    """The name means the first port, whatever port a caller adds, but for that of the second."""
    main = replace(plan("a"), hosts=("a.default",))
    second = replace(plan("a"), id="file///a:rpc", hosts=("a:9090", "a.default:9090"))
    domains = of(main, second)
    both = {main.id, second.id}
    assert domains.of(main, both) == ("a", "a.default", "a.default:*", "a:*", "file///a", "file///a:*")
    assert domains.of(second, both) == ("a.default:9090", "a:9090", "file///a:rpc", "file///a:rpc:*")
    assert domains.owners("a.default", both) == (main.id,)


def test_live_beats_remembered_and_both_live_share() -> None:
    a, b = plan("a", (ONE,)), plan("b", (TWO,), (ONE,))
    domains = of(a, b)
    assert domains.owners("10.0.0.1:80", ALL) == ("file///a",)
    assert domains.of(b, ALL) == ("10.0.0.2:80", "b", "b:*", "file///b", "file///b:*")
    both = plan("b", (ONE, TWO))
    assert domains.update(b, both) == {"10.0.0.1:80"}
    assert domains.owners("10.0.0.1:80", ALL) == ("file///a", "file///b")
    assert "10.0.0.1:80" not in domains.of(a, ALL)
    assert domains.owners("10.0.0.1:80", {"file///b"}) == ("file///b",)  # no competitor in reach
    assert domains.update(a, None) == {"a", "file///a", "10.0.0.1:80"}
    assert domains.owners("10.0.0.1:80", ALL) == ("file///b",)
    assert domains.claimants(["10.0.0.1:80", "a"]) == {"file///b"}


def test_plain_tcp_has_no_domain() -> None:
    tcp = plan("a", (ONE,), protocol=Protocol.TCP)
    assert not keys_of(tcp)
    assert not of(tcp).of(tcp, ALL)


places = st.tuples(st.sampled_from([f"10.0.0.{n}" for n in range(4)]), st.just(80))
plans = st.builds(
    plan,
    st.sampled_from("abcd"),
    st.lists(places, max_size=3, unique=True).map(tuple),
    st.lists(places, max_size=3, unique=True).map(tuple),
    st.sampled_from([Protocol.UNKNOWN, Protocol.HTTP2, Protocol.TCP]),
)


@given(st.lists(st.one_of(plans, st.sampled_from("abcd")), max_size=20))
def test_after_any_changes_it_is_as_if_made_anew_and_no_domain_comes_twice(
    steps: list[ServicePlan | str],
) -> None:
    domains = Domains()
    current: dict[str, ServicePlan] = {}
    for step in steps:
        name = step if isinstance(step, str) else step.name
        after = None if isinstance(step, str) else step
        domains.update(current.pop(name, None), after)
        if after is not None:
            current[name] = after
    anew = of(*current.values())
    among = {one.id for one in current.values()}
    for one in current.values():
        assert domains.of(one, among) == anew.of(one, among)
    every = [domain for one in current.values() for domain in domains.of(one, among)]
    assert len(every) == len(set(every))
    assert vars(domains) == vars(anew)


def test_a_name_with_underscores_is_called_by_hyphens_too() -> None:
    named, other = plan("Stock_Service", (ONE,)), plan("stock-service.", (TWO,))
    alone = of(named)
    everybody = {named.id, other.id}
    assert alone.owners("stock-service", everybody) == alone.owners("stock_service", everybody) == (named.id,)
    assert {"stock-service", "stock-service:*", "stock_service", "stock_service:*"} <= {
        *alone.of(named, everybody)
    }
    both = of(named, other)
    assert both.owners("stock-service", everybody) == (other.id,)
    assert "stock-service" not in both.of(named, everybody)
    assert {"stock_service", "stock-service"} <= keys_of(named)
    assert "stock-service" in both.update(other, None)
    assert both.owners("stock-service", everybody) == (named.id,)
