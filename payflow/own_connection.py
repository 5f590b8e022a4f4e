"""A database connection beside Django's: whoever watches must not wait for what they watch."""

from __future__ import annotations

from typing import Any

import psycopg
from django.db import connection


def connect(*, patience_s: int) -> psycopg.Connection[tuple[Any, ...]]:
    """Django's database, autocommit, no pool (its connections may all be busy or waiting).

    Connecting and each statement end with a psycopg.Error after `patience_s` seconds.
    """
    arguments = connection.get_connection_params()
    arguments.pop("cursor_factory", None)
    arguments.pop("context", None)
    arguments |= {
        "connect_timeout": max(2, patience_s),  # libpq takes 1 for 2
        "options": f"-c statement_timeout={patience_s}s",
        "autocommit": True,
    }
    return psycopg.connect(**arguments)
