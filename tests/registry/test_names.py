"""Short names of services."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.registry.names import (
    AmbiguousService,
    ServiceNames,
    UnknownService,
    canonical_id,
    resolve,
)

IDS = (
    "file///sc-A",
    "file///sc-B",
    "nacos/public/DEFAULT_GROUP/sc-B",
    "nacos/public/OTHER/sc-B",
    "nacos/public/DEFAULT_GROUP/a/b",
    "kubernetes/shop//cart:http",
)


@pytest.mark.parametrize(
    ("name", "service_id"),
    [
        ("sc-A", "file///sc-A"),
        ("file///sc-A", "file///sc-A"),
        ("/sc-A", None),
        ("c-A", None),
        ("", None),
        ("DEFAULT_GROUP/sc-B", "nacos/public/DEFAULT_GROUP/sc-B"),
        ("nacos/public/OTHER/sc-B", "nacos/public/OTHER/sc-B"),
        ("a/b", "nacos/public/DEFAULT_GROUP/a/b"),
        ("cart:http", "kubernetes/shop//cart:http"),
        ("cart", None),
    ],
)
def test_a_suffix_means_one_service(name: str, service_id: str | None) -> None:
    if service_id is None:
        with pytest.raises(UnknownService):
            resolve(IDS, name)
    else:
        assert resolve(IDS, name) == service_id


def test_a_source_an_empty_group_and_aliases() -> None:
    names = ServiceNames(IDS)
    names.add("kubernetes/default//sc-A", ("sc-A:80", "sc-A:http"))
    assert names.candidates("sc-A") == ("file///sc-A", "kubernetes/default//sc-A")
    assert names.resolve("kubernetes/*/sc-A") == "kubernetes/default//sc-A"
    assert names.resolve("file/*/sc-A") == "file///sc-A"
    assert names.candidates("nacos/*/sc-A") == ()
    for written in ("default/sc-A", "default//sc-A", "default/sc-A:http", "sc-A:80"):
        assert names.resolve(written) == "kubernetes/default//sc-A"
    names.add("kubernetes/default//sc-A", ("sc-A:81",))
    assert names.candidates("sc-A:80") == ()
    names.discard("kubernetes/default//sc-A")
    assert names.candidates("sc-A:81") == ()


def test_an_ambiguous_name_lists_the_candidates() -> None:
    with pytest.raises(AmbiguousService) as raised:
        resolve(IDS, "sc-B")
    assert raised.value.candidates == tuple(i for i in IDS if i.endswith("sc-B"))
    assert "nacos/public/OTHER/sc-B" in str(raised.value)


def test_an_unknown_name_has_the_nearest() -> None:
    with pytest.raises(UnknownService, match=r"^no service 'sc-AA'; did you mean sc-A\?$") as raised:
        resolve(IDS, "sc-AA")
    assert raised.value.nearest == "sc-A"
    assert isinstance(raised.value, LookupError)


def test_an_index_follows_services_that_come_and_go() -> None:
    names = ServiceNames(IDS)
    names.discard("file///sc-B")
    names.discard("nacos/public/OTHER/sc-B")
    assert names.resolve("sc-B") == "nacos/public/DEFAULT_GROUP/sc-B"
    names.add(canonical_id("nacos", "public", "G", "sc-B"))
    assert len(names.candidates("sc-B")) == 2
    names.discard("unknown")
    assert len(names) == 5


@pytest.mark.parametrize(
    ("service_id", "short"),
    [
        ("file///sc-A", "sc-A"),
        ("nacos/public/OTHER/sc-B", "OTHER/sc-B"),
        ("file///sc-B", "file///sc-B"),  # every shorter name means others, too, or nothing
        ("nacos/public/DEFAULT_GROUP/a/b", "b"),
        ("kubernetes/shop//cart:http", "cart:http"),
    ],
)
def test_the_shortest_name_means_the_service_alone(service_id: str, short: str) -> None:
    names = ServiceNames(IDS)
    assert names.short(service_id) == short
    assert names.resolve(short) == service_id


@given(st.sets(st.text("ab/", max_size=6).map(lambda t: f"x/{t}"), max_size=8), st.text("ab/", max_size=6))
def test_the_index_finds_what_a_search_finds(ids: set[str], name: str) -> None:
    # The empty group of a registry without groups may be left out.
    spelt = {i: (i, i.replace("//", "/")) for i in ids}
    found = {i for i in ids if name and name[0] != "/" and any(s.endswith("/" + name) for s in spelt[i])}
    expected = {name} if name in ids else found
    assert set(ServiceNames(ids).candidates(name)) == expected
