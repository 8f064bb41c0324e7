"""Differences of documents, field by field."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.model.differences import differences


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, [("a", 1, 2)]),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, [("a.c", None, 2)]),
        ({"a": {"b": 1}}, {"a": None}, [("a", {"b": 1}, None)]),
        ({"gone": 1, "a": 1}, {"a": 2}, [("a", 1, 2), ("gone", 1, None)]),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, [("a[1].b", 2, 3)]),
        ({"a": [1]}, {"a": [1, 2]}, [("a", [1], [1, 2])]),
    ],
)
def test_what_differs(before: Any, after: Any, found: list[Any]) -> None:
    assert [tuple(one) for one in differences(before, after)] == found


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(2, 5) | st.sampled_from("xy"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from("abc"), VALUES.filter(lambda one: one is not None), max_size=3)


@given(OBJECTS, OBJECTS)
def test_equal_objects_and_only_those_have_no_differences(before: Any, after: Any) -> None:
    same = json.dumps(before, sort_keys=True) == json.dumps(after, sort_keys=True)
    if same:
        assert not list(differences(before, after))
    elif "null" not in json.dumps([before, after]):
        assert list(differences(before, after))
