"""Conditions: where their values are carried at the edge, and their outcome for a request in Python.

Values are bytes throughout, as they are on the wire.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import re2
import xxhash

from controlplane.model.documents import Condition, Rule


def carried_in(condition: Condition) -> str:
    """The header that holds the condition's value when the edge matches it.

    Query parameters and cookies are lifted into headers whose names derive from the parameter's name alone.
    """
    if condition.source == "header":
        name = condition.name.lower()
        return ":authority" if name == "host" else name
    return lifted_header(condition.source, condition.name)


def lifted_header(source: str, name: str) -> str:
    return f"x-laneway-{source[0]}-{name.encode(errors='surrogateescape').hex()}"


@lru_cache(maxsize=10_000)
def compiled(pattern: str) -> Any:
    """`pattern` as RE2 compiles it in Envoy. Raises re2.error for a bad one."""
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options)


def full_match(pattern: str, value: bytes) -> bool:
    """RE2's full match on bytes; bytes that are not UTF-8 match nothing but `\\C`, as in Envoy."""
    return compiled(pattern).fullmatch(value) is not None


def share(value: bytes) -> int:
    """0-99: XXH64 with seed 0, modulo 100."""
    return xxhash.xxh64_intdigest(value, seed=0) % 100


def met(condition: Condition, value: bytes | None) -> bool:
    """Whether the condition holds for the value found (None: the key is absent, never met)."""
    if value is None:
        return False
    if condition.operator == "==":
        return value == str(condition.value).encode()
    if condition.operator == "!=":
        return value != str(condition.value).encode()
    if condition.operator == "in":
        assert isinstance(condition.value, tuple)
        return any(value == choice.encode() for choice in condition.value)
    if condition.operator == "regex":
        return full_match(str(condition.value), value)
    return share(value) < math.ceil(float(condition.value))  # type: ignore[arg-type]


def matches(rule: Rule, values: Mapping[str, bytes]) -> bool:
    """`values` maps each carrying header (see `carried_in`) to its bytes."""
    outcomes = (met(c, values.get(carried_in(c))) for c in rule.conditions)
    return all(outcomes) if rule.match == "all" else any(outcomes)
