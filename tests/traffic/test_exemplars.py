"""One request for each bucket, bounded in number and age; ids that no tracing system makes are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.traffic.exemplars import KEPT, Exemplars
from controlplane.traffic.series import BUCKETS

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
REQUEST = "7c3f1f04-9d5c-4d33-a8fc-0b1f7a0a3d3f"


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_the_last_request_of_each_bucket() -> None:
    clock = Clock()
    found = Exemplars(clock)
    found.note(("a",), 0.0015, "1" * 32, "")
    found.note(("a",), 0.0019, TRACE, REQUEST)
    found.note(("a",), 60.0, "", REQUEST)
    found.note(("b",), 0.002, TRACE, "")
    shown = found.shown()
    assert {of: list(some) for of, some in shown.items()} == {("a",): [1, len(BUCKETS)], ("b",): [1]}
    assert shown["a",][1].labels == {"trace_id": TRACE, "request_id": REQUEST}
    assert (shown["a",][1].seconds, shown["a",][1].at) == (0.0019, 1_000.0)
    assert shown["a",][len(BUCKETS)].labels == {"request_id": REQUEST}


def test_the_oldest_go_first() -> None:
    clock = Clock()
    found = Exemplars(clock, most=3)
    for number in range(3):
        found.note((str(number),), 0.1, TRACE, "")
    found.note(("0",), 0.1, TRACE, "")
    found.note(("3",), 0.1, TRACE, "")
    assert set(found.shown()) == {("2",), ("0",), ("3",)}
    clock.now += KEPT - 1
    found.note(("4",), 0.1, TRACE, "")
    clock.now += 2
    assert set(found.shown()) == {("4",)}


@pytest.mark.parametrize(
    ("seconds", "trace", "request_id"),
    [
        (0.1, "0" * 32, ""),
        (0.1, "", ""),
        (0.1, "a" * 65, "b" * 37),
        (0.1, 'x"} 1 # {', "a\nlaneway_requests_total 7"),
        (0.1, "٣" * 32, "é"),
        (-0.1, TRACE, REQUEST),
        (float("inf"), TRACE, REQUEST),
        (float("nan"), TRACE, REQUEST),
        (2.0**62, TRACE, REQUEST),
    ],
)
def test_what_is_refused(seconds: float, trace: str, request_id: str) -> None:
    found = Exemplars(Clock())
    found.note(("a",), seconds, trace, request_id)
    assert found.shown() == {}


@given(st.text(max_size=300), st.text(max_size=300), st.floats())
def test_labels_are_short_and_plain(trace: str, request_id: str, seconds: float) -> None:
    found = Exemplars(Clock())
    found.note(("a",), seconds, trace, request_id)
    found.note(("a",), 0.1, trace * 5, REQUEST)
    for some in found.shown().values():
        for one in some.values():
            assert 0 < sum(len(name) + len(value) for name, value in one.labels.items()) <= 128
            assert "".join(one.labels.values()).isascii()
