"""NUL characters in what was sent: PostgreSQL holds none, so nothing can be found or kept by it."""

from __future__ import annotations

from typing import Final

import psycopg
from django.db import DataError

#: what is said to who sent it
WHY_NOT: Final = "A value holds a NUL character, which cannot be kept or looked for."


def is_about_nul(exc: BaseException) -> bool:
    """Whether an error of the database is about a NUL character in a value."""
    is_data = isinstance(exc, DataError) and isinstance(exc.__cause__, psycopg.DataError)
    return is_data and "NUL" in str(exc)
