"""Who has most, and whose turn it is."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.net.largest import COMPARED, Largest
from controlplane.net.rounds import Rounds


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(-5_000, 5_000)), max_size=200))
def test_the_largest_of_a_few_is_found(steps: list[tuple[int, int]]) -> None:
    found, model = Largest[int](), Counter[int]()
    for owner, amount in steps:
        amount = max(amount, -model[owner])
        model[owner] += amount
        found.add(owner, amount)
        owned = +model
        most = found.find()
        assert (None if most is None else owned[most]) == max(owned.values(), default=None)
        assert all(found[one] == model[one] for one in range(10))


def test_of_thousands_one_that_has_over_half_of_the_most_is_found() -> None:
    found = Largest[int]()
    for owner in range(5_000):
        found.add(owner, 100 + owner % 28)
    found.add(7, 50)
    assert found.find() == 7
    found.add(7, -156)
    assert found.find() in range(COMPARED + 1)


def test_who_has_nothing_is_forgotten() -> None:
    found = Largest[str]()
    for amount in (5, 300, -305):
        found.add("a", amount)
    assert found.find() is None
    assert found["a"] == 0


def test_addresses_take_turns() -> None:
    rounds = Rounds[str]()
    for name in ("a1", "a2", "a3", "b1", "c1", "b2"):
        rounds.add(name[0], name)
    assert [rounds.take() for _ in range(len(rounds))] == ["a1", "b1", "c1", "a2", "b2", "a3"]
    with pytest.raises(KeyError):
        rounds.take()


def test_the_last_of_the_address_with_the_most_gives_way() -> None:
    rounds = Rounds[str]()
    for name in ("a1", "b1", "a2", "a3"):
        rounds.add(name[0], name)
    assert [rounds.drop() for _ in range(2)] == [("a", "a3"), ("a", "a2")]
    rounds.add("a", "a4")
    assert [rounds.take() for _ in range(3)] == ["a1", "b1", "a4"]
    with pytest.raises(KeyError):
        rounds.drop()
