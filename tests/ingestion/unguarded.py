"""Changes behind payflow's back to what the database holds unchangeable."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


@contextmanager
def changeable_bundles() -> Iterator[None]:
    """Whoever owns the tables can change bundles all the same: verify must find it."""
    _execute("ALTER TABLE configuration_bundles DISABLE TRIGGER configuration_bundles_keep")
    try:
        yield
    finally:
        _execute("ALTER TABLE configuration_bundles ENABLE TRIGGER configuration_bundles_keep")


def _execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
