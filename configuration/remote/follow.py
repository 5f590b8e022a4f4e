"""A place of configuration is followed: what changed there becomes a version, and live if it may.

One look:

1. Nobody else is looking (an advisory lock, which ends with its connection).
2. Read what is there. When the place does not answer, that is noted and nothing changes.
3. Schemas first, then metric rules, then compliance rules: rules may need a new column.
4. A text that says what is active changes nothing; one that was active before is activated again;
   any other becomes a draft, or mends the draft that it made before, and is activated.
5. What is refused stays a draft with its problems, and is tried again after each activation.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.db import Error, connection
from django.db.models import Max
from django.utils import timezone

from configuration import audit
from configuration.activation import activate
from configuration.bundling import checksum
from configuration.documents import parse_text, tell
from configuration.models import Activation, ConfigurationVersion, RemoteDocument, RemoteState
from configuration.remote.found import Found, Origin, Unreachable, text_checksum
from configuration.versions import check_text, create_draft, save_draft
from payflow.lib.errors import ConfigurationError, Problem

Kind = ConfigurationVersion.Kind
Status = ConfigurationVersion.Status

_ORDER: Final[dict[str, int]] = {Kind.SCHEMA: 0, Kind.METRICS: 1, Kind.COMPLIANCE: 2}
#: how often it is written down that a document is still there
_SEEN_EVERY: Final = timedelta(seconds=30)
#: first key of the advisory locks, "pfrc"
_LOCK: Final = 0x70667263

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    """What became of a document: the version it stands in, and why that is not live."""

    version: ConfigurationVersion | None
    problems: list[Problem]


class Follower:
    """Follows one place; it remembers only what saves work."""

    def __init__(self, origin: Origin, *, before: Sequence[str] = ()) -> None:
        """`before` names the places whose documents count more than this one's."""
        self.origin = origin
        self._before = before
        #: what the refused were last tried against
        self._tried_at: tuple[Any, ...] | None = None

    def follow(self) -> bool:
        """Look once. False when another worker is looking just now.

        Errors of the database are the caller's: the next look does what this one did not.
        """
        with _alone(self.origin.name) as is_alone:
            if not is_alone:
                return False
            try:
                found = self.origin.read()
            except Unreachable as exc:
                _note_failure(self.origin, str(exc))
            else:
                self._take_all(found)
                _note_answer(self.origin)
            return True

    def _take_all(self, found: list[Found]) -> None:
        documents = RemoteDocument.objects.filter(origin=self.origin.name)
        rows = {row.key: row for row in documents.select_related("version")}
        known: list[Found] = []
        changed: list[Found] = []
        for item in found:
            row = rows.get(item.key)
            (known if row and row.checksum == item.checksum else changed).append(item)
        for item in sorted(changed + self._to_retry(known, rows), key=_order):
            self._take(item, rows.get(item.key))
        here = {item.key for item in found}
        for key, row in rows.items():
            if key not in here and row.checksum:
                self._gone(row)
        now = timezone.now()
        documents.filter(seen_at__lt=now - _SEEN_EVERY, key__in=here).update(seen_at=now)

    def _to_retry(self, known: list[Found], rows: dict[str, RemoteDocument]) -> list[Found]:
        """What was refused, when something became active or changed elsewhere since."""
        refused = [item for item in known if rows[item.key].problems]
        if not refused:
            return []
        activation = Activation.objects.aggregate(newest=Max("pk"))["newest"]
        change = RemoteDocument.objects.aggregate(newest=Max("changed_at"))["newest"]
        if (activation, change) == self._tried_at:
            return []
        self._tried_at = (activation, change)
        return refused

    def _take(self, item: Found, row: RemoteDocument | None) -> None:
        kind = item.kind or (row.kind if row else "")
        name = item.name or (row.name if row else "")
        taken = self._taken(item, row, kind, name)
        now = timezone.now()
        values: dict[str, Any] = {
            "kind": kind,
            "name": name,
            "checksum": item.checksum,
            "version": taken.version,
            "problems": [{"pointer": p.pointer, "message": p.message} for p in taken.problems],
            "seen_at": now,
        }
        if row is None or row.checksum != item.checksum:
            values["changed_at"] = now
            if taken.problems:
                target = str(taken.version or item.key)
                audit.record("refused", target, version=taken.version, key=item.key)
        RemoteDocument.objects.update_or_create(
            origin=self.origin.name, key=item.key, defaults=values
        )

    def _taken(self, item: Found, row: RemoteDocument | None, kind: str, name: str) -> _Taken:
        if item.problem:
            return _refused(item.problem)
        if not kind:
            return _no_document(item.text)
        if rival := self._rival(kind, name):
            return _refused(f"not used: {rival.key} in the {rival.origin} gives {name} too")
        version = _live_before(kind, name, item.text)
        if version is None:
            version, problems = self._draft(item, row, kind, name)
            if problems:
                return _Taken(version=version, problems=problems)
        if version.status != Status.ACTIVE:
            try:
                activate(version, reason=f"{self.origin.title}: {item.key}"[:512])
            except ConfigurationError as exc:
                return _Taken(version=version, problems=exc.problems)
        return _Taken(version=version, problems=[])

    def _draft(
        self, item: Found, row: RemoteDocument | None, kind: str, name: str
    ) -> tuple[ConfigurationVersion, list[Problem]]:
        """The draft of a text and what is wrong with it: its own one mended, or a new one."""
        own = row.version if row else None
        if own is not None and own.is_draft and own.text == item.text:
            return own, check_text(kind, name, item.text)[1]
        # a draft that a person has edited meanwhile is theirs
        if row and own and own.is_draft and text_checksum(own.text) == row.checksum:
            draft = save_draft(own, item.text, by=None)
        else:
            active = ConfigurationVersion.objects.filter(kind=kind, name=name)
            draft = create_draft(
                kind=kind,
                name=name,
                text=item.text,
                base=active.filter(status=Status.ACTIVE).first(),
                note=f"from {item.key}",
                origin=self.origin.title[:128],
            )
        return draft, [Problem(**problem) for problem in draft.problems]

    def _rival(self, kind: str, name: str) -> RemoteDocument | None:
        """The same document in a place that counts more."""
        return (
            RemoteDocument.objects.filter(origin__in=self._before, kind=kind, name=name)
            .exclude(checksum="")
            .first()
        )

    def _gone(self, row: RemoteDocument) -> None:
        """What is no longer there stays active: an empty place must not stop payments."""
        row.checksum, row.problems, row.changed_at = "", [], timezone.now()
        row.save(update_fields=["checksum", "problems", "changed_at"])
        audit.record("no longer found", row.key, version=row.version, origin=row.origin)


def _live_before(kind: str, name: str, text: str) -> ConfigurationVersion | None:
    """The version that says the same and is active, or was."""
    try:
        document = parse_text(text)
    except ConfigurationError:
        return None
    return (
        ConfigurationVersion.objects.filter(kind=kind, name=name, checksum=checksum(document))
        .exclude(activated_at=None)
        .order_by("status", "-activated_at")  # active before retired
        .first()
    )


def _refused(message: str) -> _Taken:
    return _Taken(version=None, problems=[Problem(pointer="", message=message)])


def _no_document(text: str) -> _Taken:
    """Why a text is nothing that a version could be made of."""
    try:
        tell(text)
    except ConfigurationError as exc:
        return _Taken(version=None, problems=exc.problems)
    return _refused("is no document")


def _order(item: Found) -> tuple[int, str]:
    return _ORDER.get(item.kind, len(_ORDER)), item.key


@contextmanager
def _alone(name: str) -> Iterator[bool]:
    """Whether this is the one look at a place, of all workers."""
    keys = (_LOCK, zlib.crc32(name.encode()) - 2**31)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", keys)
        row = cursor.fetchone()
    is_alone = bool(row and row[0])
    try:
        yield is_alone
    finally:
        # a connection that broke has given the lock back already
        with suppress(Error):
            if is_alone:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_advisory_unlock(%s, %s)", keys)


def _note_answer(origin: Origin) -> None:
    now = timezone.now()
    state, is_new = RemoteState.objects.get_or_create(
        origin=origin.name, defaults={"looked_at": now, "answered_at": now}
    )
    if is_new:
        return
    if state.error:
        _log.info("%s answers again", origin.title, extra={"action": "remote_answers"})
    state.looked_at = state.answered_at = now
    state.error, state.error_since = "", None
    state.save()


def _note_failure(origin: Origin, error: str) -> None:
    now = timezone.now()
    state, _ = RemoteState.objects.get_or_create(origin=origin.name, defaults={"looked_at": now})
    if state.error != error[:512]:
        _log.warning(
            "%s; the last good configuration stays active",
            error,
            extra={"action": "remote_unreachable"},
        )
    state.looked_at, state.error = now, error[:512]
    state.error_since = state.error_since or now
    state.save()
