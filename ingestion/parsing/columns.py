"""The last step of both paths: keys, hashes and metadata from the mapped columns.

The byte strings hashed here are for ever: keys of stored events depend on them.

- Texts are UTF-8; none holds NUL (a failure reason), so NUL separates them without doubt.
- A time is its microseconds since 1970 UTC in decimal digits, an amount its value in major units
  with four decimals, an integer its digits, a boolean `true` or `false`, a number (float64) the
  decimal digits of its bits read as a signed 64-bit integer.
- A null attribute is the empty text; a string attribute that is there is `=` and its text.
- transaction hash = XXH3-64(transaction_id)
- identity hash = XXH3-64(scope NUL value NUL value ...), values of the identity's fields in the
  order of the columns, then of the attributes.
- payload hash = XXH3-64 as a signed integer of (value NUL value ...) of every column but
  correlation_id that the schema reads from the event, then of every attribute.

An event key has 16 bytes, big-endian. With occurred_at in the identity (K2): 4 bytes hours since
1970, 6 high bytes of the transaction hash, 6 high bytes of the identity hash: inserts stay local.
Without (K1): 8 bytes transaction hash, 8 bytes identity hash.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

import polars as pl
from xxhash import xxh3_64_intdigest

from ingestion.parsing.document import COLUMNS, Column, Document, Kind

_DTYPES: dict[Kind, pl.DataType] = {
    Kind.TEXT: pl.String(),
    Kind.TIME: pl.Datetime("us", "UTC"),
    Kind.AMOUNT: pl.Decimal(19, 4),
    Kind.LATENCY: pl.Int64(),
    Kind.STRING: pl.String(),
    Kind.NUMBER: pl.Float64(),
    Kind.INTEGER: pl.Int64(),
    Kind.BOOLEAN: pl.Boolean(),
}
_PLACES = {"row": pl.UInt32(), "part": pl.Int32()}
_KEYED = {**_PLACES, "event_key": pl.Binary(), "payload_hash": pl.Int64()}
_HOUR_US = 3_600_000_000
_SEPARATOR = "\0"
# What JSON strings must escape. NUL is not among mapped texts; \x7f and above may stay.
_JSON_ESCAPES = {'"': '\\"', "\\": "\\\\"} | {chr(n): f"\\u{n:04x}" for n in range(1, 32)}
_pack = struct.Struct(">QQ").pack


def dtype_of(column: Column) -> pl.DataType:
    """The polars type of a column's values."""
    return _DTYPES[column.kind]


def mapped_schema(document: Document) -> dict[str, pl.DataType]:
    """The columns that both paths fill: row and part, the canonical ones, the attributes."""
    return {
        **_PLACES,
        **{name: _DTYPES[kind] for name, kind in COLUMNS.items()},
        **{column.name: dtype_of(column) for column in document.attributes},
    }


class Finisher:
    """Computes what follows from the mapped columns, for one schema."""

    def __init__(self, document: Document) -> None:
        self._identity = document.identity
        by_name = {column.name: column for column in (*document.columns, *document.attributes)}
        taken = [
            column
            for column in by_name.values()
            if column.paths and column.name != "correlation_id"
        ]
        self._payload = _joined(taken)
        self._scoped = pl.concat_str(
            pl.lit(document.identity.scope),
            *(
                _canonical(by_name[n]) if n in by_name else pl.lit("")
                for n in self._identity.fields
            ),
            separator=_SEPARATOR,
        )
        self._attributes = document.attributes
        self._metadata = {full: _metadata(document.attributes, full=full) for full in (True, False)}
        self._names = [
            *_KEYED,
            *COLUMNS,
            "metadata",
            *(column.name for column in document.attributes),
        ]

    def finish(self, mapped: pl.DataFrame) -> pl.DataFrame:
        """The columns of accepted events, for a table of `mapped_schema`."""
        full = not any(mapped[column.name].null_count() for column in self._attributes)
        keyed = mapped.with_columns(
            self._payload.alias("payload_hash"),
            self._scoped.alias("event_key"),
            self._metadata[full].alias("metadata"),
        )
        return keyed.with_columns(
            _digests(keyed["payload_hash"]).reinterpret(signed=True).alias("payload_hash"),
            self._event_keys(keyed).alias("event_key"),
        ).select(self._names)

    def _event_keys(self, keyed: pl.DataFrame) -> pl.Series:
        if self._identity.is_position:
            return pl.Series([None] * len(keyed), dtype=pl.Binary)
        words = pl.DataFrame(
            {
                "hour": keyed["occurred_at"].to_physical() // _HOUR_US,
                "transaction": _digests(keyed["transaction_id"]),
                "identity": _digests(keyed["event_key"]),
            }
        )
        if "occurred_at" in self._identity.fields:
            words = words.select(
                pl.col("hour").cast(pl.UInt64) * 2**32 + pl.col("transaction") // 2**32,
                (pl.col("transaction") // 2**16 % 2**16) * 2**48 + pl.col("identity") // 2**16,
            )
        high, low = words.get_columns()[-2:]
        return pl.Series(list(map(_pack, high.to_list(), low.to_list())), dtype=pl.Binary)


def _digests(texts: pl.Series) -> pl.Series:
    encoded: Iterable[bytes] = texts.cast(pl.Binary).to_list()
    return pl.Series(list(map(xxh3_64_intdigest, encoded)), dtype=pl.UInt64)


def _joined(columns: list[Column]) -> pl.Expr:
    return pl.concat_str(*map(_canonical, columns), separator=_SEPARATOR)


def _canonical(column: Column) -> pl.Expr:
    value = pl.col(column.name)
    match column.kind:
        case Kind.TEXT:
            return value
        case Kind.STRING:
            return pl.concat_str(pl.lit("="), value).fill_null("")
        case Kind.TIME:
            return value.to_physical().cast(pl.String)
        case Kind.NUMBER:
            return value.reinterpret(dtype=pl.Int64).cast(pl.String).fill_null("")
        case _:
            return value.cast(pl.String).fill_null("")


def _metadata(attributes: tuple[Column, ...], *, full: bool) -> pl.Expr:
    """JSON object text of the attributes that are there; `full`: all are, in every row."""
    if not attributes:
        return pl.lit("{}")
    members = [_member(column) for column in attributes]
    if not full:
        whole = [pl.concat_str(member) for member in members]
        joined = pl.concat_str(whole, separator=",", ignore_nulls=True)
        return pl.concat_str(pl.lit("{"), joined, pl.lit("}"))
    parts = [part for member in members for part in (pl.lit(","), *member)]
    return pl.concat_str(pl.lit("{"), *parts[1:], pl.lit("}"))


def _member(column: Column) -> list[pl.Expr]:
    """The parts of `"name":value`; null when the value is."""
    value = pl.col(column.name)
    if column.kind is not Kind.STRING:
        return [pl.lit(f'"{column.name}":'), value.cast(pl.String)]
    # One pass over the text for all of them, so that no escape is escaped again.
    escaped = value.str.replace_many(_JSON_ESCAPES)
    return [pl.lit(f'"{column.name}":"'), escaped, pl.lit('"')]
