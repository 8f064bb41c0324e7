"""The order of a change over all proxies: sidecars first when a lane begins, edges first when it ends."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controlplane.plan.lanes import LaneMeaning
from controlplane.plan.rollout import Deployed, ending, first_step, second_step, stops_lanes

NAMES = ("gray", "red", "sale")


def lane(name: str = "gray", tag: str = "gray", applications: str = "ab", **more: object) -> LaneMeaning:
    return LaneMeaning(name, "flow", tag, frozenset(applications), **more)  # type: ignore[arg-type]


def lanes(*meanings: LaneMeaning) -> dict[str, LaneMeaning]:
    return {meaning.name: meaning for meaning in meanings}


def served(*meanings: LaneMeaning) -> Deployed:
    """Every proxy knows these lanes, edges choose them."""
    return Deployed(lanes(*meanings), frozenset(lanes(*meanings)))


def test_a_new_lane_is_known_before_it_is_chosen() -> None:
    wanted = lanes(lane())
    first = first_step(Deployed(), wanted, ())
    assert first == Deployed(wanted, frozenset())
    assert second_step(first, wanted) == served(lane())


def test_a_lane_that_ends_is_chosen_no_more_and_still_routed_until_it_has_drained() -> None:
    before = served(lane(), lane("red"))
    first = first_step(before, lanes(lane("red")), ())
    assert first == Deployed(before.known, frozenset({"red"}))
    assert stops_lanes(before, first)
    assert ending(first, lanes(lane("red"))) == {"gray"}
    assert first_step(first, lanes(lane("red")), {"gray"}) == served(lane("red"))


def test_a_lane_with_another_tag_drains_before_its_colour_means_the_new_one() -> None:
    before, wanted = served(lane()), lanes(lane(tag="gray-2"))
    first = first_step(before, wanted, ())
    assert first == Deployed(before.known, frozenset())
    assert second_step(first, wanted) == first
    drained = first_step(first, wanted, {"gray"})
    assert drained == Deployed(wanted, frozenset())
    assert second_step(drained, wanted) == served(lane(tag="gray-2"))


def test_what_does_not_change_the_way_of_a_request_needs_no_drain() -> None:
    strict = lane(strict=frozenset("a"))
    first = first_step(served(lane()), lanes(strict), ())
    assert first == served(strict)
    assert not stops_lanes(served(lane()), first)


def test_a_lane_that_is_switched_on_again_while_it_drains_is_chosen_at_once() -> None:
    draining = Deployed(lanes(lane()), frozenset())
    first = first_step(draining, lanes(lane()), ())
    assert second_step(first, lanes(lane())) == served(lane())
    assert not ending(first, lanes(lane()))


meanings = st.builds(
    lane,
    st.sampled_from(NAMES),
    st.sampled_from(("one", "two")),
    st.sampled_from(("a", "ab")),
    inherit_tag=st.booleans(),
    by_trace=st.booleans(),
)
wanted_lanes = st.lists(meanings, max_size=3, unique_by=lambda x: x.name).map(lambda found: lanes(*found))
#: What is wanted next, and which of the lanes that end have drained before it comes.
histories = st.lists(st.tuples(wanted_lanes, st.sets(st.sampled_from(NAMES)), st.booleans()), max_size=8)


@given(histories)
def test_no_edge_chooses_what_sidecars_route_in_another_way(
    history: list[tuple[dict[str, LaneMeaning], set[str], bool]],
) -> None:
    """`answered` is whether the sidecars' answers came before the next change did."""
    deployed = Deployed()
    for wanted, ready, answered in history:
        drained = ready & ending(deployed, wanted) - deployed.coloured
        first = first_step(deployed, wanted, drained)
        # No lane that is chosen now begins with a step that sidecars have not acknowledged.
        assert first.coloured <= deployed.coloured
        assert all(first.known[name].same_route(deployed.known[name]) for name in first.coloured)
        # Whoever carries a colour finds its lane, unless the lane has drained.
        for name, meaning in deployed.known.items():
            assert name in drained or first.known[name].same_route(meaning)
        deployed = first
        if answered:
            deployed = second_step(first, wanted)
            assert deployed.known == first.known
            assert all(deployed.known[n].same_route(wanted[n]) for n in deployed.coloured)


@given(histories, wanted_lanes)
def test_after_the_drain_what_is_deployed_is_what_is_wanted(
    history: list[tuple[dict[str, LaneMeaning], set[str], bool]], last: dict[str, LaneMeaning]
) -> None:
    deployed = Deployed()
    for wanted, _, answered in history:
        deployed = first_step(deployed, wanted, ())
        deployed = second_step(deployed, wanted) if answered else deployed
    deployed = second_step(first_step(deployed, last, ()), last)
    deployed = first_step(deployed, last, ending(deployed, last))
    assert second_step(deployed, last) == served(*last.values())
    assert not ending(deployed, last)
