"""What an answer to a release means: passed, failed, or none that counts. Pure."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from controlplane.model.plain import is_list, is_object
from controlplane.model.releases import Check, Finding, Hook
from controlplane.printable import printable

LATER = frozenset({408, 425, 429})
"""Refusals that say "not now"; they are asked again, as after 500 and above."""
TOLD = 200
"""Characters of an answer that are shown."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. failed: why nothing did; then the rest says nothing."""

    status: int = 0
    body: bytes = b""
    failed: str = ""


def of_hook(hook: Hook, answer: Answer) -> Finding:
    """2xx has passed; 400 to 499 has failed, "not now" excepted; with anything else it is asked again."""
    if answer.failed:
        return Finding(check=hook.words, verdict="not enough data", note=answer.failed)
    status, said = answer.status, _text(answer.body)
    note = f"it answered {status}" + (f": {said}" if said else "")
    if 200 <= status < 300:
        return Finding(check=hook.words, verdict="passed", note=note)
    if 400 <= status < 500 and status not in LATER:
        return Finding(check=hook.words, verdict="failed", note=note)
    return Finding(check=hook.words, verdict="not enough data", note=note)


def of_query(check: Check, answer: Answer) -> Finding:
    """One finite value within the bounds has passed, one outside of them failed; anything else is missing."""
    value = answer.failed or value_in(answer)
    if isinstance(value, str):
        return Finding(check=check.words, verdict="not enough data", note=value)
    low, high = check.min, check.max
    if high is not None and value > high:
        note = f"it is {value:g}, more than {high:g}"
        return Finding(check=check.words, verdict="failed", value=value, limit=high, note=note)
    if low is not None and value < low:
        note = f"it is {value:g}, less than {low:g}"
        return Finding(check=check.words, verdict="failed", value=value, limit=low, note=note)
    limit = high if high is not None else low
    return Finding(check=check.words, verdict="passed", value=value, limit=limit, note=f"it is {value:g}")


def value_in(answer: Answer) -> float | str:
    """The value in an answer of Prometheus' HTTP API to an instant query; a sentence where there is not one.

    See https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries.
    """
    try:
        body: Any = json.loads(answer.body)
    except (ValueError, RecursionError):
        body = None
    if not is_object(body):
        return f"it answered {answer.status} without JSON"
    if answer.status != 200 or body.get("status") != "success":
        said = printable(str(body.get("error", ""))[:TOLD])
        return f"it answered {answer.status}" + (f": {said}" if said else "")
    data = body.get("data")
    kind, result = (data.get("resultType"), data.get("result")) if is_object(data) else (None, None)
    if kind == "vector" and is_list(result):
        if len(result) != 1:
            return "it gives no series" if not result else f"it gives {len(result)} series, not one"
        result = result[0].get("value") if is_object(result[0]) else None
    elif kind != "scalar":
        return f"it gives a {printable(str(kind)[:20])}, not one value"
    try:
        value = float(result[1]) if is_list(result) and isinstance(result[1], str) else math.nan
    except (ValueError, IndexError):
        value = math.nan
    return value if math.isfinite(value) else "it gives no number"


def _text(body: bytes) -> str:
    """The beginning of a body, as one line."""
    return printable(" ".join(body.decode("utf-8", "replace").split())[:TOLD])
