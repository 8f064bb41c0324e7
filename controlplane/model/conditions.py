"""The conditions of a lane's rule: which part of a request each compares, how, and with what."""

from __future__ import annotations

import math
import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from controlplane.model import fields, networks
from controlplane.model.document import Document
from controlplane.model.fields import refuse

Source = Literal["header", "query", "cookie", "method", "path", "host", "client_address"]
Operator = Literal["==", "!=", "in", "percentage", "regex", "prefix", "exists", "absent"]
Value = str | tuple[str, ...] | float | None

_NAMED = {"header": "header", "query": "query parameter", "cookie": "cookie"}
_PORT = re.compile(r".*:[0-9]+$")
LIST_LIMIT = 10_000


class Condition(Document):
    """`name` is given for header, query and cookie alone.

    `value` is a str for ==, !=, regex and prefix; a tuple of str for `in`; a whole number 0-100 for
    percentage; None for exists and absent. For client_address it is one network, or a tuple of them.
    """

    source: Source
    name: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    operator: Operator
    value: fields.ConditionValue | None = None

    @field_validator("name")
    @classmethod
    def _text(cls, name: str | None) -> str | None:
        return None if name is None else fields.printable(name)

    @model_validator(mode="after")
    def _fits(self) -> Condition:
        self._check_name()
        if self.source == "client_address":
            _check_networks(self.operator, self.value)
        else:
            check_value(self.operator, self.value)
            for index, one in enumerate(self._compared()):
                at = (index,) if isinstance(self.value, tuple) else ()
                _check_meetable(self.source, self.operator, one, "value", *at)
        return self

    def _check_name(self) -> None:
        if self.source not in _NAMED:
            if self.name is not None:
                refuse(f"is given, but a request has only one {self.source}", "leave the name out", "name")
        elif self.name is None:
            refuse("is missing", f"give the name of the {_NAMED[self.source]}", "name")
        elif self.source == "header":
            fields.header_name(self.name, "name")
        elif self.source == "cookie" and any(char in self.name for char in '=;, "'):
            refuse("is not a cookie's name", "write the name alone, without = and value", "name")

    def _compared(self) -> tuple[str, ...]:
        """The texts that a part of the request is compared with as they stand."""
        if self.operator not in ("==", "!=", "in", "prefix"):
            return ()
        return self.value if isinstance(self.value, tuple) else (str(self.value),)


class Rule(Document):
    match: Literal["all", "any"] = "all"
    conditions: Annotated[tuple[Condition, ...], Field(min_length=1, max_length=64)]


def check_value(operator: str, value: Value) -> None:
    """Refuse a `value` that does not fit `operator`. Raises the error that pydantic collects."""
    if operator in ("exists", "absent"):
        if value is not None:
            refuse(f"is given, but {operator} compares with nothing", "leave the value out", "value")
    elif value is None:
        refuse("is missing", f"give the value that {operator} compares with", "value")
    elif operator == "percentage":
        _check_percentage(value)
    elif operator == "in":
        if not isinstance(value, tuple) or not value:
            refuse("must be a list of strings", "write a list: [hz, bj]", "value")
        if len(value) > LIST_LIMIT:
            refuse(f"has more than {LIST_LIMIT} strings", "use a regex or a percentage", "value")
        for index, one in enumerate(value):
            _check_text(one, "value", index)
    else:
        if not isinstance(value, str):
            refuse("must be a string", 'write one string, quoted if it looks like a number: "30"', "value")
        _check_text(value, "value")
        if operator == "regex":
            fields.regex(value, "value")
        elif operator == "prefix" and not value:
            refuse("is empty, and every value begins so", "use the operator exists", "value")


def _check_percentage(value: str | tuple[str, ...] | float) -> None:
    remedy = "percentage takes a whole number from 0 to 100, not quoted"
    if isinstance(value, str | tuple):
        refuse("is not a number", remedy, "value")
    if not 0 <= value <= 100:
        refuse("is not from 0 to 100", remedy, "value")
    if not float(value).is_integer():
        lower = math.floor(value)
        refuse(
            "has a fraction, but users are divided into 100 parts", f"write {lower} or {lower + 1}", "value"
        )


def _check_text(value: str, *field: str | int) -> None:
    if len(value) > 4096:
        refuse("has more than 4096 characters", "requests do not carry such long values; shorten it", *field)
    if any(char in value for char in "\r\n\0"):
        refuse("holds a line break or NUL, which no request can carry", "leave them out", *field)


def _check_networks(operator: str, value: Value) -> None:
    remedy = "give a list of networks: [10.0.0.0/8, fd00::/8]"
    if operator not in ("in", "!="):
        refuse("does not compare addresses", "client_address takes in and != with networks", "operator")
    if value is None:
        refuse("is missing", remedy, "value")
    if operator == "!=" and isinstance(value, str):
        networks.check(value, "value")
        return
    if not isinstance(value, tuple) or not value:
        refuse("is not a list of networks", remedy, "value")
    if len(value) > LIST_LIMIT:
        refuse(f"has more than {LIST_LIMIT} networks", "join neighbouring networks into larger ones", "value")
    for index, one in enumerate(value):
        networks.check(one, "value", index)


def _check_meetable(source: str, operator: str, text: str, *field: str | int) -> None:
    """Refuse a text that the method, path or host of no request can be."""
    if source == "method":
        if re.fullmatch("[A-Z-]{1,32}", text) is None:
            upper = text.upper()
            good = re.fullmatch("[A-Z-]{1,32}", upper) is not None
            refuse("is not a method", f"write {upper}" if good else "write GET, POST or another one", *field)
    elif source == "path":
        if not text.startswith("/"):
            refuse("does not start with '/', as every path does", f"write /{text[:100]}", *field)
        if "?" in text or "#" in text:
            refuse(
                "holds '?' or '#'; the path ends before them", "compare the query by source: query", *field
            )
    elif source == "host":
        if not text:
            refuse("is empty", "write the host, such as shop.example.com", *field)
        if "*" in text:
            refuse(
                "holds '*', which no host has", "use the operator regex, such as .*[.]example[.]com", *field
            )
        if operator != "prefix" and _PORT.fullmatch(text) and (text.count(":") == 1 or "]:" in text):
            refuse("has a port; hosts are compared without", f"write {text.rpartition(':')[0]}", *field)
