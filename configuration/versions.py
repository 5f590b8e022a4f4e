"""Versions of schemas and rule sets while they are made: drafts, and documents imported as such.

A draft may be wrong: it keeps what is wrong with it, and cannot go live (activation.py).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Max
from django.db.models.functions import Now

from configuration import audit, validators
from configuration.bundling import checksum, lock_configuration
from configuration.documents import placed, read_text
from configuration.models import AuditEntry, ConfigurationVersion
from configuration.text_edits import as_yaml
from payflow.lib.errors import ConfigurationError, Permanent, Problem

Kind = ConfigurationVersion.Kind
Status = ConfigurationVersion.Status
#: how the audit trail calls it that a draft was given another text
_SAVED: Final = "saved"
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")


class NotADraft(Permanent):
    """Only drafts can be edited: make a new draft from this version."""


class StaleDraft(Permanent):
    """Somebody else saved this draft meanwhile: nothing was overwritten."""


def import_document(
    *,
    kind: str,
    name: str,
    document: Mapping[str, Any],
    text: str = "",
    note: str = "",
    author: User | None = None,
) -> ConfigurationVersion:
    """A new draft, or the version that already has this content.

    Raises ConfigurationError when the document does not compile: no version is made.
    """
    validators.validate_document(kind, document, name)
    with transaction.atomic():
        lock_configuration()
        digest = checksum(document)
        versions = ConfigurationVersion.objects.filter(kind=kind, name=name)
        same = versions.filter(checksum=digest).order_by("-activated_at", "number").first()
        if same is not None:
            return same
        return _add(
            kind=kind,
            name=name,
            document=document,
            text=text,
            checksum=digest,
            note=note,
            author=author,
        )


def create_draft(
    *,
    kind: str,
    name: str,
    text: str,
    author: User | None = None,
    note: str = "",
    base: ConfigurationVersion | None = None,
    origin: str = "",
) -> ConfigurationVersion:
    """A new draft of a text, kept even when it is wrong: its `problems` say what is.

    Raises ConfigurationError for a text that cannot be kept at all.
    """
    _refuse_unstorable(text)
    document, problems = check_text(kind, name, text)
    with transaction.atomic():
        lock_configuration()
        return _add(
            kind=kind,
            name=name,
            document=document,
            text=text,
            checksum=_checksum(document, text),
            problems=_as_json(problems),
            note=note,
            author=author,
            base=base,
            origin=origin,
        )


def new_draft_from(version: ConfigurationVersion, *, author: User | None) -> ConfigurationVersion:
    """A draft with the content of any version, under the next number."""
    return create_draft(
        kind=version.kind,
        name=version.name,
        text=text_of(version),
        author=author,
        base=version,
    )


def save_draft(
    version: ConfigurationVersion,
    text: str,
    *,
    by: User | None,
    note: str | None = None,
    expected: str | None = None,
) -> ConfigurationVersion:
    """Put another text into a draft; `expected` is the text_token() that its editor began with.

    An approval that was asked for is asked for no longer: it was about the old text. Raises
    NotADraft and StaleDraft, and ConfigurationError for a text that cannot be kept at all.
    """
    _refuse_unstorable(text)
    document, problems = check_text(version.kind, version.name, text)
    with transaction.atomic():
        row = _draft(version)
        if expected is not None and text_token(row) != expected:
            raise StaleDraft
        row.document, row.text = document, text
        row.checksum = _checksum(document, text)
        row.problems = _as_json(problems)
        row.note = row.note if note is None else note[:512]
        row.approval_asked_at = row.approval_asked_by = None
        row.approval_reason = ""
        row.saved_at = Now()
        row.save()
        audit.record(_SAVED, in_words(row), by=by, version=row, checksum=row.checksum)
    row.refresh_from_db()
    return row


def discard_draft(version: ConfigurationVersion, *, by: User | None) -> None:
    """Delete a draft; its number is not given again while later ones exist. Raises NotADraft."""
    with transaction.atomic():
        row = _draft(version)
        audit.record("discarded", in_words(row), by=by, checksum=row.checksum)
        row.delete()


def check_text(kind: str, name: str, text: str) -> tuple[dict[str, Any], list[Problem]]:
    """(document, everything that is wrong with it); {} when it cannot be read. Never raises."""
    try:
        document, lines = read_text(text)
    except ConfigurationError as exc:
        return {}, exc.problems
    if document.get("name") != name:
        problem = Problem(pointer="/name", message=f"must be {name!r}: a version keeps its name")
        return document, placed([problem], lines)
    try:
        validators.validate_document(kind, document, name)
    except ConfigurationError as exc:
        return document, placed(exc.problems, lines)
    return document, []


def text_of(version: ConfigurationVersion) -> str:
    """The YAML of a version: as its author wrote it, or made of its document."""
    if version.text:
        return version.text
    return as_yaml(version.document)


def text_token(version: ConfigurationVersion) -> str:
    """What an editor gives back when it saves: it tells every text from every other."""
    return hashlib.sha256(text_of(version).encode()).hexdigest()[:32]


def writers_of(version: ConfigurationVersion) -> set[int]:
    """Ids of the people whose words it may hold: its author, and who saved it since."""
    saved = AuditEntry.objects.filter(version=version, action=_SAVED, actor__isnull=False)
    ids = set(saved.values_list("actor_id", flat=True))
    return ids if version.author_id is None else ids | {version.author_id}


def _draft(version: ConfigurationVersion) -> ConfigurationVersion:
    row = ConfigurationVersion.objects.select_for_update().get(pk=version.pk)
    if not row.is_draft or row.activated_at is not None:
        raise NotADraft
    return row


def _add(*, kind: str, name: str, author: User | None, **values: Any) -> ConfigurationVersion:
    """The next version of a name; under the lock of the configuration."""
    versions = ConfigurationVersion.objects.filter(kind=kind, name=name)
    last = versions.aggregate(last=Max("number"))["last"] or 0
    row = ConfigurationVersion.objects.create(
        kind=kind, name=name, number=last + 1, author=author, **values
    )
    audit.record("drafted", in_words(row), by=author, version=row, origin=row.origin)
    return row


def _refuse_unstorable(text: str) -> None:
    """PostgreSQL holds neither NUL nor half a character."""
    if _UNSTORABLE.search(text):
        message = "holds a NUL character or half a character, which cannot be kept"
        raise ConfigurationError(Problem(pointer="", message=message))


def _checksum(document: Mapping[str, Any], text: str) -> str:
    """Of the document where it can be told; a draft's keys need not be text."""
    with suppress(TypeError):
        if document:
            return checksum(document)
    return hashlib.sha256(text.encode()).hexdigest()


def _as_json(problems: list[Problem]) -> list[dict[str, str]]:
    return [{"pointer": problem.pointer, "message": problem.message} for problem in problems]


def in_words(version: ConfigurationVersion) -> str:
    """What the audit trail calls it: rule sets of two kinds may have one name."""
    return f"{version.get_kind_display().lower()} {version}"
