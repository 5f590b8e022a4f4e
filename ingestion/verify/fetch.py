"""COPY rows out of PostgreSQL into a polars frame: the way in of payflow.lib.copy, backwards."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, Final

import polars as pl
import psycopg
from psycopg import sql

_COPY: Final = sql.SQL("COPY ({}) TO STDOUT")
#: what COPY text writes for characters that have a meaning of its own
_ESCAPED: Final = {
    "\\\\": "\\",
    "\\b": "\b",
    "\\f": "\f",
    "\\n": "\n",
    "\\r": "\r",
    "\\t": "\t",
    "\\v": "\v",
}


def fetch_frame(
    cursor: psycopg.Cursor[Any],
    query: sql.Composable,
    parameters: Mapping[str, Any] | None = None,
    *,
    schema: Mapping[str, pl.DataType],
) -> pl.DataFrame:
    """The rows of a SELECT, columns by position as `schema` names them.

    Times must be selected as microseconds since 1970. A null text is not told from an empty one.
    """
    with cursor.copy(_COPY.format(query), parameters) as copy:
        data = b"".join(copy)
    frame = read_lines(data, schema=schema)
    if data.count(b"\\") != data.count(b"\\N"):  # some are no nulls
        frame = frame.with_columns(pl.col(pl.String).str.replace_many(_ESCAPED))
    return frame


def read_lines(data: bytes, *, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Rows of tab-separated values, \\N for null, with nothing unescaped."""
    if not data:
        return pl.DataFrame(schema=schema)
    frame = pl.read_csv(
        io.BytesIO(data),
        has_header=False,
        schema={name: _read_as(dtype) for name, dtype in schema.items()},
        separator="\t",
        quote_char=None,
        null_values="\\N",
        empty_string_is_null=False,
    )
    return frame.cast(pl.Schema(schema))


def _read_as(dtype: pl.DataType) -> pl.DataType:
    """Integers are read at once; whatever could lose digits or needs a conversion comes as text."""
    if dtype.is_integer():
        return dtype
    return pl.Int64() if dtype.is_temporal() else pl.String()
