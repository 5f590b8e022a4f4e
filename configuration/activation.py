"""Going live and back: validated, gated, recorded, and every source's bundle in one transaction."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from configuration import audit, validators
from configuration.bundling import (
    lock_configuration,
    refresh_bundle,
    rehearse,
    sources_using,
)
from configuration.models import Activation, CompatibilityGate, ConfigurationVersion, Source
from configuration.versions import NotADraft, check_text, in_words, text_of, writers_of
from payflow.lib.errors import ConfigurationError, Problem

Kind = ConfigurationVersion.Kind
Status = ConfigurationVersion.Status
Mode = CompatibilityGate.Mode


class GateClosed(ConfigurationError):
    """The schema is not compatible with the active one as its gate asks."""


class FourEyes(ConfigurationError):
    """Another person than those who wrote it has to make it live."""


def activate(
    version: ConfigurationVersion,
    *,
    by: User | None = None,
    reason: str = "",
    override_reason: str = "",
) -> Activation:
    """Make a version the active one and give every source that uses it a new bundle.

    `override_reason` passes the compatibility gate. Returns what is now in the trail; the last
    entry of a version that is active already, whose bundles are refreshed. Raises GateClosed,
    FourEyes, or ConfigurationError when it or a bundle does not compile: nothing changes then.
    """
    _refuse_wrong(version)
    # before the transaction: rules are tried, which takes its time
    validators.validate_document(version.kind, version.document, version.name)
    rehearse(version)
    with transaction.atomic():
        lock_configuration()
        row = ConfigurationVersion.objects.select_for_update().get(pk=version.pk)
        _refuse_changed(row, version)
        previous = _active(row.kind, row.name)
        if previous == row:
            return _refreshed(row)
        is_new = row.activated_at is None
        if is_new:
            _check_four_eyes(row, by=by, previous=previous)
            _check_gate(row, previous, override_reason=override_reason)
        entry = _go_live(
            row,
            previous,
            by=by,
            approver=by if is_new and settings.PAYFLOW["FOUR_EYES"] else None,
            reason=reason or row.approval_reason,
            override_reason=override_reason,
            is_rollback=False,
        )
    version.refresh_from_db()
    return entry


def roll_back(
    kind: str,
    name: str,
    *,
    by: User | None = None,
    reason: str = "",
    to: ConfigurationVersion | None = None,
) -> Activation:
    """Make an earlier version active again: `to`, or the one that the present one replaced.

    Neither gate nor four eyes hold: it was live before, and an outage does not wait. Raises
    ConfigurationError when there is none, or when it does not compile any more.
    """
    target = to or rollback_target(kind, name)
    if target is None or target.activated_at is None:
        wanted = (
            f"{to} was never active" if to else f"no other version of {name} was active before it"
        )
        raise _problem(f"{wanted}: there is nothing to roll back to")
    validators.validate_document(target.kind, target.document, target.name)
    rehearse(target)
    with transaction.atomic():
        lock_configuration()
        present = _active(kind, name)
        if target == present:
            raise _problem(f"{target} is active already")
        return _go_live(
            ConfigurationVersion.objects.select_for_update().get(pk=target.pk),
            present,
            by=by,
            approver=None,
            reason=reason,
            override_reason="",
            is_rollback=True,
        )


def rollback_target(kind: str, name: str) -> ConfigurationVersion | None:
    """The version that roll_back() would make active; None when there is none.

    What was rolled back from is none: two people who roll back at once do not undo each other.
    """
    last = Activation.objects.filter(
        version__kind=kind,
        version__name=name,
        version__status=Status.ACTIVE,
        is_rollback=False,
    ).first()
    return last.previous if last else None


def ask_approval(version: ConfigurationVersion, *, by: User, reason: str) -> None:
    """Ask a second person to make a draft live. Raises NotADraft, or ConfigurationError."""
    with transaction.atomic():
        row = ConfigurationVersion.objects.select_for_update().get(pk=version.pk)
        if not row.is_draft:
            raise NotADraft
        if row.problems:
            raise ConfigurationError([Problem(**problem) for problem in row.problems])
        row.approval_asked_at, row.approval_asked_by = timezone.now(), by
        row.approval_reason = reason[:512]
        row.save(update_fields=["approval_asked_at", "approval_asked_by", "approval_reason"])
        audit.record("asked approval of", in_words(row), by=by, version=row, reason=reason[:512])
    version.refresh_from_db()


def gate_of(schema_name: str) -> str:
    """The mode of a schema's compatibility gate; backward where nobody chose one."""
    gate = CompatibilityGate.objects.filter(schema_name=schema_name).first()
    return gate.mode if gate else Mode.BACKWARD


def set_gate(schema_name: str, mode: str, *, by: User | None) -> None:
    """Choose what new versions of a schema must keep to."""
    with transaction.atomic():
        before = gate_of(schema_name)
        CompatibilityGate.objects.update_or_create(
            schema_name=schema_name, defaults={"mode": Mode(mode)}
        )
        audit.record("set the gate of", schema_name, by=by, before=before, after=mode)


def sources_of(entry: Activation) -> list[Source]:
    """The sources that an activation gave another bundle."""
    return list(Source.objects.filter(pk__in=[int(pk) for pk in entry.serials]))


# --- the steps -----------------------------------------------------------------------------------


def _refuse_wrong(version: ConfigurationVersion) -> None:
    """A text that cannot be read is kept as an empty document, which may compile."""
    if not version.problems:
        return
    document, problems = check_text(version.kind, version.name, text_of(version))
    if problems:
        raise ConfigurationError(problems)
    if document != version.document:
        raise _problem(f"{version} was refused when it was saved: save it once more")


def _refuse_changed(row: ConfigurationVersion, seen: ConfigurationVersion) -> None:
    if row.text != seen.text or row.checksum != seen.checksum:
        raise _problem(f"{row} was saved again meanwhile: look at it once more")


def _refreshed(row: ConfigurationVersion) -> Activation:
    for source in sources_using(row.kind, row.name):
        refresh_bundle(source)
    return row.activations.latest("id")


def _check_four_eyes(
    row: ConfigurationVersion, *, by: User | None, previous: ConfigurationVersion | None
) -> None:
    """The first version of a name may come with the installation, by nobody."""
    if not settings.PAYFLOW["FOUR_EYES"] or (by is None and previous is None):
        return
    if by is None:
        message = "four eyes are asked for: say which person makes it live"
    elif by.pk in {*writers_of(row), row.approval_asked_by_id}:
        message = f"four eyes are asked for: {by} wrote {row}, so another person makes it live"
    else:
        return
    raise FourEyes(Problem(pointer="", message=message))


def _check_gate(
    row: ConfigurationVersion, previous: ConfigurationVersion | None, *, override_reason: str
) -> None:
    mode = gate_of(row.name)
    if row.kind != Kind.SCHEMA or previous is None or mode == Mode.NONE or override_reason:
        return
    found = validators.compare_schemas(previous.document, row.document)
    if reasons := found.refusals(mode):
        raise GateClosed([Problem(pointer=r.pointer, message=str(r)) for r in reasons])


def _go_live(
    row: ConfigurationVersion,
    previous: ConfigurationVersion | None,
    *,
    by: User | None,
    approver: User | None,
    reason: str,
    override_reason: str,
    is_rollback: bool,
) -> Activation:
    """Everything that changes, under the lock; the trail's entry comes last."""
    if previous is not None:
        previous.status = Status.RETIRED
        previous.save(update_fields=["status"])
    row.status, row.problems = Status.ACTIVE, []
    row.activated_at = timezone.now()
    row.save(update_fields=["status", "problems", "activated_at"])
    sources = sources_using(row.kind, row.name)
    for source in sources:
        refresh_bundle(source)
    entry = Activation.objects.create(
        version=row,
        previous=previous,
        activated_by=by,
        approved_by=approver,
        reason=reason[:512],
        override_reason=override_reason[:512],
        is_rollback=is_rollback,
        serials={str(source.pk): source.bundle_serial for source in sources},
    )
    verb = "rolled back to" if is_rollback else "activated"
    target = in_words(row)
    audit.record(verb, target, by=by, version=row, activation=entry.pk, reason=reason[:512])
    return entry


def _active(kind: str, name: str) -> ConfigurationVersion | None:
    return (
        ConfigurationVersion.objects.select_for_update()
        .filter(kind=kind, name=name, status=Status.ACTIVE)
        .first()
    )


def _problem(message: str) -> ConfigurationError:
    return ConfigurationError(Problem(pointer="", message=message))
