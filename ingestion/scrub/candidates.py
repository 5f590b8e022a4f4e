"""Finds the few messages of a batch that may hold card data: two scans over the whole column.

Nearly every message is clean, so this is what scrubbing costs; both patterns are linear (the regex
crate of polars has no backtracking) and take too many rather than too few.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

#: A run of 13 digits that begins like a card, also behind zeros, %20 or an escaped letter; an escape
#: that may hide a digit, a separator or a name; an exponent; the marks of the two tracks.
_DIGITS = (
    r"(?:^|[^0-9]|%[0-9A-Fa-f]{2})0*[2-6]"
    r"(?:(?:[ +\-\x00\x{a0}\x{2010}-\x{2015}]|%2[0BbDd])?[0-9]){12}"
    r"|\\u00[2-7]|\\u[0-9A-Fa-f]{4}[0-9]"
    r"|(?:[0-9]\.?){7}[eE][+\-]?[0-9]"
    r"|[0-9] ?\^|;[0-9]{12}"
)
#: The end of a CVV or track name with what follows a name. cvv_provided is none.
_NAMES = (
    r"(?i-u:(?:cv[vcnd]2?|csc|cid|security[ _-]?code|verification|verification[ _-]?value"
    r"|track|track[ _-]?[123]|equivalent|stripe)"
    r"(?:[ _-]?(?:code|value|number|num|no|data))?[ _-]?"
    r'(?:["' + r"'\\=:>#%]| [0-9]))"
)


def find_candidates(column: Sequence[bytes | None]) -> tuple[list[int], frozenset[int]]:
    """Indexes that may hold card data, in order, and those of them that are no UTF-8.

    What is no UTF-8 is no JSON either and is always looked at.
    """
    binary = pl.Series(column, dtype=pl.Binary)
    broken: frozenset[int] = frozenset()
    try:
        texts = binary.cast(pl.String)
    except pl.exceptions.PolarsError:
        broken = frozenset(i for i, value in enumerate(column) if value and not _is_utf8(value))
        kept = [None if i in broken else value for i, value in enumerate(column)]
        texts = pl.Series(kept, dtype=pl.Binary).cast(pl.String)
    suspicious = texts.str.contains(_DIGITS) | texts.str.contains(_NAMES)
    found = suspicious.fill_null(value=False).arg_true().to_list()
    return (sorted(broken.union(found)) if broken else found), broken


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
