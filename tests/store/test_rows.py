"""Whatever changes led to them: definitions that were stored are read back, and as they were."""

from __future__ import annotations

import contextlib
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.model.definitions import Definitions, Key, key_of
from controlplane.model.documents import Gateway, Lane, LaneGroup, Listener, Ratio, Route
from controlplane.model.problems import DefinitionError
from controlplane.store.interface import Stored
from controlplane.store.nacos.items import parsed as items_of
from controlplane.store.rows import definitions_of, rows_of, slots_rows_of
from controlplane.store.snapshots import decode, encode

ROUTES = ("a", "b", "c")
GATEWAYS = ("east", "west")
GROUPS = {"one": "east", "two": "east", "three": "west"}
START = Definitions().change(
    [
        *((Gateway(name=name, listeners=(Listener(port=80),)), None) for name in GATEWAYS),
        *((Route(gateway=g, name=r, service="s"), None) for g in GATEWAYS for r in ROUTES),
        *((LaneGroup(name=name, gateway=g, applications=("x",)), None) for name, g in GROUPS.items()),
    ]
)

percents = st.one_of(st.integers(0, 100), st.sampled_from([0.01, 33.33, 99.99]))
lanes = st.builds(
    lambda name, group, enabled, percent, routes, own, until: Lane(
        group=group,
        name=f"{group}-{name}",
        tag=name,
        enabled=enabled,
        until=until,
        routes=tuple(sorted(routes)) if routes else None,
        ratio=Ratio(percent=percent, routes={r: p for r, p in own.items() if not routes or r in routes}),
    ),
    st.sampled_from("uvw"),
    st.sampled_from(sorted(GROUPS)),
    st.booleans(),
    percents,
    st.sets(st.sampled_from(ROUTES)),
    st.dictionaries(st.sampled_from(ROUTES), percents, max_size=2),
    st.sampled_from([None, None, "1970-01-01T00:00:05Z", "1970-01-01T00:00:15Z"]),
)
deletions = st.builds(lambda lane: Key("Lane", lane.group, lane.name), lanes)
other_routes = st.builds(lambda g: Key("Route", g, "c"), st.sampled_from(GATEWAYS))
new_routes = st.builds(lambda g: Route(gateway=g, name="c", service="s"), st.sampled_from(GATEWAYS))


@given(st.lists(st.one_of(lanes, lanes, lanes, deletions, other_routes, new_routes), max_size=25))
@settings(deadline=None, max_examples=150)
def test_what_was_stored_is_read_back(changes: list[Lane | Route | Key]) -> None:
    now = START
    for second, change in enumerate(changes):  # some lanes are over after 5 s, some after 15 s
        now = now.judged_at(second)
        with contextlib.suppress(DefinitionError):  # over 100 %, or absent
            now = now.change([], [change]) if isinstance(change, Key) else now.put(change)
    assert definitions_of(rows_of(now), slots_rows_of(now)) == now
    assert decode(encode(Stored(now, 7), "a store", 1.5)) == (Stored(now, 7), 1.5)
    items = [items_of(now, key_of(document)) for document in now.documents()]
    assert Definitions(at=math.inf).change(items) == now  # as it is read from Nacos


def test_a_stored_percentage_with_a_fraction_means_what_it_meant() -> None:
    """Older versions took 29.5 and rounded it up."""
    whole = Lane.model_validate(
        {
            "group": "one",
            "name": "users",
            "tag": "u",
            "rule": {
                "conditions": [{"source": "cookie", "name": "id", "operator": "percentage", "value": 30}]
            },
        }
    )
    now = START.put(whole)
    older = [
        (kind, parent, name, body.replace(":30}", ":29.5}")) for kind, parent, name, body in rows_of(now)
    ]
    assert older != rows_of(now)
    assert definitions_of(older, slots_rows_of(now)) == now
