"""Finds the few messages of a batch that may hold card data by scanning whole columns.

Nearly every message is clean, so this is what scrubbing costs. The patterns are linear (the regex
crate of polars does not backtrack) and take too many messages rather than too few.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

#: A run of 13 digits that begins like a card, also behind zeros, %20 or an escaped letter. Ratios
#: like 0.4532015112830366 are everywhere and do not match.
_RUN = (
    r"(?:^|[^0-9.]|(?:^|[^0]|[0-9]0)\.|%[0-9A-Fa-f]{2})0*[2-6]"
    r"(?:(?:[ +\-\x00\x{a0}\x{2010}-\x{2015}]|%2[0BbDd])?[0-9]){12}"
)
#: The end of a CVV or track name and what follows (cvv_provided is none); an escape that may
#: hide a digit, a separator or a part of a name; an exponent; the marks of the two tracks.
_OTHER = (
    r"(?i-u:(?:cv[vcnd]2?|csc|cid|security[ _-]?code|card[ _-]?verification|verification[ _-]?value"
    r"|track(?:[ _-]?[123])?(?:[ _-]?equivalent)?|mag(?:netic)?[ _-]?stripe)"
    r"(?:[ _-]?(?:code|value|number|num|no|data))?[ _-]?"
    r'["' + r"'\\=:>#%\s])"
    r"|\\u00[2-7]|\\u[0-9A-Fa-f]{4}[0-9]"
    r"|(?:^|[^0-9A-Za-z.])(?:[0-9]\.?){7,}[eE][+\-]?[0-9]{1,3}(?:[^0-9A-Za-z]|$)"
    r"|[0-9] ?\^|;[0-9]{12}"
)
_EITHER = f"{_RUN}|{_OTHER}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """Indexes of the values of a column to look at."""

    indexes: list[int]  #: all of them, in order
    runs_only: frozenset[int]  #: those that can hold nothing but plain runs of digits
    broken: frozenset[int]  #: those that are no UTF-8, and so no JSON either


def find_candidates(column: Sequence[bytes | None]) -> Candidates:
    """One scan over the column; what it finds is scanned once more to tell why."""
    binary = pl.Series(column, dtype=pl.Binary)
    broken: frozenset[int] = frozenset()
    try:
        texts = binary.cast(pl.String)
    except pl.exceptions.PolarsError:
        broken = frozenset(i for i, value in enumerate(column) if value and not _is_utf8(value))
        kept = [None if i in broken else value for i, value in enumerate(column)]
        texts = pl.Series(kept, dtype=pl.Binary).cast(pl.String)
    found = texts.str.contains(_EITHER).fill_null(value=False).arg_true()
    runs_only = found.filter(~texts.gather(found).str.contains(_OTHER)) if len(found) else found
    return Candidates(
        indexes=sorted(broken.union(found)) if broken else found.to_list(),
        runs_only=frozenset(runs_only),
        broken=broken,
    )


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
