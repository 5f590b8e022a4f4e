"""Expressions over wire columns: the text of each value, and the JSON Schema's keywords."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce
from operator import or_

import polars as pl

from ingestion.parsing.decoding import ABSENT
from ingestion.parsing.formats import FORMATS
from ingestion.parsing.reading import JsonNumber, JsonValue
from ingestion.parsing.tree import Node, Wire

INTEGER = r"^-?[0-9]+$"
#: doubles tell all decimals of so many digits apart
_EXACT_DIGITS = 15
_STARTS = {"string": '"', "array": "[", "object": "{"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One field that columns read."""

    node: Node
    #: column with what the decoder gave
    wire: str
    #: column with the value's text; null where it is absent, null or a word for null
    text: str

    @property
    def is_raw(self) -> bool:
        """Whether the wire column holds JSON and not text."""
        return self.node.wire is Wire.RAW


def cell_text(cell: Cell, nulls: Iterable[str]) -> pl.Expr:
    """The `text` column from the wire column."""
    wire = pl.col(cell.wire)
    if cell.is_raw:
        words = ["", "null", *(_json(word) for word in nulls if _json(word))]
        wire_text = wire.str.strip_prefix('"').str.strip_suffix('"')
        return pl.when(~wire.is_in(words)).then(wire_text).alias(cell.text)
    return pl.when(~wire.is_in([ABSENT, *nulls])).then(wire).alias(cell.text)


def routed(wire: str, node: Node, words: Iterable[str]) -> pl.Expr:
    """Whether a field holds one of a route's words."""
    known = [word for word in words if "\0" not in word]
    raw = node.wire is Wire.RAW
    return pl.col(wire).is_in([_json(word) for word in known] if raw else known).fill_null(False)


def is_clear(wire_name: str, node: Node) -> pl.Expr:
    """Whether nothing is there that only the slow path can look into."""
    wire = pl.col(wire_name)
    return ~wire.str.starts_with("{") if node.scalar and not node.opaque else wire == ""


def checks(wire_name: str, node: Node) -> Iterator[pl.Expr]:
    """Conditions under which the JSON Schema surely takes a field; the decoder did the rest."""
    wire = pl.col(wire_name)
    if node.wire is Wire.TEXT:
        if not node.schema.keywords.keys() & {"enum", "const"}:
            for pattern in _patterns(node):
                yield (wire.str.contains(pattern) | (wire == ABSENT)).fill_null(True)
    elif node.wire is Wire.RAW and not node.opaque:
        for condition in _raw_checks(wire, node):
            yield condition | (wire == "")


def _raw_checks(wire: pl.Expr, node: Node) -> Iterator[pl.Expr]:
    keywords = node.schema.keywords
    if "type" in keywords:
        yield _any(_has_type(wire, name) for name in keywords["type"])
    for name in keywords.keys() & {"enum", "const"}:
        yield wire.is_in([text for value in keywords[name] if (text := _json(value))])
    if "items" in keywords:
        yield ~wire.str.starts_with("[")
    if "additionalProperties" in keywords:
        yield ~wire.str.starts_with("{")
    yield from _bounds(wire, node)
    if "multipleOf" in keywords:
        yield ~_is_number(wire) | wire.str.contains(_multiples(keywords["multipleOf"]))
    if keywords.keys() & {"minLength", "maxLength", "pattern", "format"}:
        yield ~wire.str.starts_with('"') | _string_checks(wire, node)


def _string_checks(wire: pl.Expr, node: Node) -> pl.Expr:
    keywords = node.schema.keywords
    inner = wire.str.strip_prefix('"').str.strip_suffix('"')
    length = inner.str.len_chars()
    return pl.all_horizontal(
        ~wire.str.contains("\\", literal=True),
        length >= keywords.get("minLength", 0),
        length <= keywords.get("maxLength", 2**32 - 1),
        *(inner.str.contains(pattern) for pattern in _patterns(node)),
    )


def _bounds(wire: pl.Expr, node: Node) -> Iterator[pl.Expr]:
    """Ranges by float comparison where that is certain.

    Rounding to float keeps order, so what is beyond the bound as a float is beyond it exactly.
    At the bound itself, only a number short enough to have a float of its own is the bound.
    """
    number = wire.cast(pl.Float64, strict=False)
    short = (wire.str.len_bytes() <= _EXACT_DIGITS) & ~wire.str.contains("[eE]")
    for name, value in node.schema.keywords.items():
        if name not in {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}:
            continue
        bound = float(value)
        beyond = number > bound if name in {"minimum", "exclusiveMinimum"} else number < bound
        if name in {"minimum", "maximum"} and len(value.as_tuple().digits) <= _EXACT_DIGITS:
            beyond |= (number == bound) & short
        yield ~_is_number(wire) | (beyond & number.is_finite()).fill_null(False)


def _multiples(divisor: Decimal) -> str:
    """Numbers that are a multiple at sight: of 1, 0.1, 0.01 and so on."""
    _sign, digits, exponent = divisor.normalize().as_tuple()
    decimals = -int(exponent)
    if digits != (1,) or not 0 <= decimals <= 100:
        return r"^-?0$"
    return INTEGER if decimals == 0 else rf"^-?[0-9]+(?:\.[0-9]{{1,{decimals}}})?$"


def _has_type(wire: pl.Expr, name: str) -> pl.Expr:
    if name in _STARTS:
        return wire.str.starts_with(_STARTS[name])
    if name == "number":
        return _is_number(wire)
    if name == "integer":
        return wire.str.contains(INTEGER)
    return wire.is_in(["true", "false"] if name == "boolean" else ["null"])


def _is_number(wire: pl.Expr) -> pl.Expr:
    return wire.str.contains("^[-0-9]")


def _patterns(node: Node) -> Iterator[str]:
    keywords = node.schema.keywords
    if "pattern" in keywords:
        yield keywords["pattern"][1]
    if "format" in keywords:
        yield FORMATS[keywords["format"]].fast_pattern


def _json(value: JsonValue) -> str:
    """The usual JSON text of a scalar; empty for anything else."""
    if isinstance(value, JsonNumber):
        return value.literal
    if isinstance(value, list | dict) or (isinstance(value, str) and not value.isprintable()):
        return ""
    return json.dumps(value, ensure_ascii=False)


def _any(conditions: Iterable[pl.Expr]) -> pl.Expr:
    return reduce(or_, conditions, pl.lit(False))
