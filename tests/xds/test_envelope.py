"""The envelopes of requests are wire compatible with Envoy's messages."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import given
from hypothesis import strategies as st

from controlplane.xds import messages

PAIRS = [
    (messages.OpaqueDeltaRequest, messages.DeltaRequest),
    (messages.OpaqueSotwRequest, messages.SotwRequest),
]
NAMES = st.lists(st.text(max_size=5), max_size=4)
TEXT = st.text(max_size=5)


def check(own: Any, upstream: Any) -> None:
    """Fields have the same number, name and label; embedded messages may be bytes."""
    for field in own.fields:
        other = upstream.fields_by_name[field.name]
        assert field.number == other.number
        assert field.is_repeated == other.is_repeated
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            check(field.message_type, other.message_type)
        elif other.type == FieldDescriptor.TYPE_MESSAGE:
            assert field.type == FieldDescriptor.TYPE_BYTES
        else:
            assert field.type == other.type


@pytest.mark.parametrize(("own", "upstream"), PAIRS)
def test_fields_are_those_of_envoy(own: Any, upstream: Any) -> None:
    check(own.DESCRIPTOR, upstream.DESCRIPTOR)


@given(st.text(min_size=1, max_size=5), TEXT, NAMES, NAMES, st.dictionaries(TEXT, TEXT, max_size=4), TEXT)
def test_a_delta_request_is_the_same_after_it_was_read_and_written(
    node: str, nonce: str, more: list[str], less: list[str], versions: dict[str, str], error: str
) -> None:
    sent = messages.DeltaRequest(
        type_url="t",
        response_nonce=nonce,
        resource_names_subscribe=more,
        resource_names_unsubscribe=less,
        initial_resource_versions=versions,
    )
    sent.node.id = node
    sent.node.metadata["key"] = node
    if error:
        sent.error_detail.message = error
        sent.error_detail.details.add().value = b"left out of the envelope"
    read = messages.OpaqueDeltaRequest.FromString(sent.SerializeToString())
    assert messages.NodeMessage.FromString(read.node) == sent.node
    assert list(read.resource_names_subscribe) == more
    assert read.HasField("error_detail") is bool(error)
    assert messages.DeltaRequest.FromString(read.SerializeToString()) == sent


@given(st.text(min_size=1, max_size=5), TEXT, NAMES, TEXT, st.lists(NAMES, max_size=2))
def test_a_request_of_the_state_of_the_world_is_the_same_after_it_was_read_and_written(
    node: str, nonce: str, names: list[str], error: str, locators: list[list[str]]
) -> None:
    sent = messages.SotwRequest(type_url="t", version_info=nonce, response_nonce=nonce, resource_names=names)
    sent.node.id = node
    for locator in locators:
        sent.resource_locators.add(name="".join(locator))
    if error:
        sent.error_detail.message = error
    read = messages.OpaqueSotwRequest.FromString(sent.SerializeToString())
    assert messages.NodeMessage.FromString(read.node) == sent.node
    assert list(read.resource_names) == names
    assert messages.SotwRequest.FromString(read.SerializeToString()) == sent
