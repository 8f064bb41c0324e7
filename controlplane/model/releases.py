"""A release: the steps by which a ratio lane gets its share, what is checked on the way, and how far it is.

`progress` is written by the control plane alone. It is part of the document, so that it is stored, exported
and shared by several control planes like everything else, and each step is one revision.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from controlplane.model import fields
from controlplane.model.document import Document
from controlplane.model.fields import refuse

Measure = Literal["error_rate", "latency", "fallbacks", "refusals"]
Phase = Literal["running", "paused", "waiting", "succeeded", "aborted", "stopped"]
MOST_DECISIONS = 200
"""Decisions that a release keeps: the newest."""

_Figure = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class Step(Document):
    """`percent` caps the lane's share and its share on every route. The step holds for `hold`, and with
    `approval` until somebody approves the next one.
    """

    percent: fields.Percent
    hold: fields.Duration = "0s"
    approval: Literal[True] | None = None


class Check(Document):
    """What has to hold at each service of the lane, in the requests of the last `window`.

    error_rate, fallbacks, refusals: per cent of the lane's requests. latency: milliseconds of `quantile`.
    max: the most that the lane may have. above_base: the most by which it may exceed base in the same window.
    requests: of the lane, and of base where it is compared, below which nothing is decided. failures: failed
    checks in a row, one each `interval` of the release, that end it.
    """

    measure: Measure
    quantile: Annotated[float, Field(gt=0, lt=1)] | None = None
    max: _Figure | None = None
    above_base: _Figure | None = None
    window: fields.Interval = "1m"
    requests: Annotated[int, Field(ge=1, le=1_000_000)] = 50
    failures: Annotated[int, Field(ge=1, le=100)] = 1

    @model_validator(mode="after")
    def _fits(self) -> Check:
        if self.max is None and self.above_base is None:
            refuse("is missing, and so is above_base", "give max, above_base or both", "max")
        if (self.quantile is not None) != (self.measure == "latency"):
            if self.measure == "latency":
                refuse("is missing", "give the quantile of the latency, such as 0.99", "quantile")
            refuse(f"does not belong to {self.measure}", "leave it out", "quantile")
        if not 10 <= fields.seconds(self.window) <= 900:
            refuse("is not from 10s to 15m", "proxies report every 5 s, and 15 minutes are kept", "window")
        return self

    @property
    def words(self) -> str:
        """`latency p99`."""
        return f"latency p{self.quantile * 100:g}" if self.quantile is not None else self.measure


class Finding(Document):
    """What one check saw: at the service that decided, empty where there was none."""

    check: str
    verdict: Literal["passed", "failed", "not enough data"]
    service: str = ""
    value: float | None = None
    limit: float | None = None
    requests: int = 0


class Decision(Document):
    """Why a release went on, stopped or ended. at: seconds since the epoch."""

    at: float
    step: int
    what: str
    findings: tuple[Finding, ...] = ()


class Target(Document):
    """The lane's own shares, which the steps cap."""

    percent: fields.Percent
    routes: dict[fields.Name, fields.Percent] = {}


class Progress(Document):
    """`step` counts from 0. `since`: when it began, seconds since the epoch. `approved`: the step may end."""

    phase: Phase
    step: Annotated[int, Field(ge=0, le=100)]
    since: float
    target: Target
    by: Annotated[str, Field(max_length=200)] = ""
    approved: Literal[True] | None = None
    decisions: Annotated[tuple[Decision, ...], Field(max_length=MOST_DECISIONS)] = ()

    @property
    def unfinished(self) -> bool:
        return self.phase in ("running", "paused", "waiting")


class Release(Document):
    """How lane `lane` of group `group` gets its share. `interval`: between two looks at the checks.
    `patience`: how long a step may wait for enough data, before the release is aborted. `at_end`: whether the
    lane keeps its share, or its instances become base of the group.
    """

    kind: Literal["Release"] = "Release"
    group: fields.Name
    name: fields.Name
    lane: fields.Name
    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=100)]
    checks: Annotated[tuple[Check, ...], Field(max_length=20)] = ()
    interval: fields.Interval = "10s"
    patience: fields.Interval = "1h"
    at_end: Literal["wait", "promote"] = "wait"
    progress: Progress | None = None

    @model_validator(mode="after")
    def _fits(self) -> Release:
        for index, step in enumerate(self.steps):
            if index and step.percent < self.steps[index - 1].percent:
                refuse(
                    f"is less than the step before, {self.steps[index - 1].percent:g}",
                    "give shares that grow: a release that has to go back is aborted",
                    "steps",
                    index,
                    "percent",
                )
        if not 1 <= fields.seconds(self.interval) <= 3600:
            refuse("is not from 1s to 1h", "give how often the checks are looked at, such as 10s", "interval")
        return self

    @property
    def unfinished(self) -> bool:
        return self.progress is not None and self.progress.unfinished
