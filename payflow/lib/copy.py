"""COPY a polars frame into a PostgreSQL table as text: the cheapest way in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import polars as pl
from psycopg import sql

#: characters that COPY text gives a meaning of its own, in the order they are escaped
_ESCAPES: Final = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))
_NEEDS_ESCAPE: Final = r"[\\\t\n\r]"


def copy_frame(cursor: Any, table: str, frame: pl.DataFrame) -> None:
    """COPY all rows of `frame` into `table`, columns by name; see copy_data for the errors.

    Text is escaped, Binary becomes bytea, Datetime must be UTC, null becomes NULL.
    """
    copy_data(cursor, table, frame.columns, copy_text(frame))


def copy_data(cursor: Any, table: str, columns: Sequence[str], data: bytes) -> None:
    """COPY lines in the text format into `table`; `cursor` is Django's.

    Raises Django's database errors, which Django itself does not do for COPY.
    """
    if not data:
        return
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with cursor.db.wrap_database_errors, cursor.copy(statement) as copy:
        copy.write(data)


def copy_text(frame: pl.DataFrame) -> bytes:
    """The rows in the text format of COPY: tab-separated, \\N for null, one line a row."""
    prepared = frame.with_columns(_prepare(frame[name]) for name in frame.columns)
    text = prepared.write_csv(
        include_header=False,
        separator="\t",
        null_value="\\N",
        quote_style="never",
        datetime_format="%Y-%m-%d %H:%M:%S%.6f+00",
    )
    return text.encode()


def uuid_array(keys: Sequence[str]) -> str:
    """An array literal of hex uuids: one parameter, whatever the number of keys."""
    return "{" + ",".join(keys) + "}"


def _prepare(column: pl.Series) -> pl.Series:
    if column.dtype == pl.Binary:
        # bytea in its hex form: the backslash is escaped once for COPY
        return ("\\\\x" + column.bin.encode("hex")).alias(column.name)
    if column.dtype == pl.String and column.str.contains(_NEEDS_ESCAPE).any():
        for character, escaped in _ESCAPES:
            column = column.str.replace_all(character, escaped, literal=True)
    return column
