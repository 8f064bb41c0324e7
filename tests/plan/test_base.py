"""What base means, and the order in which proxies go from one meaning to another."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controlplane.plan.base import Base, BaseSet, base_set, names_base
from controlplane.plan.lanes import LaneMeaning
from controlplane.plan.rollout import Deployed, base_chosen, base_known, base_taken
from controlplane.plan.services import plan_service
from controlplane.registry.types import Health, Instance, Service

NOTHING = Base.of({}, [])
GRAY = Base.of({"a": "gray", "b": "gray"}, ["gray"])
BOTH = Base.of({"a": "gray", "b": "gray", "c": "red"}, ["gray", "red"])
WIDER = Base.of({"a": "gray", "b": "gray", "c": "gray"}, ["gray"])
ALL = (NOTHING, GRAY, BOTH, WIDER)


def test_a_meaning_has_a_name_that_no_lane_has() -> None:
    assert len({base.name for base in ALL}) == len(ALL)
    assert all(names_base(base.name) for base in ALL)
    assert not any(names_base(lane) for lane in ("base", "gray", "base.gray", ""))
    assert Base.of({"b": "gray", "a": "gray"}, ["gray"]).name == GRAY.name
    assert len(Base.of({"a": "x"}, [f"{number}-{'x' * 60}" for number in range(9)]).name) <= 63


def instance(number: int, tag: str | None = None, application: str = "a", **more: object) -> Instance:
    return Instance(f"10.0.0.{number}", 80, tag, application, **more)  # type: ignore[arg-type]


OLD, NEW = instance(1), instance(2, "gray")
SICK = instance(3, "gray", health=Health.UNHEALTHY)
HELD = instance(4, "gray", health=Health.UNHEALTHY, held=True)
OTHER, OTHERS_GRAY = instance(5, None, "x"), instance(6, "gray", "x")


def based(*instances: Instance, promoted: tuple[tuple[str, str], ...] = (("a", "gray"),)) -> BaseSet:
    return base_set(Service("s///s", "s", "s", instances), None, promoted)


def test_promoted_instances_are_base_and_untagged_ones_their_spare() -> None:
    assert based(OLD, NEW, promoted=()) == BaseSet((OLD,))
    assert based(OLD, NEW) == BaseSet((NEW,), (OLD,))
    assert based(OLD, SICK, NEW) == BaseSet((SICK, NEW), (OLD,))
    assert based(OLD, HELD) == BaseSet((HELD,), (OLD,))
    assert based(OLD) == BaseSet((OLD,))
    assert based(OLD, instance(2, "red")) == BaseSet((OLD,))


def test_base_fails_open_over_all_where_no_promoted_instance_is_healthy() -> None:
    assert based(OLD, SICK) == BaseSet((OLD, SICK))


def test_an_application_that_is_not_promoted_stays_as_it_is_in_a_service_of_several() -> None:
    assert based(OLD, NEW, OTHER, OTHERS_GRAY) == BaseSet((NEW, OTHER), (OLD,))


def test_a_lane_without_fallback_has_one_as_base() -> None:
    """Base traffic has clusters of its own, so the lane's `fallback: none` does not hold for it."""
    lane = LaneMeaning("gray", "flow", "gray", frozenset("a"), strict=frozenset("a"))
    service = Service("s///s", "s", "s", (OLD, NEW))
    plan = plan_service(service, None, [lane], [lane], versions=[(GRAY.name, (("a", "gray"),)), ("Base", ())])
    assert plan.versions == {GRAY.name: BaseSet((NEW,), (OLD,)), "Base": BaseSet((OLD,))}
    assert plan.base == BaseSet((OLD,))


class Mesh:
    """Proxies as the rollout leads them, and the colours of requests that may still be under way."""

    def __init__(self, base: Base) -> None:
        self.deployed = Deployed(base=base)
        self.under_way: dict[str, Base] = {"": base}  # colour -> what base meant to such requests
        self.unused: set[str] = set()

    def meaning(self, deployed: Deployed, colour: str) -> Base:
        return deployed.versions.get(colour, deployed.base) if colour else deployed.base

    def to(self, after: Deployed) -> None:
        """Proxies take `after` in any order: whatever an edge sends meanwhile has one meaning everywhere."""
        before = self.deployed
        for edge in (before, after):
            sent = self.meaning(edge, edge.colour)
            self.under_way[edge.colour] = sent
        for sidecar in (before, after):
            for colour, sent in self.under_way.items():
                assert self.meaning(sidecar, colour) == sent, (colour, before, after)
        self.deployed = after
        self.unused = self.under_way.keys() - {after.colour}

    def converge(self, wanted: Base, drained: bool) -> None:
        """As the shell does; `drained`: requests of colours that edges do not use have ended before."""
        gone = set(self.unused) if drained else set[str]()
        for colour in gone:
            self.under_way.pop(colour, None)
        if gone or base_known(self.deployed, wanted, ()) is not self.deployed:
            self.to(base_known(self.deployed, wanted, gone))
        self.to(base_chosen(self.deployed, wanted))
        if self.deployed.base != wanted and "" not in self.under_way:
            self.to(base_taken(self.deployed, wanted))
            self.to(base_chosen(self.deployed, wanted))


@given(st.sampled_from(ALL), st.lists(st.tuples(st.sampled_from(ALL), st.booleans()), max_size=10))
def test_a_request_of_an_edge_meets_one_meaning_of_base(
    first: Base, history: list[tuple[Base, bool]]
) -> None:
    mesh = Mesh(first)
    for wanted, drained in history:
        mesh.converge(wanted, drained)
        sent = mesh.deployed.versions.get(mesh.deployed.colour, mesh.deployed.base)
        assert sent == wanted, "new requests have the wanted meaning at once"
    last = history[-1][0] if history else first
    for _ in range(3):
        mesh.converge(last, drained=True)
    assert mesh.deployed == Deployed(base=last)
