"""Which of a source's schemas takes each message: one value per message against a route table.

A field is read from the bytes by a decoder that keeps nothing else. What that decoder refuses is
read again slowly and strictly, so whatever cannot be read at all fails with its reason, and only
what can be read is left to the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from configuration.routes import EVERYTHING, RouteTable, read_route_table
from ingestion.parsing import MAX_DEPTH, MAX_MESSAGE, Reason, ValidationError
from ingestion.parsing.reading import JsonNumber, JsonObject, JsonValue, Rejected, read_object
from ingestion.parsing.reasons import problem
from ingestion.sources.base import parse_headers

#: route of a message that no schema takes
NOWHERE: Final = -1
#: longer integers name no route
_INTEGER_DIGITS: Final = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """A batch sorted by routes; a message is in exactly one of the three."""

    #: message indexes of each route, ascending
    rows: list[list[int]]
    #: by message index: neither readable nor routed
    failures: dict[int, ValidationError] = field(default_factory=dict)
    #: message indexes, ascending
    ignored: list[int] = field(default_factory=list)


class Router:
    """Sorts messages by a route table."""

    def __init__(self, table: RouteTable) -> None:
        self.table = table
        self._exact: dict[str, int] = {}
        self._prefixes: list[tuple[str, int]] = []
        for number, row in enumerate(table.rows):
            for value in row.values:
                if value.endswith(EVERYTHING):
                    self._prefixes.append((value.removesuffix(EVERYTHING), number))
                else:
                    self._exact.setdefault(value, number)
        # what a message without a value goes to
        self._default = next((n for prefix, n in self._prefixes if not prefix), NOWHERE)
        self._decode = _decoder(table.field) if table.field else None
        self._unrouted = problem(
            table.label, Reason.UNROUTED, "a value that the source's route table names", "another"
        )

    def sort(self, bodies: Sequence[bytes], headers: Sequence[bytes | None] | None) -> Routed:
        """Sort a batch; pure, and no message depends on the others."""
        routed = Routed(rows=[[] for _ in self.table.rows])
        if self._decode is None:
            values = self._header_values(headers, len(bodies))
        else:
            values = self._field_values(self._decode, bodies, routed.failures)
        known = {value: self._route_of(value) for value in set(values)}
        for row, value in enumerate(values):
            if row in routed.failures:
                continue
            if (route := known[value]) == NOWHERE:
                self._leave(row, bodies[row], routed)
            else:
                routed.rows[route].append(row)
        return routed

    def _leave(self, row: int, body: bytes, routed: Routed) -> None:
        """A message that no route takes.

        Where the body names the route, one that cannot be read fails, whatever the table says.
        """
        if not self.table.ignores_others:
            routed.failures[row] = self._unrouted
        elif self._decode is not None and (error := _unreadable(body)):
            routed.failures[row] = error
        else:
            routed.ignored.append(row)

    def _route_of(self, value: str | None) -> int:
        """The first route that takes a value."""
        if value is None:
            return self._default
        found = [number for prefix, number in self._prefixes if value.startswith(prefix)]
        if value in self._exact:
            found.append(self._exact[value])
        return min(found, default=NOWHERE)

    def _field_values(
        self,
        decode: Callable[[bytes], Any],
        bodies: Sequence[bytes],
        failures: dict[int, ValidationError],
    ) -> list[str | None]:
        levels = range(len(self.table.field))
        values: list[str | None] = []
        for row, body in enumerate(bodies):
            try:
                found = decode(body)
                for _ in levels:
                    found = found.value if found is not None else None
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                found = self._read_slowly(row, body, failures)
            values.append(_text(found))
        return values

    def _read_slowly(
        self, row: int, body: bytes, failures: dict[int, ValidationError]
    ) -> JsonValue | int:
        """The value where the decoder met anything unusual."""
        try:
            found: JsonValue = read_object(body)
        except Rejected as exc:
            failures[row] = exc.error
            return None
        for name in self.table.field:
            found = found.get(name) if isinstance(found, JsonObject) else None
        if isinstance(found, JsonNumber):
            is_short = found.is_integer_literal and len(found.literal) <= _INTEGER_DIGITS
            return int(found.literal) if is_short else None
        return found

    def _header_values(self, headers: Sequence[bytes | None] | None, size: int) -> list[str | None]:
        """Values of the header, as `parse_headers` reads them."""
        if headers is None:
            return [None] * size
        name = self.table.header
        return [parse_headers(raw).get(name) if raw else None for raw in headers]


def compile_router(content: Mapping[str, Any]) -> Router | None:
    """The router of a bundle's content; None when all messages go to one schema.

    Raises ConfigurationError as `read_route_table` does.
    """
    if "route_by" not in content:
        return None
    routes = [{"in": r.get("in"), "schema": r["schema"]["name"]} for r in content["routes"]]
    table = {"by": content["route_by"], "routes": routes}
    if "otherwise" in content:
        table["otherwise"] = content["otherwise"]
    return Router(read_route_table(table))


def _decoder(path: Sequence[str]) -> Callable[[bytes], Any]:
    """Decodes a message into nested structs with one field each, `value`; None where it is not."""
    inner: Any = str | int | bool | None
    for name in reversed(path):
        struct = msgspec.defstruct("At", [("value", inner, None)], rename={"value": name})
        inner = struct | None
    return msgspec.json.Decoder(struct).decode


def _text(value: Any) -> str | None:
    """A value as the table writes it; None for what no table can name."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() if abs(value) < 10**_INTEGER_DIGITS:
            return str(value)
        case _:
            return None


def _unreadable(body: bytes) -> ValidationError | None:
    """Why a message that was read for its route alone cannot be read at all, or None."""
    few_brackets = body.count(b"[") + body.count(b"{") <= MAX_DEPTH
    if few_brackets and len(body) <= MAX_MESSAGE and _is_utf8(body):
        return None
    try:
        read_object(body)
    except Rejected as exc:
        return exc.error
    return None


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True
