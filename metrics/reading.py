"""Reading documents of rules: every problem is found in one go, each with its JSON pointer."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from typing import Any, Final

import polars as pl

from metrics.columns import COMMON_ATTRIBUTES, TRANSACTION_COLUMNS
from metrics.expressions import ExpressionError, Kind, compile_expression, kind_of
from payflow.lib.errors import ConfigurationError, Problem
from payflow.lib.spelling import did_you_mean

#: rules of one set
MAX_RULES: Final = 500
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")


def rule_version(definition: Mapping[str, Any]) -> int:
    """The version of a rule: the first 8 bytes of the SHA-256 of its canonical definition."""
    text = json.dumps(definition, sort_keys=True, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big", signed=True)


class RuleReader:
    """Collects problems while it reads; what it returns is only used when there are none."""

    def __init__(
        self,
        attributes: Mapping[str, pl.DataType],
        *,
        elsewhere: Mapping[str, pl.DataType] | None = None,
        reserved: Collection[str] = (),
    ) -> None:
        self.schema: dict[str, pl.DataType] = {**attributes, **TRANSACTION_COLUMNS}
        known = {**COMMON_ATTRIBUTES, **(elsewhere or {}), **self.schema}
        self.kinds: dict[str, Kind] = {name: kind_of(dtype) for name, dtype in known.items()}
        #: common attributes and those elsewhere that the rule being read names, and the schema
        #: does not map
        self.unmapped: set[str] = set()
        self.problems: list[Problem] = []
        #: name of the rule being read; "" outside of rules
        self.subject = ""
        #: name of a metric, rule or extractor -> pointer to who has it
        self.names: dict[str, str] = dict.fromkeys(reserved, "payflow itself")

    def begin(self, entry: Mapping[str, Any]) -> None:
        """What follows is about this rule, and says so."""
        self.unmapped.clear()
        name = entry.get("name")
        self.subject = name if isinstance(name, str) and _NAME.fullmatch(name) else ""

    def problem(self, pointer: str, message: str) -> None:
        about = f"{self.subject}: " if self.subject else ""
        self.problems.append(Problem(pointer=pointer, message=about + message))

    def raise_problems(self) -> None:
        if self.problems:
            raise ConfigurationError(self.problems)

    def refuse_unknown(self, at: str, value: Mapping[str, Any], known: frozenset[str]) -> None:
        for key in value:
            if key not in known:
                token = str(key).replace("~", "~0").replace("/", "~1")
                hint = did_you_mean(key, known)
                message = f"unknown key {key!r}; known are {', '.join(sorted(known))}{hint}"
                self.problem(f"{at}/{token}", message)

    def items(self, document: Mapping[str, Any], key: str) -> list[tuple[str, Any]]:
        """The entries of a list in the document with their pointers."""
        entries = document.get(key, [])
        if not isinstance(entries, list):
            self.problem(f"/{key}", "must be a list")
            return []
        if len(entries) > MAX_RULES:
            self.problem(f"/{key}", f"has {len(entries)} entries, at most {MAX_RULES} are allowed")
            return []
        return [(f"/{key}/{number}", entry) for number, entry in enumerate(entries)]

    def rule_name(self, at: str, entry: Mapping[str, Any]) -> str:
        name = entry.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            self.problem(f"{at}/name", "must be lower_snake_case, at most 63 characters")
            return ""
        self.take_name(f"{at}/name", name, owner=at)
        return name

    def take_name(self, at: str, name: str, *, owner: str) -> None:
        """Names are unique over the set: two metrics of one name would overwrite each other."""
        taken = self.names.setdefault(name, owner)
        if taken != owner:
            self.problem(at, f"the name {name!r} is already used by {taken}")

    def description(self, at: str, entry: Mapping[str, Any]) -> str:
        description = entry.get("description")
        if not isinstance(description, str) or not description.strip():
            self.problem(f"{at}/description", "must say what the rule watches and why")
        return str(description)

    def one_of(self, at: str, value: Any, allowed: Collection[str]) -> str:
        if value not in allowed:
            self.problem(at, f"must be one of {', '.join(allowed)}, not {value!r}")
        return str(value)

    def columns(
        self, at: str, names: Any, *, kinds: Collection[Kind], most: int
    ) -> tuple[str, ...]:
        """Names of columns or attributes, each of one of these kinds."""
        if not isinstance(names, list) or not 1 <= len(names) <= most:
            self.problem(at, f"must be a list of 1 to {most} columns or attributes")
            return ()
        for number, name in enumerate(names):
            if not isinstance(name, str) or name not in self.kinds:
                hint = did_you_mean(name, self.kinds)
                self.problem(f"{at}/{number}", f"there is no column or attribute {name!r}{hint}")
            elif self.kinds[name] not in kinds:
                wanted = " or ".join(kinds)
                self.problem(f"{at}/{number}", f"{name} is {self.kinds[name]}, not {wanted}")
            elif name in names[:number]:
                self.problem(f"{at}/{number}", f"{name} is named twice")
        self.unmapped |= self.kinds.keys() & {*map(str, names)} - self.schema.keys()
        return tuple(str(name) for name in names)

    def formula(self, at: str, text: Any, *, boolean: bool) -> str | None:
        """Canonical SQL of one formula; numbers may be written without quotes."""
        if isinstance(text, bool | int | float):
            text = str(text)
        if not isinstance(text, str):
            self.problem(at, "must be an expression")
            return None
        try:
            expression = compile_expression(text, self.kinds)
        except ExpressionError as exc:
            self.problem(at, str(exc))
            return None
        self.unmapped |= expression.columns - self.schema.keys()
        if boolean and expression.kind is not Kind.BOOLEAN:
            self.problem(at, f"must be true or false, not {expression.kind}")
        if not boolean and expression.kind in {Kind.TEXT, Kind.TIME}:
            self.problem(at, f"must be a number, not {expression.kind}")
        return expression.sql
