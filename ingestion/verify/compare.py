"""Two tables that should be equal: which rows and columns are not."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import msgspec
import polars as pl

_decode: Final = msgspec.json.Decoder(float_hook=Decimal).decode
ABSENT: Final = "no row"
PRESENT: Final = "a row"


@dataclass(frozen=True, slots=True)
class Unequal:
    """A row that only one side has (`column` is ""), or a column in which both differ."""

    key: tuple[Any, ...]
    column: str
    stored: Any
    recomputed: Any


def unequal(
    stored: pl.DataFrame,
    recomputed: pl.DataFrame,
    *,
    key: list[str],
    json_columns: Collection[str] = (),
) -> Iterator[Unequal]:
    """Differences between two frames of the same columns, each sorted by a key it holds once."""
    if not stored.select(key).equals(recomputed.select(key)):
        for row in stored.join(recomputed, on=key, how="anti").select(key).iter_rows():
            yield Unequal(row, "", PRESENT, ABSENT)
        for row in recomputed.join(stored, on=key, how="anti").select(key).iter_rows():
            yield Unequal(row, "", ABSENT, PRESENT)
        both = stored.select(key).join(recomputed.select(key), on=key, how="inner")
        stored = both.join(stored, on=key, how="left", maintain_order="left")
        recomputed = both.join(recomputed, on=key, how="left", maintain_order="left")
    plain = [name for name in stored.columns if name not in json_columns]
    same = stored.select(plain).equals(recomputed.select(plain))
    for column in json_columns if same else stored.columns:
        ours, theirs = stored[column], recomputed[column]
        rows = ours.ne_missing(theirs).arg_true()
        if column in json_columns:
            yield from _unequal_members(stored.select(key), ours, theirs, rows)
            continue
        for row in rows:
            yield Unequal(stored.select(key).row(row), column, ours[row], theirs[row])


def _unequal_members(
    keys: pl.DataFrame, stored: pl.Series, recomputed: pl.Series, rows: pl.Series
) -> Iterator[Unequal]:
    """Members of JSON objects that differ in value, among the rows whose texts differ.

    jsonb keeps numbers exactly, but orders and spaces members in its own way.
    """
    sides = _decode_all(stored.gather(rows)), _decode_all(recomputed.gather(rows))
    for row, ours, theirs in zip(rows, *sides, strict=True):
        if ours == theirs:
            continue
        for name in sorted(ours.keys() | theirs.keys()):
            if ours.get(name) != theirs.get(name):
                column = f"{stored.name}.{name}"
                yield Unequal(keys.row(row), column, ours.get(name), theirs.get(name))


def _decode_all(texts: pl.Series) -> list[dict[str, Any]]:
    """JSON objects, fractions as Decimal; one call for all costs a third of a call for each."""
    values: list[dict[str, Any]] = _decode(("[" + ",".join(texts.to_list()) + "]").encode())
    return values


def described(stored: object, recomputed: object) -> tuple[str, str]:
    """Two values that differ, told by kind and size: they come from payloads."""
    ours, theirs = _describe(stored), _describe(recomputed)
    return ours, theirs if theirs != ours else theirs.replace("a ", "another ", 1)


def _describe(value: object) -> str:
    match value:
        case None:
            text = "nothing"
        case str():
            text = f"a text of {len(value)} characters"
        case bytes():
            text = f"a payload of {len(value)} bytes"
        case int() | float() | Decimal():
            text = "a number"
        case datetime():
            text = "a time"
        case _:
            text = "a value"
    return text
