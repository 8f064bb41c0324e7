"""One instance in several registries, and in a pod."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from controlplane.registry.catalog import Catalog
from controlplane.registry.metadata import Conventions, read_instance
from controlplane.registry.shared import put_together
from controlplane.registry.source import RawInstance, RawService, Sink

GRAY, BLUE = {"alicloud.service.tag": "gray"}, {"lane": "blue"}


class Quiet:
    """A source that reports what a test says."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def run(self, sink: Sink) -> None:
        await asyncio.Event().wait()


def catalog() -> Catalog:
    return Catalog([Quiet("nacos"), Quiet("kubernetes")])


def service(metadata: Mapping[str, str], address: str = "10.0.0.1", port: int = 80) -> RawService:
    return RawService("sc-a", (RawInstance(address, port, metadata=metadata),))


def told(made: Catalog, service_id: str) -> object:
    """The tag of the only instance, or why it is refused."""
    made.flush()
    found = made.services[service_id]
    return found.instances[0].tag if found.instances else found.refused[0].reason


@pytest.mark.parametrize(
    ("nacos", "kubernetes", "tag"),
    [({}, GRAY, "gray"), (GRAY, {}, "gray"), (GRAY, GRAY, "gray"), ({}, {}, None)],
)
async def test_a_tag_of_one_registration_is_that_of_both(
    nacos: dict[str, str], kubernetes: dict[str, str], tag: str | None
) -> None:
    for first in (0, 1):
        made = catalog()
        reports = [("nacos", "nacos/a", nacos), ("kubernetes", "kubernetes/a", kubernetes)]
        for source, id_, metadata in (reports[first], reports[1 - first]):
            made.sinks[source].update(id_, service(metadata))
        assert told(made, "nacos/a") == told(made, "kubernetes/a") == tag


async def test_different_tags_are_refused_in_both_until_they_agree() -> None:
    made = catalog()
    made.sinks["nacos"].update("nacos/a", service(BLUE))
    made.sinks["kubernetes"].update("kubernetes/a", service(GRAY))
    assert told(made, "nacos/a") == (
        "it has the tag blue (in nacos) and the tag gray (in kubernetes); make them equal"
    )
    assert "gray (in kubernetes)" in str(told(made, "kubernetes/a"))
    made.sinks["nacos"].update("nacos/a", service({"lane": "gray"}))
    assert told(made, "nacos/a") == told(made, "kubernetes/a") == "gray"
    made.sinks["kubernetes"].remove("kubernetes/a")
    made.sinks["nacos"].update("nacos/a", service({}))
    assert told(made, "nacos/a") is None


async def test_labels_of_a_pod_count_for_every_port_of_it() -> None:
    made = catalog()
    made.sinks["nacos"].update("nacos/a", service({}, port=8081))
    assert told(made, "nacos/a") is None
    made.sinks["kubernetes"].pod(
        "10.0.0.1", {**GRAY, "msePilotCreateAppName": "shop", "pod-template-hash": "1"}
    )
    assert told(made, "nacos/a") == "gray"
    (one,) = made.services["nacos/a"].instances
    assert one.application == "shop"
    assert "pod-template-hash" not in one.metadata
    made.sinks["kubernetes"].pod("10.0.0.1", {"lane": ""})
    assert told(made, "nacos/a") == "its pod: lane is empty; remove it for a base instance"
    made.sinks["kubernetes"].pod("10.0.0.1", None)
    assert told(made, "nacos/a") is None


async def test_another_port_or_address_is_another_instance() -> None:
    made = catalog()
    made.sinks["nacos"].update("nacos/a", service({}))
    made.sinks["kubernetes"].update("kubernetes/a", service(GRAY, port=81))
    made.sinks["kubernetes"].update("kubernetes/b", service(GRAY, address="10.0.0.2"))
    assert told(made, "nacos/a") is None


def test_a_tag_counts_against_a_value_that_means_base() -> None:
    conventions = Conventions(base_tags=frozenset({"base"}))
    one = RawInstance("10.0.0.1", 80, metadata={"lane": "base", "app": "mine"})
    whole = put_together(one, "nacos", [("its pod", {"lane": "gray", "app": "theirs"})], conventions)
    instance, _ = read_instance(whole, "sc-a", conventions)
    assert (instance.tag, instance.application) == ("gray", "mine")
