"""Which releases of payflow have worked on this database, and since when: marks on time axes."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.db import connection

from payflow.lib.version import ENGINE_VERSION

_NOTE: Final = """
INSERT INTO deployments (release, engine_version, first_seen_at)
VALUES (%(release)s, %(engine)s, clock_timestamp())
ON CONFLICT (release) DO NOTHING
"""


def note_release() -> None:
    """Say that a worker of this release lives; only the very first of each leaves a row."""
    with connection.cursor() as cursor:
        cursor.execute(_NOTE, {"release": settings.PAYFLOW["RELEASE"], "engine": ENGINE_VERSION})
