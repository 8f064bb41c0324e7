"""Losing a source: rule 11 of lanes, as decisions over time."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from controlplane.registry.hold import Connectivity, Memory, Outcome, Times, decide
from controlplane.registry.types import Health, Instance

TIMES = Times(empty_hold=300, reconnect_wait=60, former=120)


def base(port: int, healthy: bool = True) -> Instance:
    return Instance("10.0.0.1", port, health=Health.HEALTHY if healthy else Health.UNHEALTHY)


def gray(port: int) -> Instance:
    return Instance("10.0.0.1", port, tag="gray")


class Story:
    """One service through time."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.connectivity = Connectivity()
        self.live: tuple[Instance, ...] = ()
        self.taken: set[int] = set()
        self.promoted = frozenset[str]()

    def at(self, now: float, *live: Instance) -> Outcome:
        """The registry says `live` at `now`."""
        self.live = live
        return self.again(now)

    def again(self, now: float) -> Outcome:
        outcome = decide(
            self.memory,
            self.live,
            self.connectivity,
            now,
            TIMES,
            lambda address: address[1] in self.taken,
            self.promoted,
        )
        self.memory = outcome.memory
        return outcome


def shown(outcome: Outcome) -> list[str]:
    """`80` live, `80h` held, `80u` unhealthy, `80g` gray."""
    return [
        f"{i.port}{'g' if i.tag else ''}{'h' if i.held else ''}{'u' if i.health is Health.UNHEALTHY else ''}"
        for i in outcome.instances
    ]


def test_an_emptied_base_set_is_held_for_its_time() -> None:
    story = Story()
    story.at(0, base(1), base(2), gray(3))
    outcome = story.at(10)
    assert shown(outcome) == ["1h", "2h"]
    assert outcome.held
    assert outcome.former == (("10.0.0.1", 3),)
    assert shown(story.again(309)) == ["1h", "2h"]
    outcome = story.again(310)
    assert shown(outcome) == []
    assert outcome.former == (("10.0.0.1", 1), ("10.0.0.1", 2))
    assert outcome.deadline == 430
    assert story.again(430).former == ()


def test_a_base_set_that_is_all_unhealthy_is_served_as_healthy() -> None:
    story = Story()
    story.at(0, base(1), base(2))
    assert shown(story.at(1, base(1, False), base(2, False))) == ["1h", "2h"]
    assert shown(story.again(301)) == ["1u", "2u"]


def test_a_base_set_with_one_healthy_instance_is_as_the_registry_says() -> None:
    story = Story()
    story.at(0, base(1), base(2))
    assert shown(story.at(1, base(1), base(2, False))) == ["1", "2u"]
    assert shown(story.at(2, base(1))) == ["1"]


def test_a_promoted_set_is_held_as_a_base_set_of_its_own() -> None:
    story = Story()
    story.promoted = frozenset({"gray"})
    story.at(0, base(1), gray(2), gray(3))
    assert shown(story.at(10, base(1), gray(3))) == ["1", "3g"]
    assert shown(story.at(20, base(1))) == ["1", "3gh"]
    assert shown(story.at(30)) == ["1h", "3gh"]
    assert shown(story.again(319)) == ["1h", "3gh"]
    assert story.again(319).deadline == 320
    assert shown(story.again(320)) == ["1h"]
    assert shown(story.again(330)) == []
    story.at(400, base(1), gray(2))
    assert shown(story.at(401, base(1), base(2))) == ["1", "2"], "a live registration counts"


def test_a_set_that_is_promoted_no_more_is_not_held_any_more() -> None:
    story = Story()
    story.promoted = frozenset({"gray"})
    story.at(0, base(1), gray(2))
    assert shown(story.at(10, base(1))) == ["1", "2gh"]
    story.promoted = frozenset()
    assert shown(story.again(11)) == ["1"]
    story.promoted = frozenset({"gray"})
    story.at(20, base(1), gray(2))
    story.connectivity = Connectivity(unreachable_since=25)
    assert shown(story.again(25)) == ["1h", "2gh"]


def test_what_was_never_good_is_not_held() -> None:
    story = Story()
    assert shown(story.at(0, base(1, False))) == ["1u"]
    assert shown(story.at(1)) == []


def test_an_unreachable_source_keeps_what_it_said() -> None:
    story = Story()
    story.at(0, base(1), gray(2))
    story.connectivity = Connectivity(unreachable_since=5)
    outcome = story.again(5)
    assert shown(outcome) == ["1h", "2g"]
    assert outcome.deadline is None
    assert shown(story.again(3000)) == ["1h", "2g"]


def test_removals_wait_after_a_reconnect_and_additions_do_not() -> None:
    story = Story()
    story.at(0, base(1), base(2), gray(3))
    story.connectivity = Connectivity(removals_wait_until=100)
    assert shown(story.at(40)) == ["1h", "2h"]
    assert shown(story.at(41, gray(3))) == ["1h", "2h", "3g"]
    assert shown(story.at(42, base(1), base(4))) == ["1", "2h", "4"]
    outcome = story.again(99)
    assert shown(outcome) == ["1", "2h", "4"]
    assert outcome.deadline == 100
    assert shown(story.again(100)) == ["1", "4"]


def test_a_live_registration_beats_a_held_one() -> None:
    story = Story()
    story.at(0, base(1), base(2), base(3))
    story.taken = {2}
    assert shown(story.at(1, gray(1))) == ["1g", "3h"]
    story.taken = set()
    assert shown(story.again(2)) == ["1g", "3h"]


def test_a_held_set_comes_back() -> None:
    story = Story()
    story.at(0, base(1))
    story.at(10)
    assert shown(story.at(20, base(1))) == ["1"]
    assert shown(story.at(200)) == ["1h"]
    assert shown(story.again(499)) == ["1h"]
    assert shown(story.again(500)) == []


ports = st.integers(1, 5)
instances = st.builds(
    lambda port, tag, healthy: Instance(
        "10.0.0.1", port, tag=tag, health=Health.HEALTHY if healthy else Health.UNHEALTHY
    ),
    ports,
    st.sampled_from([None, None, "gray"]),
    st.booleans(),
)
steps = st.lists(
    st.tuples(
        st.floats(0, 100),
        st.lists(instances, max_size=5, unique_by=lambda i: i.port),
        st.sampled_from(["", "lost", "back"]),
        st.frozensets(ports, max_size=2),
    ),
    max_size=12,
)


@given(steps)
def test_properties_of_every_story(steps: list[tuple[float, list[Instance], str, frozenset[int]]]) -> None:
    story = Story()
    now = 0.0
    for wait, live, event, taken in steps:
        now += wait
        if event == "lost":
            story.connectivity = Connectivity(now, story.connectivity.removals_wait_until)
        elif event == "back":
            story.connectivity = Connectivity(None, now + TIMES.reconnect_wait)
        story.taken = set(taken)
        good_before = {i.port for i in story.memory.good.values()}
        outcome = story.at(now, *live)
        served = {i.port: i for i in outcome.instances}
        # What the registry says is served, but for health and the mark.
        for one in live:
            same = replace(served[one.port], held=False, health=one.health)
            assert same == one
        # Only base is held, only what was good, never what another service has; and it counts as healthy.
        for one in outcome.instances:
            if one.held:
                assert one.tag is None
                assert one.health is Health.HEALTHY
                if one.port not in {i.port for i in live}:
                    assert one.port in good_before
                    assert one.port not in taken
        assert not {port for _, port in outcome.former} & (served.keys() | taken)
        assert outcome.deadline is None or outcome.deadline > now
        # The same words at the same time give the same.
        again = story.again(now)
        assert again.instances == outcome.instances
        assert again.former == outcome.former
