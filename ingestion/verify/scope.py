"""Which batches a run looks at, and the connection it looks through."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from django.db import connection

from payflow.lib.errors import Permanent
from payflow.lib.event_id import first_id_at

_PARTITION = """
SELECT p.id FROM partitions p JOIN sources s ON s.id = p.source_id
WHERE s.name = %(source)s AND p.name = %(name)s
"""
_SAMPLE = """
SELECT id FROM batches
WHERE id >= %(low_id)s AND (%(partition)s::bigint IS NULL OR partition_id = %(partition)s)
ORDER BY random() LIMIT %(size)s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a person asked for; everything by default."""

    #: batches that arrived from here on
    since: datetime | None = None
    #: batches of this partition only: SOURCE/NAME
    partition: str = ""
    #: so many batches, chosen at random among these
    sample: int | None = None

    @property
    def is_whole(self) -> bool:
        return self.since is None and not self.partition and self.sample is None


def open_connection() -> psycopg.Connection[Any]:
    """A connection of verify's own: autocommit, UTC, no timeouts (a snapshot may take minutes)."""
    parameters = connection.get_connection_params() | {
        "application_name": "payflow-verify",
        "options": "-c statement_timeout=0 -c idle_in_transaction_session_timeout=0 "
        "-c lock_timeout=60s -c TimeZone=UTC",
    }
    opened: psycopg.Connection[Any] = psycopg.connect(**parameters, autocommit=True)
    return opened


def scope_parameters(cursor: psycopg.Cursor[Any], scope: Scope) -> dict[str, Any]:
    """The parameters of `CHOSEN` for a scope. Raises Permanent for an unknown partition."""
    parameters: dict[str, Any] = {
        "low_id": first_id_at(scope.since) if scope.since else 0,
        "partition": None,
        "sample": None,
    }
    if scope.partition:
        source, _, name = scope.partition.partition("/")
        row = cursor.execute(_PARTITION, {"source": source, "name": name}).fetchone()
        if row is None:
            raise Permanent(f"there is no partition {scope.partition!r}: give SOURCE/NAME")
        parameters["partition"] = row[0]
    if scope.sample is not None:
        rows = cursor.execute(_SAMPLE, parameters | {"size": scope.sample}).fetchall()
        parameters["sample"] = [identifier for (identifier,) in rows]
    return parameters
