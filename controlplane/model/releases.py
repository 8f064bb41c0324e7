"""A release: the steps by which a ratio lane gets its share, what is checked on the way, and how far it is.

`progress` is written by the control plane alone. It is part of the document, so that it is stored, exported
and shared by several control planes like everything else, and each step is one revision.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from controlplane.model import fields
from controlplane.model.document import Document
from controlplane.model.fields import refuse
from controlplane.model.time_fields import Schedule
from controlplane.model.urls import Url

Measure = Literal["error_rate", "latency", "fallbacks", "refusals", "query"]
Phase = Literal["starting", "running", "paused", "waiting", "succeeded", "aborted", "stopped"]
MOST_DECISIONS = 200
"""Decisions that a release keeps: the newest."""

MOST_APPROVERS = 5

_Figure = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
_Bound = Annotated[float, Field(ge=-1e15, le=1e15, allow_inf_nan=False)]


class Step(Document):
    """`percent` caps the lane's share and its share on every route. The step holds for `hold`, and with
    `approval` until somebody approves the next one: `persons` different ones, and with `by_others` nobody who
    started the release.
    """

    percent: fields.Percent
    hold: fields.Duration = "0s"
    approval: Literal[True] | None = None
    persons: Annotated[int, Field(ge=1, le=MOST_APPROVERS)] | None = None
    by_others: Literal[True] | None = None

    @model_validator(mode="after")
    def _fits(self) -> Step:
        for name in ("persons", "by_others"):
            if getattr(self, name) is not None and self.approval is None:
                refuse("belongs to a step with an approval", "add approval: true, or leave it out", name)
        return self


class Check(Document):
    """What has to hold at each service of the lane, in the requests of the last `window`.

    error_rate, fallbacks, refusals: per cent of the lane's requests. latency: milliseconds of `quantile`.
    max: the most that the lane may have. above_base: the most by which it may exceed base in the same window.
    requests: of the lane, and of base where it is compared, below which nothing is decided. failures: failed
    checks in a row, one each `interval` of the release, that end it.
    query: of the Prometheus server at `prometheus`, which has to answer with one value from `min` to `max`.
    """

    measure: Measure
    prometheus: Url | None = None
    query: Annotated[str, AfterValidator(fields.printable), Field(min_length=1, max_length=4096)] | None = (
        None
    )
    min: _Bound | None = None
    quantile: Annotated[float, Field(gt=0, lt=1)] | None = None
    max: _Bound | None = None
    above_base: _Figure | None = None
    window: fields.Interval = "1m"
    requests: Annotated[int, Field(ge=1, le=1_000_000)] = 50
    failures: Annotated[int, Field(ge=1, le=100)] = 1

    @model_validator(mode="after")
    def _fits(self) -> Check:
        if self.measure == "query":
            return self._asks()
        for name in ("prometheus", "query", "min"):
            if getattr(self, name) is not None:
                refuse(f"does not belong to {self.measure}", "leave it out, or write measure: query", name)
        if self.max is None and self.above_base is None:
            refuse("is missing, and so is above_base", "give max, above_base or both", "max")
        if self.max is not None and self.max < 0:
            refuse("is less than 0", "give the most that the lane may have", "max")
        if (self.quantile is not None) != (self.measure == "latency"):
            if self.measure == "latency":
                refuse("is missing", "give the quantile of the latency, such as 0.99", "quantile")
            refuse(f"does not belong to {self.measure}", "leave it out", "quantile")
        if not 10 <= fields.seconds(self.window) <= 900:
            refuse("is not from 10s to 15m", "proxies report every 5 s, and 15 minutes are kept", "window")
        return self

    def _asks(self) -> Check:
        for name in ("prometheus", "query"):
            if getattr(self, name) is None:
                refuse("is missing", "a query needs the address of its Prometheus and its text", name)
        if self.max is None and self.min is None:
            refuse("is missing, and so is min", "give max, min or both", "max")
        if self.max is not None and self.min is not None and self.max < self.min:
            refuse(f"is less than min, {self.min:g}", "give a span that a value can be in", "max")
        for name in ("above_base", "quantile"):
            if getattr(self, name) is not None:
                refuse("does not belong to a query", "leave it out: the query says what it looks at", name)
        return self

    @property
    def words(self) -> str:
        """`latency p99`."""
        if self.measure == "query":
            return f"query {(self.query or '')[:80]}"
        return f"latency p{self.quantile * 100:g}" if self.quantile is not None else self.measure


class Hook(Document):
    """A web hook: `url` gets a POST with JSON that says where the release is.

    before: until it is answered with 2xx, the lane gets no share. during: it is asked every `interval`, as a
    check. after: it is told how the release has ended. timeout: of one request. failures: refusals in a row,
    answers from 400 to 499, that end the release.
    """

    name: fields.Name
    when: Literal["before", "during", "after"]
    url: Url
    timeout: fields.Interval = "10s"
    failures: Annotated[int, Field(ge=1, le=100)] = 1

    @field_validator("timeout")
    @classmethod
    def _short(cls, value: str) -> str:
        if fields.seconds(value) > 300:
            refuse("is longer than 5m", "answer 503 until the work is done: the hook is asked again")
        return value

    @property
    def words(self) -> str:
        """As its findings name it."""
        return f"hook {self.name}"


class Finding(Document):
    """What one check saw: at the service that decided, empty where there was none. note: what was answered,
    where others were asked.
    """

    check: str
    verdict: Literal["passed", "failed", "not enough data"]
    service: str = ""
    value: float | None = None
    limit: float | None = None
    requests: int = 0
    note: Annotated[str, Field(max_length=500)] | None = None


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
    """`step` counts from 0. `since`: when it began, seconds since the epoch. `approved`: the step may end.

    approvers: who has approved it so far. told: the hooks that know how it ended.
    """

    phase: Phase
    step: Annotated[int, Field(ge=0, le=100)]
    since: float
    target: Target
    by: Annotated[str, Field(max_length=200)] = ""
    approved: Literal[True] | None = None
    approvers: Annotated[tuple[str, ...], Field(max_length=MOST_APPROVERS)] = ()
    told: Annotated[tuple[fields.Name, ...], Field(max_length=20)] = ()
    decisions: Annotated[tuple[Decision, ...], Field(max_length=MOST_DECISIONS)] = ()

    @property
    def unfinished(self) -> bool:
        return self.phase in ("starting", "running", "paused", "waiting")


class Release(Document):
    """How lane `lane` of group `group` gets its share. `interval`: between two looks at the checks.
    `patience`: how long a step may wait for enough data, before the release is aborted. `at_end`: whether the
    lane keeps its share, or its instances become base of the group. `windows`: outside of them it takes no
    step forward.
    """

    kind: Literal["Release"] = "Release"
    group: fields.Name
    name: fields.Name
    lane: fields.Name
    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=100)]
    checks: Annotated[tuple[Check, ...], Field(max_length=20)] = ()
    hooks: Annotated[tuple[Hook, ...], Field(max_length=20)] = ()
    windows: Annotated[tuple[Schedule, ...], Field(min_length=1, max_length=10)] | None = None
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
        for index, hook in enumerate(self.hooks):
            if hook.name in [one.name for one in self.hooks[:index]]:
                refuse("is given twice", "give each hook a name of its own", "hooks", index, "name")
        if not 1 <= fields.seconds(self.interval) <= 3600:
            refuse("is not from 1s to 1h", "give how often the checks are looked at, such as 10s", "interval")
        return self

    @property
    def unfinished(self) -> bool:
        return self.progress is not None and self.progress.unfinished
