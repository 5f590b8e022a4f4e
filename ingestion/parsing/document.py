"""A schema document as checked values: what the mapping asks for, column by column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from ingestion.parsing.json_schema import SchemaNode
from ingestion.parsing.paths import Path, label_of
from ingestion.parsing.times import TimeFormat
from ingestion.parsing.wrapping import Wrapping
from metrics.expressions import Expression


class Kind(StrEnum):
    """What a column holds and therefore how a JSON value becomes it."""

    TEXT = "text"
    TIME = "time"
    AMOUNT = "amount"
    LATENCY = "latency"
    STRING = "string"
    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"


#: the canonical columns that a mapping fills, in their order, with what each holds
COLUMNS: dict[str, Kind] = {
    "transaction_id": Kind.TEXT,
    "occurred_at": Kind.TIME,
    "amount": Kind.AMOUNT,
    "currency": Kind.TEXT,
    "payment_method": Kind.TEXT,
    "payment_status": Kind.TEXT,
    "channel": Kind.TEXT,
    "processor": Kind.TEXT,
    "transaction_type": Kind.TEXT,
    "merchant_id": Kind.TEXT,
    "merchant_category": Kind.TEXT,
    "customer_id": Kind.TEXT,
    "country": Kind.TEXT,
    "error_code": Kind.TEXT,
    "latency_us": Kind.LATENCY,
    "correlation_id": Kind.TEXT,
}
REQUIRED = ("transaction_id", "occurred_at", "amount", "currency", "payment_status")
DEFAULT_IDENTITY = ("transaction_id", "transaction_type", "payment_status", "occurred_at")
ATTRIBUTE_KINDS = {
    "string": Kind.STRING,
    "number": Kind.NUMBER,
    "integer": Kind.INTEGER,
    "boolean": Kind.BOOLEAN,
}

#: what a column holds: text, exact decimal text (amount), microseconds (time, latency), ...
Value = str | int | float | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column or attribute and where its value comes from."""

    name: str
    kind: Kind
    #: tried in order; the first that is not null counts; empty for constants and expressions
    paths: tuple[Path, ...] = ()
    constant: Value | None = None
    #: computed from the columns that are read from the event
    expression: Expression | None = None
    #: the value when every path is null
    default: Value | None = None
    #: the event's word -> the value; total: a word that is not here fails
    map: Mapping[str, Value] | None = None
    upper: bool = False
    #: amount: minor or major; latency: us, ms or s
    unit: str = ""
    time: TimeFormat | None = None
    #: amount: round half-even to so many decimals of the major unit; None: never round
    round: int | None = None
    #: without a value the event fails
    required: bool = False

    @property
    def label(self) -> str:
        """What errors call it: the path in the event, as its producer knows it."""
        return label_of(self.paths[0]) if self.paths else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A rule across fields: an event for which it is false fails."""

    name: str
    holds: Expression
    #: what errors say is expected; the expression as written where nobody said more
    expected: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Which messages the schema takes: every field holds one of its values."""

    fields: Mapping[Path, frozenset[str]]
    #: the others are ignored (true) or fail (false)
    ignores_others: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What makes two messages the same event."""

    #: events of different scopes are never the same
    scope: str
    #: column and attribute names in the order of the columns; empty: the position is the identity
    fields: tuple[str, ...]

    @property
    def is_position(self) -> bool:
        """Whether every message is an event of its own."""
        return not self.fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A whole checked schema document."""

    name: str
    #: SHA-256 (hex) of the document's canonical JSON
    checksum: str
    columns: tuple[Column, ...]
    attributes: tuple[Column, ...]
    nulls: frozenset[str]
    identity: Identity
    route: Route | None
    json_schema: SchemaNode
    #: where the event is in its envelope; None: the message is the event
    wrapping: Wrapping | None = None
    #: the array whose elements are events of their own; names only; None: a message is one event
    explode: Path | None = None
    checks: tuple[Check, ...] = ()

    @property
    def every_column(self) -> tuple[Column, ...]:
        """Columns and attributes."""
        return (*self.columns, *self.attributes)
