"""Definitions, revisions and the index as the items that Nacos holds: nothing is lost on the way."""

from __future__ import annotations

import base64
import json
import random
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.model.definitions import Definitions, Key, key_of
from controlplane.model.documents import (
    Application,
    Gateway,
    Lane,
    LaneGroup,
    Listener,
    Ratio,
    Route,
    Rule,
)
from controlplane.model.export import export
from controlplane.model.parsing import parse_document
from controlplane.model.problems import DefinitionError
from controlplane.store.history import changes_between, diff_of
from controlplane.store.interface import Revision
from controlplane.store.nacos import items
from controlplane.store.nacos.items import Index, Unreadable

BASE = Definitions().change(
    [
        (Gateway(name="edge", listeners=(Listener(port=80),)), None),
        (Gateway(name="other", listeners=(Listener(port=81),)), None),
        (Route(gateway="edge", name="a", service="sc-A"), None),
        (Route(gateway="edge", name="b", service="sc-B"), None),
        (Route(gateway="other", name="a", service="sc-A"), None),
        (LaneGroup(name="g", gateway="edge", applications=("x",)), None),
        (LaneGroup(name="h", gateway="other", applications=("x",)), None),
        (LaneGroup(name="content", gateway="edge", applications=("x",)), None),
    ]
)


def revision(number: int, old: Definitions, new: Definitions, note: str = "") -> Revision:
    changes = changes_between(old, new)
    return Revision(number, 1795501583.25, "ann", note, changes, diff_of(changes))


def read_back(index: Index, stored: dict[str, str]) -> Definitions:
    """What a reader makes of the items."""
    parsed = []
    for key, id in index.documents.items():
        name = items.document_item(key, id)
        items.check(name, stored[name])
        parsed.append(items.decode_document(key, stored[name]))
    return Definitions().change(parsed)


@st.composite
def lanes(draw: st.DrawFn) -> list[tuple[Lane | None, str]]:
    """Lanes that are put, or taken away by name, one after another."""
    made: list[tuple[Lane | None, str]] = []
    for _ in range(draw(st.integers(1, 12))):
        name = draw(st.sampled_from(["one", "two", "three"]))
        if draw(st.integers(0, 3)) == 0:
            made.append((None, name))
            continue
        group = {"one": "g", "two": "g", "three": "h"}[name]
        percent = draw(st.integers(0, 10_000)) / 100
        routes = draw(st.sampled_from([None, ("a",)]))
        made.append(
            (
                Lane(
                    group=group,
                    name=name,
                    tag=name,
                    enabled=draw(st.booleans()),
                    routes=routes,
                    ratio=Ratio(percent=percent),
                ),
                name,
            )
        )
    return made


@given(lanes())
@settings(max_examples=60, deadline=None)
def test_what_is_read_back_is_equal_slots_included(changes: list[tuple[Lane | None, str]]) -> None:
    definitions, index = BASE, Index()
    everything: dict[str, str] = {}
    first = items.attempt(index, BASE, [revision(1, Definitions(), BASE)], "00")
    everything |= first.items
    index = first.index
    for lane, name in changes:
        try:
            now = definitions.put(lane) if lane is not None else definitions.delete("Lane", name)
        except DefinitionError:
            continue
        if now == definitions:
            continue
        made = revision(index.revision + 1, definitions, now)
        attempt = items.attempt(index, now, [made], "00")
        assert not attempt.items.keys() & everything.keys()
        everything |= attempt.items
        for item in attempt.garbage:
            del everything[item]
        definitions, index = now, items.decode_index(attempt.text)
        assert items.decode_revision(everything[items.revision_item(attempt.id)]) == made
    assert everything.keys() == index.items() - {items.INDEX}
    found = read_back(index, everything)
    assert found == definitions
    assert export(found) == export(definitions)


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40),
    st.sampled_from(
        ["", "true", "12", "1.5", "~", "a: b", "- x", " lead", "two\nlines\n", "\ttab", "😀 漢字"]
    ),
)
def test_texts_of_every_kind_come_back(author: str, note: str) -> None:
    condition = {"source": "header", "name": "canary", "operator": "==", "value": author or "x"}
    document = {"kind": "Lane", "group": "content", "name": "gray", "tag": "gray"}
    lane = parse_document(document | {"rule": {"conditions": [condition]}}).document
    now = BASE.put(lane)
    changes = changes_between(BASE, now)
    made = Revision(7, 0.125, author, note, changes, diff_of(changes))
    attempt = items.attempt(Index(6, {}, ("6-0123456789abcdef",)), now, [made], "00")
    assert items.decode_revision(attempt.items[items.revision_item(attempt.id)]) == made
    key = key_of(lane)
    text = attempt.items[items.document_item(key, attempt.index.documents[key])]
    assert items.decode_document(key, text).document == lane
    assert items.decode_index(attempt.text) == attempt.index
    assert attempt.text.isascii()
    # A MySQL with its old utf8 would cut a text at the first character beyond the basic plane.
    assert max(max(text) for text in attempt.items.values()) <= "\uffff"


def test_an_item_can_be_read_by_people() -> None:
    lane = Lane(group="g", name="one", tag="one", ratio=Ratio(percent=10))
    now = BASE.put(lane)
    attempt = items.attempt(Index(), now, [revision(1, BASE, now, "try it")], "a1b2c3d4")
    assert {name.rpartition(":")[0] for name in attempt.items} == {"Lane:g:one", "revision"}
    document = next(text for name, text in attempt.items.items() if name.startswith("Lane"))
    assert document.splitlines()[:5] == [
        "# Written by Laneway, revision 1 (a1b2c3d4). Change it with Laneway, not here.",
        "kind: Lane",
        "group: g",
        "name: one",
        "tag: one",
    ]
    said = attempt.items[items.revision_item(attempt.id)]
    assert "author: ann\nnote: try it\n" in said
    assert "- created Lane/one\n" in said
    assert "  +name: one\n" in said


def test_two_attempts_never_write_the_same_item() -> None:
    now = BASE.put(Application(name="x"))
    made = revision(1, BASE, now)
    one, other = (items.attempt(Index(), now, [made], name) for name in ("01", "02"))
    assert not one.items.keys() & other.items.keys()
    assert one.text != other.text


def test_only_what_a_change_touches_is_written() -> None:
    start = items.attempt(Index(), BASE, [revision(1, Definitions(), BASE)], "00").index
    now = BASE.put(Application(name="x"))
    put = items.attempt(start, now, [revision(2, BASE, now)], "00")
    assert {name.partition(":")[0] for name in put.items} == {"Application", "revision"}
    assert not put.garbage
    again = now.put(Application(name="x", services=("s",)))
    changed = items.attempt(put.index, again, [revision(3, now, again)], "00")
    assert [name.rpartition(":")[0] for name in changed.garbage] == ["Application:x"]
    gone = again.delete("Application", "x")
    deleted = items.attempt(changed.index, gone, [revision(4, again, gone)], "00")
    assert deleted.index.documents == start.documents
    assert [name.rpartition(":")[0] for name in deleted.garbage] == ["Application:x"]


def test_several_changes_at_once_write_the_last_state_and_every_revision() -> None:
    one = BASE.put(Application(name="x", services=("1",)))
    two = one.put(Application(name="x", services=("2",))).put(Application(name="y"))
    three = two.delete("Application", "y")
    made = [revision(5, BASE, one), revision(6, one, two), revision(7, two, three)]
    attempt = items.attempt(Index(4, {}, ("4-0123456789abcdef",)), three, made, "00")
    assert [items.number_of(id) for id in attempt.index.revisions] == [4, 5, 6, 7]
    assert list(attempt.index.documents) == [Key("Application", "", "x")]
    assert len(attempt.items) == 4
    assert [
        items.decode_revision(attempt.items[items.revision_item(id)]) for id in attempt.index.revisions[1:]
    ] == made


def test_revisions_are_bounded() -> None:
    index = Index(0)
    dropped: set[str] = set()
    for number in range(1, items.REVISIONS_KEPT + 11):
        made = Revision(number, 0.5, "", "", (), "")
        attempt = items.attempt(index, Definitions(), [made], str(number))
        index = attempt.index
        dropped |= attempt.garbage
    assert [items.number_of(id) for id in index.revisions] == list(range(11, items.REVISIONS_KEPT + 11))
    assert len(dropped) == 10


def test_what_an_item_cannot_hold_is_refused_by_name() -> None:
    noise = random.Random(1)

    def big(name: str, size: int) -> Application:
        letters = ("".join(noise.choices(string.ascii_letters, k=500)) for _ in range(size // 500))
        return Application(name=name, services=tuple(letters))

    now = BASE.put(big("x", items.SIZE_LIMIT))
    with pytest.raises(
        DefinitionError, match="Application/x is larger than an item in Nacos may be"
    ) as refused:
        items.attempt(Index(), now, [revision(1, BASE, now)], "00")
    assert refused.value.status == 413
    # Each fits, but not what would undo both: the revision stays as a text.
    half = BASE.put(big("x", items.SIZE_LIMIT * 3 // 4)).put(big("y", items.SIZE_LIMIT * 3 // 4))
    made = revision(1, BASE, half)
    attempt = items.attempt(Index(), half, [made], "00")
    found = items.decode_revision(attempt.items[items.revision_item(attempt.id)])
    assert (found.changes, found.diff) == ((), made.diff)


def test_an_item_that_was_changed_is_noticed() -> None:
    now = BASE.put(Application(name="x"))
    for name, text in items.attempt(Index(), now, [revision(1, BASE, now)], "00").items.items():
        items.check(name, text)
        with pytest.raises(Unreadable, match=f"{name} was changed by another program than Laneway"):
            items.check(name, text.replace("x", "z"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "another version of Laneway"),
        ({"revision": 9}, "does not name the item of that revision"),
        ({"revision": "1"}, "an id that is not valid"),
        ({"revisions": []}, "does not name the item of that revision"),
        ({"revisions": ["1-xyz"]}, "an id that is not valid"),
        ({"revisions": 3}, "cannot be read"),
        ({"definitions": {"Lane:gray": "1-0123456789abcdef"}}, "not the name of a definition"),
        ({"definitions": {"Gateway:a:b": "1-0123456789abcdef"}}, "not the name of a definition"),
        ({"definitions": {"Thing:a": "1-0123456789abcdef"}}, "not the name of a definition"),
        ({"definitions": {"Gateway:a": "../index"}}, "an id that is not valid"),
        ({"definitions": {"Gateway:a": None}}, "an id that is not valid"),
        ({"definitions": []}, "cannot be read"),
    ],
)
def test_an_index_that_laneway_did_not_write_is_told(change: dict[str, object], said: str) -> None:
    good = {"format": 1, "revision": 1, "definitions": {}, "revisions": ["1-0123456789abcdef"]}
    assert items.decode_index(json.dumps(good)).revision == 1
    with pytest.raises(Unreadable, match=said):
        items.decode_index(json.dumps(good | change))


def test_an_index_that_was_edited_is_told() -> None:
    """Else half of the definitions would be taken for all of them."""
    now = BASE.put(Application(name="x"))
    text = items.attempt(Index(), now, [revision(1, Definitions(), now)], "00").text
    value = json.loads(text)
    del value["definitions"]["Application:x"]
    with pytest.raises(
        Unreadable, match="the index of revision 1 was changed by another program than Laneway"
    ):
        items.decode_index(json.dumps(value))
    del value["check"]  # earlier versions wrote none
    assert items.decode_index(json.dumps(value)).revision == 1


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, '{"format": 1}'])
def test_an_index_that_is_no_index_is_told(text: str) -> None:
    with pytest.raises(Unreadable):
        items.decode_index(text)


@pytest.mark.parametrize(
    "text", ["", "a", "---\n---\n", "kind: Lane", "kind: Application\nname: y", "&a [*a]", "\0"]
)
def test_a_definition_that_laneway_did_not_write_is_told(text: str) -> None:
    with pytest.raises(Unreadable):
        items.decode_document(Key("Application", "", "x"), text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "revision: 1",
        "revision: 1\nat: 1.0\nauthor: a\nnote: b\ndiff: c\nchanges: '***'",
        f"revision: 1\nat: 1.0\nauthor: a\nnote: b\ndiff: c\nchanges: {base64.b64encode(b'x').decode()}",
    ],
)
def test_a_revision_that_laneway_did_not_write_is_told(text: str) -> None:
    with pytest.raises(Unreadable):
        items.decode_revision(text)


def test_who_prevailed_is_told_by_the_index() -> None:
    now = BASE.put(Application(name="x"))
    base = items.attempt(Index(), BASE, [revision(1, Definitions(), BASE)], "00").index
    ours = items.attempt(base, now, [revision(2, BASE, now)], "01")
    theirs = items.attempt(base, now, [revision(2, BASE, now)], "02")
    later = items.attempt(ours.index, BASE, [revision(3, now, BASE)], "03")
    assert items.contains(ours.text, ours)
    assert items.contains(later.text, ours)
    assert items.contains(theirs.text, ours) is False
    assert items.contains(items.encode_index(base), ours) is None
    assert items.contains("garbage", ours) is None
    long_after = Index(900, {}, tuple(f"{number}-0123456789abcdef" for number in range(701, 901)))
    assert items.contains(items.encode_index(long_after), ours) is None


def test_foreign_items_are_told_from_ours() -> None:
    assert items.is_ours("Lane:order-flow:gray:12-0123456789abcdef")
    assert items.is_ours("revision:3-0123456789abcdef")
    for foreign in ("index", "application.yaml", "Lane:x", "Lane", "my:12-0123456789abcdef", "revision:"):
        assert not items.is_ours(foreign)


def test_rules_hold_for_what_is_read() -> None:
    now = BASE.put(
        Lane(
            group="content",
            name="gray",
            tag="gray",
            rule=Rule.model_validate(
                {"conditions": [{"source": "header", "name": "canary", "operator": "==", "value": "gray"}]}
            ),
        )
    )
    attempt = items.attempt(Index(), now, [revision(1, Definitions(), now)], "00")
    without = {key: id for key, id in attempt.index.documents.items() if key.kind != "LaneGroup"}
    with pytest.raises(DefinitionError, match="is not a known lane group"):
        read_back(Index(1, without, attempt.index.revisions), dict(attempt.items))
