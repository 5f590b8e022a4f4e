"""Starting and stopping a shadow: by a person, by time, or because its draft is a draft no more."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from configuration import audit
from configuration.bundling import sources_using
from configuration.models import ConfigurationVersion, Source
from ingestion.bundles import compile_bundle
from ingestion.shadow.batches import settled_until
from ingestion.shadow.models import Shadow
from ingestion.shadow.sides import plan_of
from payflow.lib.errors import ConfigurationError, Problem

State = Shadow.State

#: minutes that a shadow may run, and percent of one core that it may use
MINUTES: Final = (15, 60, 240, 1_440)
SHARES: Final = (5, 10, 25, 50)
#: shadows at one time: what they may cost together is bounded by it
MOST_RUNNING: Final = 3


def can_be_shadowed(version: ConfigurationVersion) -> bool:
    """Whether versions like it can run beside the live one: rules can, schemas cannot."""
    return version.kind != ConfigurationVersion.Kind.SCHEMA


def start(version: ConfigurationVersion, *, minutes: int, share: int, by: User | None) -> Shadow:
    """Run a draft beside the live rules from now on, as its text is now.

    Raises ConfigurationError when it cannot be: the message says why.
    """
    if minutes not in MINUTES or share not in SHARES:
        raise _refused("The time and the share are chosen from what the form offers.")
    if not version.is_draft or not can_be_shadowed(version):
        raise _refused("Only drafts of rules run as a shadow.")
    _check(version)
    try:
        with transaction.atomic():
            shadow = Shadow.objects.create(
                version=version,
                checksum=version.checksum,
                document=version.document,
                share=share,
                started_by=by,
                until=Now() + timedelta(minutes=minutes),
                last_batch=settled_until() - 1,
            )
            audit.record(
                "started shadow",
                str(version),
                by=by,
                version=version,
                minutes=minutes,
                share=share,
            )
    except IntegrityError as exc:
        raise _refused(f"{version} runs as a shadow already.") from exc
    shadow.refresh_from_db()
    return shadow


def stop(shadow: Shadow, *, by: User | None) -> bool:
    """End a running shadow; what it saw stays. False when it had ended already."""
    with transaction.atomic():
        stopped = end(shadow, State.STOPPED)
        if stopped:
            audit.record("stopped shadow", str(shadow.version), by=by, version=shadow.version)
    return stopped


def end(shadow: Shadow, state: str, *, error: str = "") -> bool:
    """Make a running shadow one that has ended; False when it had already."""
    running = Shadow.objects.filter(pk=shadow.pk, state=State.RUNNING)
    return bool(running.update(state=state, ended_at=Now(), error=error[:512]))


def sources_of(version: ConfigurationVersion) -> list[Source]:
    """The sources whose events a shadow of the version sees."""
    known = sources_using(version.kind, version.name)
    return [source for source in known if source.active_bundle_id is not None]


def _check(version: ConfigurationVersion) -> None:
    """Refuse what would compare nothing, or too much."""
    if Shadow.objects.filter(state=State.RUNNING).count() >= MOST_RUNNING:
        raise _refused(f"{MOST_RUNNING} shadows run already; one of them has to end first.")
    sources = sources_of(version)
    if not sources:
        raise _refused(f"No source uses {version.name}: there is no traffic to look at.")
    differing = 0
    for source in sources:
        if source.active_bundle is not None:
            content, pairs = plan_of(source.active_bundle, version)
            compile_bundle(content)
            differing += len(pairs)
    if not differing:
        raise _refused("Its rules compute the same as the live ones: there is nothing to compare.")


def _refused(message: str) -> ConfigurationError:
    return ConfigurationError(Problem(pointer="", message=message))
