"""The active configuration for programs that only want to read it: documents by name, last good."""

from __future__ import annotations

import copy
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.db import DatabaseError, InterfaceError, connection

from configuration.models import ConfigurationVersion
from payflow.lib.errors import ConfigurationError, Problem, StorageError

logger = logging.getLogger(__name__)

Kind = ConfigurationVersion.Kind

#: what is read is at most this old, as long as the database answers
MAX_AGE_S: Final = 1.0
#: the rule sets that sources use by default have keys of their own
_KEYS: Final[Mapping[tuple[str, str], str]] = {
    (Kind.METRICS, "default"): "metrics:definitions:v1",
    (Kind.COMPLIANCE, "default"): "compliance:rules:v1",
}
_PREFIXES: Final[Mapping[str, str]] = {
    Kind.SCHEMA: "schemas",
    Kind.METRICS: "metrics",
    Kind.COMPLIANCE: "compliance",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Snapshot:
    """Every active document at one moment, by kind and name."""

    documents: Mapping[tuple[str, str], Mapping[str, Any]]
    read_at: float


class ConfigurationManager:
    """Reads what is active. Thread-safe; one for a process is enough.

    All documents are of one moment, and each is the caller's own copy. When the database is away
    the last good ones are given; only who never had any gets StorageError.
    """

    def __init__(self, *, max_age_s: float = MAX_AGE_S) -> None:
        self._max_age_s = max_age_s
        self._snapshot: _Snapshot | None = None
        self._reading = threading.Lock()

    def get_transaction_schema(self, name: str = "transaction") -> dict[str, Any]:
        """The active transaction schema of this name. Raises ConfigurationError without one."""
        return self._get(Kind.SCHEMA, name)

    def get_metrics_definitions(self, name: str = "default") -> dict[str, Any]:
        """The active metric rule set of this name. Raises ConfigurationError without one."""
        return self._get(Kind.METRICS, name)

    def get_compliance_rules(self, name: str = "default") -> dict[str, Any]:
        """The active compliance rule set of this name. Raises ConfigurationError without one."""
        return self._get(Kind.COMPLIANCE, name)

    def load_all_configuration(self) -> dict[str, dict[str, Any]]:
        """Every active document by its key, e.g. "schemas:transaction:v1"."""
        documents = self._current().documents
        return {
            _KEYS.get((kind, name), f"{_PREFIXES[kind]}:{name}:v1"): copy.deepcopy(dict(document))
            for (kind, name), document in documents.items()
        }

    def reload_configuration(self) -> bool:
        """Read now, whatever is kept; False when that failed and the last good ones stay.

        Raises StorageError when there are none.
        """
        with self._reading:
            return self._read()

    # --- the snapshot ------------------------------------------------------------------------

    def _get(self, kind: str, name: str) -> dict[str, Any]:
        documents = self._current().documents
        found = documents.get((kind, name))
        if found is None:
            known = ", ".join(sorted(other for of, other in documents if of == kind)) or "none"
            message = f"no active {Kind(kind).label.lower()} is named {name!r}; active are: {known}"
            raise ConfigurationError(Problem(pointer="", message=message))
        return copy.deepcopy(dict(found))

    def _current(self) -> _Snapshot:
        """What is kept, read anew when it is old; while one thread reads, others take the old."""
        kept = self._snapshot
        if kept is None:
            with self._reading:
                if self._snapshot is None:
                    self._read()
        elif self._is_old(kept) and self._reading.acquire(blocking=False):
            try:
                self._read()
            finally:
                self._reading.release()
        return self._snapshot or _Snapshot(documents={}, read_at=0.0)

    def _is_old(self, snapshot: _Snapshot) -> bool:
        return time.monotonic() - snapshot.read_at >= self._max_age_s

    def _read(self) -> bool:
        """One query; the caller holds the lock."""
        active = ConfigurationVersion.objects.filter(status=ConfigurationVersion.Status.ACTIVE)
        try:
            rows = list(active.values_list("kind", "name", "document").order_by("kind", "name"))
        except (DatabaseError, InterfaceError) as exc:
            connection.close_if_unusable_or_obsolete()
            if self._snapshot is None:
                raise StorageError("the configuration cannot be read: no database") from exc
            logger.warning(
                "the configuration cannot be read, the last good one stays",
                extra={"action": "configuration_kept", "error": type(exc).__name__},
            )
            self._snapshot = _Snapshot(documents=self._snapshot.documents, read_at=time.monotonic())
            return False
        documents = {(kind, name): document for kind, name, document in rows}
        self._snapshot = _Snapshot(documents=documents, read_at=time.monotonic())
        return True
