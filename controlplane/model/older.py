"""Definitions that an older Laneway stored: what it took then and refuses now, as it was understood then."""

from __future__ import annotations

import math
from typing import Any

from controlplane.model.plain import is_list, is_object


def updated(document: Any) -> Any:
    """`document` (plain values) as it is valid today; what was always valid comes back as it is.

    Fractions of `percentage` were rounded up until they were refused.
    """
    rule = document.get("rule") if is_object(document) else None
    conditions = rule.get("conditions") if is_object(rule) else None
    if not is_object(document) or not is_object(rule) or not is_list(conditions):
        return document
    now = [_whole(one) for one in conditions]
    return document if now == conditions else {**document, "rule": {**rule, "conditions": now}}


def _whole(condition: Any) -> Any:
    if not is_object(condition) or condition.get("operator") != "percentage":
        return condition
    value = condition.get("value")
    if not isinstance(value, float) or not 0 <= value <= 100:
        return condition
    return {**condition, "value": math.ceil(value)}
