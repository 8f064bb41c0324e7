"""What metadata means: rule 2 of lanes, and the checks of addresses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.registry.metadata import (
    DEFAULT_TAG_KEYS,
    MetadataError,
    read_application,
    read_service,
    read_tag,
)
from controlplane.registry.source import RawInstance, RawService
from controlplane.registry.types import Health, Protocol

ENV = "__micro.service.env__"


def env(*tags: Any) -> dict[str, str]:
    return {ENV: json.dumps([{"desc": "label", "priority": 100, "tag": tag} for tag in tags])}


@pytest.mark.parametrize(
    ("metadata", "tag"),
    [
        ({}, None),
        ({"version": "gray"}, None),
        ({"alicloud.service.tag": "gray"}, "gray"),
        ({"opensergo.io/canary-gray": "gray"}, "gray"),
        ({"opensergo.io/canary": ""}, None),
        ({"lane": "Gray.1_b-2"}, "Gray.1_b-2"),
        ({"lane": "g" * 63}, "g" * 63),
        (env("gray"), "gray"),
        (env("gray", "gray"), "gray"),
    ],
)
def test_a_tag_that_can_be_read(metadata: dict[str, str], tag: str | None) -> None:
    assert read_tag(metadata) == (tag, "")


@pytest.mark.parametrize(
    "metadata",
    [
        {"lane": ""},
        {"lane": " gray"},
        {"lane": "gray\n"},
        {"lane": "-gray"},
        {"lane": "grün"},
        {"lane": "g" * 64},
        {"alicloud.service.tag": "gray", "lane": ""},
        {"opensergo.io/canary-gray": "blue"},
        {"opensergo.io/canary-gray": ""},
        {"opensergo.io/canary-": ""},
        {"opensergo.io/canary": "gray"},
        {ENV: ""},
        {ENV: "[{"},
        {ENV: "[]"},
        {ENV: "{}"},
        {ENV: "[1]"},
        {ENV: '[{"name": "gray"}]'},
        {ENV: '[{"tag": 1}]'},
        {ENV: "[" * 100_000},
        {ENV: "9" * 10_000},
    ],
)
def test_a_tag_that_cannot_be_read_is_never_base(metadata: dict[str, str]) -> None:
    with pytest.raises(MetadataError):
        read_tag(metadata)


def test_the_first_of_two_tags_is_used_with_a_warning() -> None:
    tag, warning = read_tag({"lane": "blue", "alicloud.service.tag": "gray"})
    assert tag == "gray"
    assert warning == "the tag gray of alicloud.service.tag is used, although lane is blue"
    assert read_tag({"opensergo.io/canary": "", "lane": "gray"}) == ("gray", "")
    assert read_tag(env("gray", "blue"))[0] == "gray"


def test_keys_are_configurable() -> None:
    keys = ("stage", "release-<tag>")
    assert read_tag({"stage": "green", "lane": "gray"}, keys) == ("green", "")
    assert read_tag({"release-v2": "v2"}, keys) == ("v2", "")
    assert read_tag({"release": ""}, keys) == (None, "")


@given(st.dictionaries(st.sampled_from([*DEFAULT_TAG_KEYS[2:], "opensergo.io/canary"]), st.text()))
def test_any_metadata_is_understood_or_refused(metadata: dict[str, str]) -> None:
    try:
        tag, _ = read_tag(metadata)
    except MetadataError:
        return
    assert tag is not None or not (metadata.keys() - {"opensergo.io/canary"})


def test_the_application() -> None:
    assert read_application({"msePilotCreateAppName": "a", "app": "b"}, "sc") == "a"
    assert read_application({"msePilotCreateAppName": "", "app": "b"}, "sc") == "b"
    assert read_application({}, "sc") == "sc"


def test_instances_are_taken_or_refused_one_by_one() -> None:
    raw = (
        RawInstance("10.0.0.2", 80, metadata={"lane": "gray"}),
        RawInstance("10.0.0.1", 80, healthy=False, protocol="grpc"),
        RawInstance("0:0::1", 80, metadata={"protocol": "dubbo"}),
        RawInstance("host", 80),
        RawInstance("10.0.0.1", 0),
        RawInstance("10.0.0.1", 65536),
        RawInstance("0.0.0.0", 80),
        RawInstance("fe80::1%eth0", 80),
        RawInstance("010.0.0.1", 80),
        RawInstance("10.0.0.3", 80, weight=float("nan")),
        RawInstance("10.0.0.3", 80, weight=-1),
        RawInstance("10.0.0.3", 80, metadata={"lane": ""}),
        RawInstance("10.0.0.4", 80, weight=0),
        RawInstance("10.0.0.5", 80, enabled=False),
        RawInstance("10.0.0.2", 80, metadata={"lane": "gray"}),
        RawInstance("10.0.0.6", 80),
        RawInstance("10.0.0.6", 80, metadata={"lane": "gray"}),
    )
    reading = read_service(RawService("sc", raw, protocol="http1"))
    assert [(i.address, i.tag, i.health) for i in reading.instances] == [
        ("10.0.0.1", None, Health.UNHEALTHY),
        ("10.0.0.2", "gray", Health.HEALTHY),
        ("::1", None, Health.HEALTHY),
    ]
    assert reading.instances[0].protocol is Protocol.GRPC
    assert reading.protocol is Protocol.HTTP1
    assert len(reading.refused) == 11
    assert all(r.reason for r in reading.refused)
    assert any("different tags: base, gray" in r.reason for r in reading.refused)
    assert reading.warnings == (
        "[::1]:80: the protocol 'dubbo' is not known; use http1, http2 (or h2c), grpc or tcp",
    )


@given(
    st.permutations([RawInstance("10.0.0.1", p, metadata={"lane": "a"} if p % 2 else {}) for p in range(8)])
)
def test_the_order_of_a_registry_changes_nothing(instances: list[RawInstance]) -> None:
    ordered = sorted(instances, key=lambda i: i.port)
    assert read_service(RawService("s", tuple(instances))) == read_service(RawService("s", tuple(ordered)))


def test_metadata_that_is_no_text_is_refused() -> None:
    """JSON can spell half a surrogate pair; encoding one fails wherever a proxy would be told of it."""
    for metadata in ({"app": "\ud800"}, {"note": "a\udfff"}, {"\ud800": "x"}):
        raw = (RawInstance("10.0.0.1", 80, metadata=metadata), RawInstance("10.0.0.2", 80))
        reading = read_service(RawService("sc-A", raw))
        assert [i.address for i in reading.instances] == ["10.0.0.2"]
        assert [(r.address, "no text" in r.reason) for r in reading.refused] == [("10.0.0.1", True)]
