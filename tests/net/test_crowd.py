"""Who may be connected to a port, and how ports share the descriptors of the process."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.net.crowd import Crowd, sender
from controlplane.net.descriptors import KEPT, shares
from tests.opcodes import executed

A, B = "10.0.0.1", "10.0.0.2"


def test_the_longest_waiting_makes_room_for_who_comes():
    crowd: Crowd[str] = Crowd(10, 3)
    for name in ("a1", "a2", "a3"):
        assert crowd.enter(name, A) is None
    assert crowd.enter("a4", A) == "a1"
    crowd.busy("a2")
    assert crowd.enter("a5", A) == "a3"
    crowd.waiting("a2")  # it waits since now, a4 for longer
    assert crowd.enter("a6", A) == "a4"
    assert (len(crowd), crowd.displaced, crowd.refused) == (3, 3, 0)


def test_who_is_served_keeps_its_place():
    crowd: Crowd[str] = Crowd(10, 2)
    for name in ("a1", "a2"):
        crowd.enter(name, A)
        crowd.busy(name)
    assert crowd.enter("a3", A) == "a3"
    assert crowd.enter("b1", B) is None
    crowd.leave("a1")
    crowd.leave("a1")
    assert crowd.enter("a4", A) is None
    assert crowd.refused == 1


def test_the_address_with_the_most_makes_room_for_others():
    crowd: Crowd[str] = Crowd(5, 4)
    for name in ("a1", "a2", "a3", "a4"):
        crowd.enter(name, A)
    crowd.enter("b1", B)
    assert crowd.enter("c1", "10.0.0.3") == "a1"
    assert len(crowd) == 5


@pytest.mark.parametrize("addresses", [10, 3_000])
def test_who_comes_costs_the_same_among_thousands_of_addresses(addresses: int) -> None:
    crowd: Crowd[int] = Crowd(addresses, 3)
    for number in range(addresses):
        crowd.enter(number, f"10.{number >> 8}.{number & 255}.1")
    assert crowd.enter(-1, B) in range(addresses)
    assert executed(lambda: crowd.enter(-2, A)) < 3_000


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.sampled_from(["enter", "busy", "waiting", "leave"])), max_size=200
    )
)
def test_never_over_its_bounds(steps: list[tuple[int, str]]):
    crowd: Crowd[int] = Crowd(6, 3)
    inside: dict[int, str] = {}
    for who, what in steps:
        if what == "enter":
            if who in inside:
                continue
            host = f"10.0.0.{who % 4}"
            out = crowd.enter(who, host)
            if out != who:
                inside[who] = host
                inside.pop(out, None)
        else:
            getattr(crowd, what)(who)
            if what == "leave":
                inside.pop(who, None)
        assert len(crowd) == len(inside) <= 6
        assert all(list(inside.values()).count(host) <= 3 for host in inside.values())


def test_what_counts_as_one_address():
    assert sender("::ffff:10.0.0.1") == sender("10.0.0.1") == "10.0.0.1"
    assert sender("2001:db8::1") == sender("2001:db8::ffff:1") != sender("2001:db8:0:1::1")
    assert sender("fe80::1%eth0") == sender("fe80::2")
    assert sender("unknown") == "unknown"


@pytest.mark.parametrize(("limit", "admin"), [(64, 16), (1024, 232), (4096, 256), (1 << 20, 256)])
def test_no_port_takes_what_the_other_needs(limit: int, admin: int):
    found = shares(limit, 256)
    assert found.admin == admin
    assert limit < 1024 or found.admin + found.xds + found.entering == limit - KEPT


def test_the_soft_limit_is_raised_to_the_hard_one():
    code = "from controlplane.net.descriptors import raise_limit as r; import resource as s; "
    code += "print(r(), *s.getrlimit(s.RLIMIT_NOFILE))"

    def low() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 700))

    done = subprocess.run(
        [sys.executable, "-c", code], preexec_fn=low, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["700", "700", "700"]


@pytest.mark.parametrize("limit", [700, 3000])
def test_the_places_of_descriptors_are_prepared(limit: int):
    code = f"from controlplane.net.descriptors import prepare as p; p({limit}); "
    code += "print(*[line.split()[1] for line in open('/proc/self/status') if line.startswith('FDSize')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) >= limit
