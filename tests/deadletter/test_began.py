"""When a kind of failure began: once, and again after each pause."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models import F

from configuration.activation import activate
from configuration.causes import cause_near
from configuration.models import ConfigurationVersion, Source
from configuration.versions import new_draft_from, save_draft, text_of
from deadletter.models import FailureGroup
from deadletter.store import PAUSE

pytestmark = pytest.mark.usefixtures("ready")


def test_a_kind_of_failure_begins_anew_after_a_pause(ingest, event):
    """Within the pause it goes on; after it, what changed since is its cause."""
    ingest([event(1, channel=7)])
    first = FailureGroup.objects.get()
    ingest([event(2, channel=7)])
    goes_on = FailureGroup.objects.get()
    earlier = PAUSE + timedelta(seconds=1)
    FailureGroup.objects.update(
        first_seen=F("first_seen") - earlier,
        began_at=F("began_at") - earlier,
        last_seen=F("last_seen") - earlier,
    )
    live = ConfigurationVersion.objects.get(kind="schema", name="transaction", status="active")
    draft = new_draft_from(live, author=None)
    entry = activate(save_draft(draft, f"# another\n{text_of(draft)}", by=None))
    ingest([event(3, channel=7)])

    group = FailureGroup.objects.get()

    assert first.began_at == first.first_seen == goes_on.began_at
    assert group.began_at > entry.activated_at > group.first_seen
    assert group.count == 3
    cause = cause_near(group.began_at, Source.objects.get(name="files-transaction"))
    assert cause is not None
    assert cause.activation == entry
