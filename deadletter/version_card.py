"""On the page of a schema version: what began to fail when it went live."""

from __future__ import annotations

from django.http import HttpRequest

from configuration.cause_line import undo_of
from configuration.causes import causes_near
from configuration.models import ConfigurationVersion
from deadletter.models import FailureGroup
from payflow.lib.pages.detail import Button, Card, Head
from payflow.lib.pages.display import count, moment, row_link

_MOST = 5


def began_card(request: HttpRequest, version: ConfigurationVersion) -> Card | None:
    """None where nothing began with it, or where it is not live now."""
    if version.status != ConfigurationVersion.Status.ACTIVE or version.activated_at is None:
        return None
    if not request.user.has_perm("deadletter.view_failuregroup"):
        return None
    rows = FailureGroup.objects.filter(
        schema_name=version.name, last_seen__gte=version.activated_at
    ).order_by("-count")[:200]
    causes = causes_near({row.pk: (row.began_at, row.source_id) for row in rows})
    found = [
        (row, causes[row.pk]) for row in rows if row.pk in causes and causes[row.pk].is_of(version)
    ][:_MOST]
    if not found:
        return None
    may_undo = request.user.has_perm("configuration.rollback_configurationversion")
    undo = undo_of(found[0][1]) if may_undo else ""
    return Card(
        title=f"Failures that began with v{version.number}",
        tone="bad",
        more=Button(label="Roll back…", url=undo) if undo else None,
        heads=[Head(label="Cause"), Head(label="Began"), Head(label="Items", is_number=True)],
        rows=[
            (
                row_link("deadletter.failuregroup", row.pk, str(row)),
                moment(row.began_at),
                count(row.count),
            )
            for row, _ in found
        ],
    )
