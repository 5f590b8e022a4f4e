"""The route table of a source: which messages go to which schema.

```yaml
by: {field: type}                # or {header: event-type}
routes:                          # the first that takes a value wins
  - {in: [charge.refunded], schema: stripe-refund}
  - {in: ["charge.*", payment], schema: stripe-charge}   # a trailing * takes all that begin so
otherwise: ignored               # or failed, the default: what no route takes
```
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from payflow.lib.errors import ConfigurationError, Problem

MAX_ROUTES: Final = 50
#: values that one route may list
MAX_VALUES: Final = 500
#: characters of a value, a field or a header's name
MAX_TEXT: Final = 256
#: levels of a field
MAX_LEVELS: Final = 20
#: takes whatever comes, also a message that has no value
EVERYTHING: Final = "*"
_OTHERWISE: Final = ("failed", "ignored")


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteRow:
    """The values that go to one schema."""

    values: tuple[str, ...]
    schema: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteTable:
    """A table that was checked: one of `field` and `header` is not empty."""

    #: names from the outside in, for `a.b`
    field: tuple[str, ...]
    header: str
    rows: tuple[RouteRow, ...]
    #: what no route takes is ignored (true) or fails (false)
    ignores_others: bool

    @property
    def label(self) -> str:
        """What errors call the place where the value stands."""
        return ".".join(self.field) or f"header {self.header}"


def read_route_table(table: Any, *, pointer: str = "/route_table") -> RouteTable:
    """A checked route table; raises ConfigurationError with every problem and where it is."""
    reader = _Reader()
    read = reader.table(table, pointer)
    if reader.problems:
        raise ConfigurationError(reader.problems)
    return read


class _Reader:
    """Reads a table and collects what is wrong with it."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        #: pointers of the values that earlier routes take, by value
        self._taken: dict[str, str] = {}

    def table(self, table: Any, at: str) -> RouteTable:
        table = self._object(at, table, {"by", "routes", "otherwise"})
        field, header = self._by(f"{at}/by", table.get("by"))
        routes = table.get("routes")
        if not isinstance(routes, list) or not 1 <= len(routes) <= MAX_ROUTES:
            self._add(f"{at}/routes", f"must be a list of 1 to {MAX_ROUTES} routes")
            routes = []
        rows = [self._row(f"{at}/routes/{number}", row) for number, row in enumerate(routes)]
        otherwise = table.get("otherwise", "failed")
        if otherwise not in _OTHERWISE:
            self._add(f"{at}/otherwise", f"must be {' or '.join(_OTHERWISE)}")
        return RouteTable(
            field=field, header=header, rows=tuple(rows), ignores_others=otherwise == "ignored"
        )

    def _by(self, at: str, value: Any) -> tuple[tuple[str, ...], str]:
        """Where the value stands: names of a field, or a header."""
        by = self._object(at, value, {"field", "header"})
        if len(by.keys() & {"field", "header"}) != 1:
            self._add(at, 'must be {"field": "a.b"} or {"header": "name"}')
            return (), ""
        (kind,) = by.keys() & {"field", "header"}
        name = by[kind]
        if not isinstance(name, str) or not 0 < len(name) <= MAX_TEXT:
            self._add(f"{at}/{kind}", f"must be a text of 1 to {MAX_TEXT} characters")
            return (), ""
        if kind == "header":
            return (), name
        names = tuple(name.split("."))
        if not all(names) or len(names) > MAX_LEVELS:
            self._add(f"{at}/field", f"must be 1 to {MAX_LEVELS} names with dots between them")
        return names, ""

    def _row(self, at: str, value: Any) -> RouteRow:
        row = self._object(at, value, {"in", "schema"})
        schema = row.get("schema")
        if not isinstance(schema, str) or not schema:
            self._add(f"{at}/schema", "must be the name of a transaction schema")
            schema = ""
        values = row.get("in")
        if not isinstance(values, list) or not 1 <= len(values) <= MAX_VALUES:
            self._add(f"{at}/in", f"must be a list of 1 to {MAX_VALUES} texts")
            values = []
        kept = [v for n, v in enumerate(values) if self._is_value(f"{at}/in/{n}", v)]
        return RouteRow(values=tuple(kept), schema=schema)

    def _is_value(self, at: str, value: Any) -> bool:
        if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT:
            self._add(at, f"must be a text of 1 to {MAX_TEXT} characters; put numbers in quotes")
            return False
        if EVERYTHING in value[:-1]:
            self._add(at, "may have a * at its end only")
            return False
        if taken_by := self._taker(value):
            self._add(at, f"is never reached: {taken_by} takes it before")
        self._taken.setdefault(value, at)
        return True

    def _taker(self, value: str) -> str:
        """The pointer of an earlier value that takes all that this one would."""
        if value in self._taken:
            return self._taken[value]
        begun = value.removesuffix(EVERYTHING)
        prefixes = (f"{begun[:length]}{EVERYTHING}" for length in range(len(begun) + 1))
        return next((self._taken[prefix] for prefix in prefixes if prefix in self._taken), "")

    def _object(self, at: str, value: Any, known: set[str]) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            self._add(at, "must be an object")
            return {}
        for key in value:
            if key not in known:
                self._add(f"{at}/{key}", f"is not known here; known are {', '.join(sorted(known))}")
        return value

    def _add(self, pointer: str, message: str) -> None:
        self.problems.append(Problem(pointer=pointer, message=message))
