"""Definitions, services and nodes as they come, change and go in a mesh, for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from controlplane.model.definitions import Definitions, Key
from controlplane.model.documents import (
    Application,
    Carriers,
    Gateway,
    Lane,
    LaneGroup,
    Route,
)
from controlplane.model.upstream_fields import (
    CircuitBreaking,
    HashBy,
    HealthCheck,
    LoadBalancing,
    Timeouts,
)
from controlplane.registry.names import canonical_id
from controlplane.registry.types import Health, Instance, Protocol, Service
from controlplane.snapshot.nodes import EdgeNode, GrpcNode, SidecarNode
from controlplane.translate.sidecar import OwnService, Sidecar

GATEWAYS, GROUPS, LANES, ROUTES = ("g1", "g2"), ("q1", "q2"), ("l1", "l2", "l3"), ("r1", "r2")
APPLICATIONS, TAGS = ("a", "b", "app"), ("t1", "t2")
# Two services have one last part: a short name that means one of them means none when the other comes.
IDS = tuple(
    canonical_id(*parts) for parts in (("file", "", "", "a"), ("n", "x", "g", "b"), ("n", "y", "g", "b"))
)
NAMES = ("a", "b", "g/b", "x/g/b", "n/y/g/b", "c")
ADDRESSES = (("10.0.0.1", 80), ("10.0.0.1", 81), ("10.0.0.2", 80))
HOSTS = ("a", "a:80", "b", "n/x/g/b", "x.test", *(f"{address}:{port}" for address, port in ADDRESSES))

few = st.sampled_from
tags = few((None, *TAGS))
instances = st.builds(
    lambda place, **rest: Instance(*place, **rest),
    place=few(ADDRESSES),
    tag=tags,
    application=few(("", *APPLICATIONS)),
    weight=few((1.0, 2.5)),
    health=few(Health),
    protocol=few((Protocol.UNKNOWN, Protocol.UNKNOWN, Protocol.HTTP2)),
    held=st.booleans(),
)


def services_of(id_: str) -> st.SearchStrategy[Service]:
    return st.builds(
        lambda found, former, protocol: Service(
            id_,
            id_.partition("/")[0],
            id_.rpartition("/")[2],
            tuple(found),
            former=tuple(former),
            protocol=protocol,
        ),
        st.lists(instances, max_size=2, unique_by=lambda one: (one.address, one.port)),
        st.lists(few(ADDRESSES), max_size=1),
        few((Protocol.UNKNOWN, Protocol.UNKNOWN, Protocol.HTTP1, Protocol.TCP)),
    )


services = st.one_of(*map(services_of, IDS))
gateways = st.builds(
    lambda port, **rest: Gateway(listeners=({"port": port},), **rest),
    name=few(GATEWAYS),
    port=few((8080, 8081)),
    trust_client_lane=st.booleans(),
    carriers=few((Carriers(), Carriers(header="X-Other", baggage="other"))),
)
routes = st.builds(
    lambda path, hosts, **rest: Route(match={"hosts": hosts, "path": {"prefix": path}}, **rest),
    gateway=few(GATEWAYS),
    name=few(ROUTES),
    path=few(("/", "/p")),
    hosts=few(((), ("a.test",))),
    service=few(NAMES),
)
applications = st.builds(
    Application,
    name=few(APPLICATIONS),
    services=st.lists(few(NAMES), max_size=2, unique=True),
    health_check=few((None, HealthCheck(path="/up"), HealthCheck(tcp=True))),
    timeouts=few((None, None, Timeouts(request="2s"), Timeouts(idle="9s"))),
    load_balancing=few((None, LoadBalancing(policy="maglev", hash_by=HashBy(header="x-user")))),
    circuit_breaking=few((None, CircuitBreaking(requests=9))),
    keep_alive=few(("500ms", "500ms", "30s", "0s")),
)
groups = st.builds(
    LaneGroup,
    name=few(GROUPS),
    gateway=few(GATEWAYS),
    applications=st.lists(few(APPLICATIONS), min_size=1, max_size=3, unique=True),
    inherit_tag=st.booleans(),
    colour_by_trace=st.booleans(),
)
RULE = {"conditions": [{"source": "cookie", "name": "c", "operator": "==", "value": "v"}]}
ways = few(
    (
        {"rule": RULE},
        {"rule": RULE},
        {"ratio": {"percent": 20}},
        {"ratio": {"percent": 30, "sticky": {"cookie": "c"}}},
    )
)
lanes = st.builds(
    lambda way, **rest: Lane(**way, **rest),
    way=ways,
    group=few(GROUPS),
    name=few(LANES),
    tag=few(TAGS),
    enabled=st.booleans(),
    fallback=few(("base", "none")),
    routes=few((None, None, ("r1",))),
)
documents = st.one_of(gateways, routes, applications, groups, lanes, lanes)
keys = st.one_of(
    st.builds(Key, st.just("Gateway"), st.just(""), few(GATEWAYS)),
    st.builds(Key, st.just("Route"), few(GATEWAYS), few(ROUTES)),
    st.builds(Key, st.just("Application"), st.just(""), few(APPLICATIONS)),
    st.builds(Key, st.just("LaneGroup"), st.just(""), few(GROUPS)),
    st.builds(Key, st.just("Lane"), few(GROUPS), few(LANES)),
)
places = st.builds(
    lambda address, ports, proxy: Sidecar(
        address, address, "127.0.0.1", proxy, tuple(OwnService("a", port, port + 1000) for port in ports)
    ),
    few(sorted({address for address, _ in ADDRESSES})),
    st.lists(few((80, 81)), max_size=2, unique=True),
    st.booleans(),
)
nodes = st.one_of(
    st.builds(EdgeNode, few(GATEWAYS)),
    st.builds(
        SidecarNode,
        few(APPLICATIONS),
        tags,
        places,
        st.one_of(st.none(), st.frozensets(few(NAMES), max_size=3)),
    ),
    st.builds(GrpcNode, few(APPLICATIONS), tags),
)

BEGINNING = (
    Definitions()
    .apply(
        [
            (Gateway(name="g1", listeners=({"port": 8080},)), None),
            (Gateway(name="g2", listeners=({"port": 8081},)), None),
            (Route(gateway="g1", name="r1", service="a"), None),
            (Route(gateway="g2", name="r1", service="x/g/b"), None),
            (LaneGroup(name="q1", gateway="g1", applications=("a", "app")), None),
            (LaneGroup(name="q2", gateway="g2", applications=("a", "b")), None),
            (Lane(group="q1", name="l1", tag="t1", rule=RULE), None),
            (Lane(group="q2", name="l2", tag="t2", rule=RULE), None),
        ]
    )
    .definitions
)
