"""How a drainer follows the active bundles: it looks, takes what changed, and answers in a row.

An answer is a promise: from then on no batch of this drainer is evaluated under another bundle.
A bundle that does not load is answered with the reason, and the last good one stays.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Final

from django.db import DatabaseError, InterfaceError, connection

from ingestion import archive
from ingestion.bundles import load_bundle
from ingestion.readers import SourceReader
from payflow.lib.errors import BundleMissing, Retryable

logger = logging.getLogger(__name__)

#: seconds after which a bundle that does not load is tried again, if nobody activates another
LOAD_AGAIN_S: Final = 30.0
_LOOK = """
SELECT id, active_bundle_id, bundle_serial, paused_at IS NOT NULL, settings_serial
FROM sources WHERE id = ANY(%s)
"""
# a repeated problem keeps the time at which it was first met
_ANSWER = """
INSERT INTO configuration_acknowledgements AS a
    (source_id, serial, bundle_id, owner, acknowledged_at, problem)
VALUES (%(source)s, %(serial)s, %(bundle)s, %(owner)s, clock_timestamp(), %(problem)s)
ON CONFLICT ON CONSTRAINT configuration_acknowledgements_owner DO UPDATE
SET bundle_id = excluded.bundle_id, acknowledged_at = excluded.acknowledged_at,
    problem = excluded.problem
WHERE a.bundle_id <> excluded.bundle_id OR a.problem <> excluded.problem
"""


class Following:
    """The bundles of one drainer's sources."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        #: ids of the sources that are paused, as of the last look
        self.paused: set[int] = set()
        #: serial of each source's settings, as of the last look
        self.settings_serials: dict[int, int] = {}

    def look(self, readers: Mapping[int, SourceReader]) -> bool:
        """Read which bundles are active; True if any source got another one here."""
        if not readers:
            return False
        with connection.cursor() as cursor:
            cursor.execute(_LOOK, [list(readers)])
            rows = cursor.fetchall()
        self.paused = {source for source, _, _, is_paused, _ in rows if is_paused}
        self.settings_serials = {source: serial for source, *_, serial in rows}
        changed = False
        for source, bundle, serial, *_ in rows:
            reader = readers[source]
            if bundle is not None and _is_due(reader, (bundle, serial)):
                changed |= self._follow(reader, bundle=bundle, serial=serial)
        return changed

    def _follow(self, reader: SourceReader, *, bundle: int, serial: int) -> bool:
        is_news = reader.answered != (bundle, serial)
        problem = _load(reader, bundle)
        reader.load_again_at = time.monotonic() + LOAD_AGAIN_S if problem else None
        with connection.cursor() as cursor:
            cursor.execute(
                _ANSWER,
                {
                    "source": reader.source.pk,
                    "serial": serial,
                    "bundle": bundle,
                    "owner": self._owner,
                    "problem": problem[:512],
                },
            )
        reader.answered = (bundle, serial)
        context = {"source": reader.source.name, "bundle": bundle, "serial": serial}
        if not problem:
            logger.info("runs another bundle", extra={"action": "bundle_taken", **context})
        elif is_news:
            logger.error(
                "bundle does not load, the last good one stays: %s",
                problem,
                extra={"action": "bundle_refused", **context},
            )
        return not problem


def _is_due(reader: SourceReader, row: tuple[int, int]) -> bool:
    if reader.answered != row:
        return True
    return reader.load_again_at is not None and time.monotonic() >= reader.load_again_at


def _load(reader: SourceReader, bundle_id: int) -> str:
    """Give the reader its bundle; why that is impossible, or ""."""
    try:
        bundle = load_bundle(bundle_id)
    except BundleMissing as exc:
        return str(exc)
    except (DatabaseError, InterfaceError, Retryable):
        raise
    except Exception as exc:  # our own bug on this bundle must not stop the good one
        logger.exception("cannot compile a bundle", extra={"action": "bundle_failed"})
        return f"Bundle {bundle_id} does not load: {type(exc).__name__}; the worker's log has more."
    archive.keep_bundle(digest=bundle.hash, content=bundle.content)
    reader.bundle = bundle
    return ""
