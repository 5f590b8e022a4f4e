"""What goes in by COPY comes out equal, whatever its characters mean to COPY."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import polars as pl
import pytest
from django.db import DatabaseError, connection
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from payflow.lib.copy import copy_frame, copy_text, uuid_array

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
ROW = st.tuples(
    st.integers(-(2**63), 2**63 - 1) | st.none(),
    TEXT | st.none(),
    st.binary(max_size=30) | st.none(),
    st.decimals(-(10**14), 10**14, places=4) | st.none(),
    st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31)) | st.none(),  # noqa: DTZ001
)


class CopyTest(TestCase):
    """Against a real table of every type that payflow copies."""

    def setUp(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE TEMP TABLE copied (line bigint, n bigint, t text, b bytea,"
                " d numeric(19,4), m timestamptz) ON COMMIT DROP"
            )

    @settings(max_examples=60)
    @given(st.lists(ROW, max_size=20))
    def test_rows_come_out_as_they_went_in(self, rows: list[tuple[object, ...]]) -> None:
        """Integers, text, bytes, decimals, times and nulls."""
        columns = list(zip(*rows, strict=True)) or [()] * 5
        frame = pl.DataFrame(
            {
                "line": pl.Series(range(len(rows)), dtype=pl.Int64),
                "n": pl.Series(columns[0], dtype=pl.Int64),
                "t": pl.Series(columns[1], dtype=pl.String),
                "b": pl.Series(columns[2], dtype=pl.Binary),
                "d": pl.Series(columns[3], dtype=pl.Decimal(19, 4)),
                "m": pl.Series(columns[4], dtype=pl.Datetime("us")).dt.replace_time_zone("UTC"),
            }
        )
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE copied")

            copy_frame(cursor, "copied", frame)

            cursor.execute("SELECT n, t, b, d, m FROM copied ORDER BY line")
            found = [
                (n, t, None if b is None else bytes(b), d, m) for n, t, b, d, m in cursor.fetchall()
            ]
        expected = [
            (n, t, b, d, m and m.replace(tzinfo=UTC))  # type: ignore[attr-defined]
            for n, t, b, d, m in rows
        ]
        assert found == expected

    def test_an_error_of_copy_is_one_of_django(self) -> None:
        """A drainer tells a bad world by Django's classes, for COPY as for any statement."""
        frame = pl.DataFrame({"n": ["no number"]})

        with pytest.raises(DatabaseError), connection.cursor() as cursor:
            copy_frame(cursor, "copied", frame)


def test_text_has_one_line_a_row_and_no_quotes() -> None:
    """The format that COPY reads fastest."""
    frame = pl.DataFrame({"a": [1, None], "b": ['say "hi"\n', "\\N"], "d": [Decimal("1.5"), None]})

    assert copy_text(frame).splitlines() == [b'1\tsay "hi"\\n\t1.5', b"\\N\t\\\\N\t\\N"]


def test_uuid_array_is_a_literal_of_postgresql() -> None:
    """One parameter, however many keys."""
    assert uuid_array([]) == "{}"
    assert uuid_array(["00ff", "aa"]) == "{00ff,aa}"
