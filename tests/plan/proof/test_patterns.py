"""Regular expressions are read as RE2 reads them, or not at all."""

from __future__ import annotations

import random

import pytest
import re2

from controlplane.plan.proof.affixes import AffixIndex, affixes
from controlplane.plan.proof.patterns import Unclear
from controlplane.plan.proof.words import Words, words

PATTERNS = [
    "gray", "gr[ae]y", "gr(a|e)y", "gray|grey|", "[a-c]{2,3}", "a{2}", "a{1,}b?", "(ab)*", "(?:ab)+c",
    "a*?b", "[^a-c]", "[^a]b", ".", ".*", "(?s).", r"\d+", r"\D", r"\w{1,2}", r"\W", r"\s", r"\S*",
    "[[:alpha:]]", "[[:^digit:]]x", r"[\d.]+", r"[^\d]", r"a\.b", r"\x41", r"\x{42}c", "^a$", "a$", "^",
    "$", "(^a|b)$", "a^b", "a$b", r"\Aa\z", "(?i)gray", "(?i)[a-c]x", "(?i)[^a]", "(?i:a)b", "a(?i)b|c",
    "(?P<n>a)b", "[a-]", "[]a]", "[^]a]", "[-a]", "a{,2}", "x{", "}", "]", "(?i)sk", "(a|b)*a(a|b){3}",
    "(?U)a+", "a||b", "()", r"\/", r"[\]a]", r"[\-a]", "é|ü", "[à-ü]", "(?-i)a", r"(?i)\w",
]  # fmt: skip
CHARS = [
    "a", "b", "c", "g", "r", "y", "e", "x", "A", "B", "S", "k", "1", "9", "_", ".", "-", "]", "}", "{",
    ",", "\n", " ", "é", "\u212a", "\u017f", "2", "/", "^",
]  # fmt: skip


def read(pattern: str) -> Words:
    return words((pattern,), ())


def accepts(automaton: Words, text: str) -> bool:
    part = automaton._parts[0]
    at = 0
    for char in text:
        at = part.step(at, ord(char), part.key(ord(char)))
    return part.accepts(at)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_matches_is_what_re2_matches(pattern: str) -> None:
    compiled = re2.compile(pattern)
    automaton = read(pattern)
    index = AffixIndex()
    index.add(affixes(pattern), 1)
    draw = random.Random(pattern)
    texts = ["".join(draw.choice(CHARS) for _ in range(draw.randrange(6))) for _ in range(300)]
    texts += [
        "gray",
        "grey",
        "GRAY",
        "ab",
        "abab",
        "",
        "aab",
        "a",
        "b",
        "A",
        "Bc",
        "sK",
        "aaaa",
        "baaaa",
        "a{,2}",
        "x{",
    ]
    for text in texts:
        matches = compiled.fullmatch(text) is not None
        assert accepts(automaton, text) == matches, text
        assert index.fit(text.encode()) or not matches, (text, affixes(pattern))


@pytest.mark.parametrize("pattern", [r"\pL", r"\bx", r"\C", "(?m)^a", "(?i)ß", r"\Qa\E"])
def test_what_is_not_compared_is_said(pattern: str) -> None:
    re2.compile(pattern)
    with pytest.raises(Unclear):
        read(pattern)


@pytest.mark.parametrize(
    ("wanted", "unwanted", "some"),
    [
        (("gr.*", ".*ay"), (), True),
        (("gr[ae]y",), ("gray", "grey"), False),
        (("[a-z]+",), ("[a-m].*", "[n-z].*"), False),
        (("[a-z]+",), ("[a-m].*", "[n-y].*"), True),
        (("a+", "b+"), (), False),
        (("a|b",), ("[ab]",), False),
        (("(a|b)*a(a|b){4}",), ("(a|b)*",), False),
    ],
)
def test_words_are_found_or_there_are_none(
    wanted: tuple[str, ...], unwanted: tuple[str, ...], some: bool
) -> None:
    word = words(wanted, unwanted).find(lambda _: True)
    assert (word is not None) == some
    if word is not None:
        assert all(re2.compile(one).fullmatch(word) for one in wanted)
        assert not any(re2.compile(one).fullmatch(word) for one in unwanted)


def test_too_many_states_are_undecided() -> None:
    with pytest.raises(Unclear, match="states"):
        words(("(a|b)*a(a|b){14}",), ("(a|b)*b(a|b){13}",))


def test_all_of_a_few_words_are_tried() -> None:
    found = words(("user-[0-9]",), ())
    assert found.find(lambda word: word == "user-7") == "user-7"
    assert found.find(lambda word: word == "nobody") is None
    with pytest.raises(Unclear, match="tried"):
        words(("user-[0-9]+",), ()).find(lambda word: word == "nobody")


@pytest.mark.parametrize(
    ("pattern", "begin", "end"),
    [
        ("v12-.*", "v12-", ""),
        (".*-12", "", "-12"),
        ("v1[0-9]*x", "v1", "x"),
        ("(?:abc|abd)e", "ab", "e"),
        ("^gray$", "gray", "gray"),
        ("gray", "gray", "gray"),
        ("(gray)?", "", ""),
        ("(?i)gray", "", ""),
        ("(?i)g1", "", "1"),
        ("aé", "a", ""),
        ("a+", "a", "a"),
        ("[a-z]+", "", ""),
        (r"\bx", "", ""),
        ("a{200}", "a" * 64, "a" * 64),
    ],
)
def test_how_values_begin_and_end(pattern: str, begin: str, end: str) -> None:
    assert affixes(pattern) == (begin.encode(), end.encode())


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ("v1-.*", "v2-.*", True),
        ("v1.*", "v12.*", False),
        (".*-1", ".*-11", True),
        (".*1", ".*-11", False),
        ("a.*b", "a.*c", True),
        ("a.*", ".*b", False),
    ],
)
def test_values_that_are_told_apart(one: str, other: str, apart: bool) -> None:
    for first, second in ((one, other), (other, one)):
        index = AffixIndex()
        index.add(affixes(first), 1)
        assert (index.together(affixes(second)) == set()) is apart
