"""What a person may do to a source: define it, route its messages, stop and go on reading it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from configuration import audit, validators
from configuration.bundling import bundle_content, lock_configuration, refresh_bundle
from configuration.documents import read_text
from configuration.models import Source
from payflow.lib.errors import ConfigurationError, Problem

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NO_SETTINGS: Final = "a source of files has none: the command that reads a file names it"
_MEANWHILE: Final = "somebody else has changed them meanwhile: open this page anew"
#: what stands between :// and @ in an address: a user and a password
_CREDENTIALS: Final = re.compile(r"://[^@/\s]*@")
#: a setting that is not there; null would be one
_ABSENT: Final = object()
#: what may change while drainers read: the bundle, and so what becomes of the next batch
ROUTING: Final = ("schema_name", "route_table", "metrics_name", "compliance_name")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceDocument:
    """A source as a file says it."""

    name: str
    broker_type: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    schema_name: str = ""
    route_table: Mapping[str, Any] = field(default_factory=dict)
    metrics_name: str = "default"
    compliance_name: str = "default"


_KEYS: Final = frozenset(SourceDocument.__dataclass_fields__)


def read_source(text: str) -> SourceDocument:
    """The source that a YAML or JSON text says; raises ConfigurationError with every problem."""
    document, _ = read_text(text)
    problems = [
        Problem(pointer=f"/{key}", message=f"unknown key; known are {', '.join(sorted(_KEYS))}")
        for key in document.keys() - _KEYS
    ]
    name = document.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        message = "a name is required: letters, digits, `_` and `-`, at most 64"
        problems.append(Problem(pointer="/name", message=message))
    for key in sorted((_KEYS - {"name"}) & document.keys()):
        wanted: type[object] = Mapping if key in {"settings", "route_table"} else str
        if not isinstance(document[key], wanted):
            problems.append(Problem(pointer=f"/{key}", message="has another type than it needs"))
    if "broker_type" not in document:
        problems.append(Problem(pointer="/broker_type", message="is missing, e.g. file"))
    if not document.get("schema_name") and not document.get("route_table"):
        message = "is missing: name one schema, or a route_table"
        problems.append(Problem(pointer="/schema_name", message=message))
    if problems:
        raise ConfigurationError(problems)
    return SourceDocument(**document)


def define(document: SourceDocument, *, by: User | None = None) -> tuple[Source, str]:
    """Make a source, or change the one of that name; returns it and what was done to it.

    That is "made", "changed" (its settings, perhaps its routing too) or "routed". Raises
    ConfigurationError when something is wrong, or another log would be read under its name: its
    checkpoints belong to the one that it has.
    """
    routing = {name: getattr(document, name) for name in ROUTING}
    present = Source.objects.filter(name=document.name).first()
    if present is not None:
        if present.broker_type != document.broker_type:
            message = "differs from the source that is there: its checkpoints belong to it"
            raise ConfigurationError(Problem(pointer="/broker_type", message=message))
        with transaction.atomic():
            changed = change_settings(present, document.settings, by=by)
            route(present, by=by, **routing)
        return present, "changed" if changed else "routed"
    return make(document, by=by), "made"


def make(document: SourceDocument, *, by: User | None = None) -> Source:
    """A new source, which workers find within seconds; raises ConfigurationError when it is wrong.

    Nobody may have its name already.
    """
    _check_connection(document)
    routing = _complete({name: getattr(document, name) for name in ROUTING})
    with transaction.atomic():
        source = Source(
            name=document.name,
            broker_type=document.broker_type,
            settings=document.settings,
            **routing,
        )
        source.save()
        refresh_bundle(source)
        audit.record(
            "made source",
            source.name,
            by=by,
            broker_type=source.broker_type,
            settings=shown_setting(dict(source.settings)),
            **routing,
        )
    return source


def change_settings(
    source: Source,
    settings: Mapping[str, Any],
    *,
    by: User | None = None,
    serial: int | None = None,
) -> list[str]:
    """Connect to the same log in another way; the names of the settings that changed.

    Workers take them within a second, under a higher `settings_serial`. Raises ConfigurationError
    when they are wrong or name another log, or when the serial is no longer `serial`, that of the
    settings that were changed here: nothing changes then.
    """
    with transaction.atomic():
        row = Source.objects.select_for_update().get(pk=source.pk)
        settings = unhidden(settings, row.settings)
        names = sorted(
            name
            for name in row.settings.keys() | settings.keys()
            if row.settings.get(name, _ABSENT) != settings.get(name, _ABSENT)
        )
        if not names:
            return []
        if row.broker_type == "file":
            raise ConfigurationError(Problem(pointer="/settings", message=_NO_SETTINGS))
        if serial not in (None, row.settings_serial):
            raise ConfigurationError(Problem(pointer="/settings", message=_MEANWHILE))
        validators.validate_settings_change(row.broker_type, row.settings, settings)
        Source.objects.filter(pk=row.pk).update(
            settings=settings, settings_serial=F("settings_serial") + 1
        )
        audit.record(
            "changed settings",
            row.name,
            by=by,
            before=_some(row.settings, names),
            after=_some(settings, names),
        )
    source.refresh_from_db(fields=["settings", "settings_serial"])
    return names


def _some(settings: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: shown_setting(settings[name]) for name in names if name in settings}


def note_test(
    name: str, broker_type: str, settings: Mapping[str, Any], *, by: User | None = None
) -> None:
    """Somebody has this server connect to where the settings say, kept ones or not."""
    shown = shown_setting(dict(settings))
    audit.record("tested the connection of", name, by=by, broker_type=broker_type, settings=shown)


def shown_setting(value: Any) -> Any:
    """A setting as people may see it: user and password in an address are hidden."""
    if isinstance(value, dict):
        return {name: shown_setting(item) for name, item in value.items()}
    return _CREDENTIALS.sub("://***@", value) if isinstance(value, str) else value


def unhidden(settings: Mapping[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as somebody sends them back who was shown others: what was hidden is what is kept.

    Only a text that is as it was shown from its first to its last character: nobody can have what
    they do not see sent to another address.
    """
    return {name: _unhidden(value, kept.get(name)) for name, value in settings.items()}


def _unhidden(value: Any, kept: Any) -> Any:
    if isinstance(value, Mapping) and isinstance(kept, Mapping):
        return unhidden(value, kept)
    return kept if isinstance(kept, str) and value == shown_setting(kept) else value


def _check_connection(document: SourceDocument) -> None:
    if document.broker_type != "file":
        validators.validate_source(document.broker_type, document.settings)
    elif document.settings:
        raise ConfigurationError(Problem(pointer="/settings", message=_NO_SETTINGS))


def route(source: Source, *, by: User | None = None, **routing: Any) -> bool:
    """Change what becomes of a source's messages from the next batch on; whether it did.

    `routing` are values of ROUTING. Raises ConfigurationError when the parts do not fit together:
    nothing changes then.
    """
    with transaction.atomic():
        lock_configuration()
        before = {name: getattr(source, name) for name in ROUTING}
        after = before | _complete(routing)
        if after == before:
            return False
        for name, value in after.items():
            setattr(source, name, value)
        try:
            validators.validate_bundle(bundle_content(source))
        except ConfigurationError:
            source.refresh_from_db()
            raise
        source.save(update_fields=list(ROUTING))
        refresh_bundle(source)
        audit.record("routed source", source.name, by=by, before=before, after=after)
    return True


def pause(source: Source, *, reason: str, by: User | None = None) -> bool:
    """Drainers give its partitions back within a second; the broker keeps the messages.

    False if it was paused already: since when and why stay as they were.
    """
    with transaction.atomic():
        changed = Source.objects.filter(pk=source.pk, paused_at=None).update(
            paused_at=timezone.now(), paused_reason=reason[:256]
        )
        if changed:
            audit.record("paused source", source.name, by=by, reason=reason[:256])
    return changed == 1


def resume(source: Source, *, by: User | None = None) -> bool:
    """Drainers take its partitions again, from where each stands; False if it was not paused."""
    with transaction.atomic():
        row = Source.objects.select_for_update().get(pk=source.pk)
        if row.paused_at is None:
            return False
        Source.objects.filter(pk=row.pk).update(paused_at=None, paused_reason="")
        audit.record("resumed source", row.name, by=by, paused_at=row.paused_at.isoformat())
    return True


def _complete(routing: Mapping[str, Any]) -> dict[str, Any]:
    """With a route table the one schema is its first: pages name it where there is room for one."""
    values = dict(routing)
    table = values.get("route_table")
    if table and not values.get("schema_name"):
        rows = table.get("routes")
        first = rows[0] if isinstance(rows, list) and rows else {}
        values["schema_name"] = str(first.get("schema", "")) if isinstance(first, Mapping) else ""
    return values
