"""Pages of partitions, batches, archive files and drainers."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import timezone

from configuration.models import Source
from ingestion.archive import archive_storage
from ingestion.leases import MAX_ATTEMPTS
from ingestion.models import ArchiveFile, Batch, Drainer, Partition
from payflow.lib.pages.display import list_url, row_url
from tests.pages import fresh_cache, look, staff

__all__ = ["fresh_cache", "look", "staff"]


@pytest.fixture
def stopped(ready) -> Partition:
    """A partition that stopped itself after two deaths."""
    return Partition.objects.create(
        source=Source.objects.get(name="demo"),
        name="3",
        position="17-1",
        state="stopped",
        attempts=MAX_ATTEMPTS,
        stopped_reason="2 workers died on the messages from position 17-1",
        stopped_at=timezone.now(),
        last_error="KeyError on the messages from 17-1",
    )


def test_the_page_of_a_stopped_partition_says_why(stopped, look):
    """And offers to go on."""
    page = look(row_url("ingestion.partition", stopped.pk), html=True)

    assert "2 workers died on the messages from position 17-1" in page
    assert f"/ingestion/partition/{stopped.pk}/resume/" in page


def test_a_stopped_partition_is_resumed_after_a_question(stopped, staff):
    """The question shows the facts; the answer begins its attempts anew and is logged."""
    client = staff("ingestion.view_partition", "ingestion.change_partition")
    url = f"/ingestion/partition/{stopped.pk}/resume/"

    question = client.get(url).content.decode()
    stopped.refresh_from_db()
    still = stopped.state
    answer = client.post(url, follow=True).content.decode()

    assert "17-1" in question
    assert still == "stopped"
    assert "Resumed demo 3." in answer
    stopped.refresh_from_db()
    assert (stopped.state, stopped.attempts, stopped.stopped_reason) == ("active", 0, "")
    assert LogEntry.objects.get().get_change_message() == "Resumed demo 3."


def test_resuming_twice_changes_nothing_more(stopped, staff):
    """A second click meets a partition that somebody may read already."""
    client = staff("ingestion.view_partition", "ingestion.change_partition")
    url = f"/ingestion/partition/{stopped.pk}/resume/"
    client.post(url)
    Partition.objects.update(attempts=1)

    client.post(url)

    assert Partition.objects.get().attempts == 1


def test_who_may_only_view_cannot_resume(stopped, staff):
    """Neither the button nor the address works."""
    client = staff("ingestion.view_partition")

    page = client.get(row_url("ingestion.partition", stopped.pk)).content.decode()
    response = client.post(f"/ingestion/partition/{stopped.pk}/resume/")

    assert "/resume/" not in page
    assert response.status_code == 403
    assert Partition.objects.get().state == "stopped"


def test_the_page_of_a_partition_shows_lease_lag_and_batches(ingest, event, look):
    """Who reads it, how far behind it is, and what it gave last."""
    ingest([event(1), event(2), b"{"])
    Partition.objects.update(
        leased_by="host:1:2:ab",
        lease_epoch=4711,
        lag_events=52_418,
        lag_seconds=4080,
        lag_at=timezone.now() - timedelta(hours=1),
    )

    page = look(row_url("ingestion.partition", Partition.objects.get().pk))

    assert "52,418 events, 1 h 08 min, when it was last read at" in page
    assert "host:1:2:ab" in page
    assert "4,711" in page
    assert "2 accepted · 1 failed" in page


def test_the_page_of_a_batch_shows_counts_times_and_duplicates(ingest, event, look):
    """With a link to the transaction that was there first."""
    ingest([event(1), event(1), b"{"])
    batch = Batch.objects.get()

    page = look(row_url("ingestion.batch", batch.pk), html=True)

    assert "1 transactions" in page
    assert "Arrival to commit" in page
    assert "Duplicate" in page
    assert page.count("/normalizedtransaction/9") == 1


def test_a_rule_that_failed_is_said_on_the_batch(ingest, event, look):
    """Which one, for how many events, and that nothing else is missing."""
    ingest([event(1)])
    Batch.objects.update(rule_failures={"ratio": {"count": 7, "error": "ComputeError"}})

    page = look(row_url("ingestion.batch", Batch.objects.get().pk))

    assert "Rule ratio could not be computed for 7 events" in page


def test_an_archive_file_shows_each_of_its_rows(ingest, event, look):
    """The bytes as they were archived, and where the next row is."""
    ingest([event(1), b'{"broken": "<script>"'])
    url = row_url("ingestion.archivefile", ArchiveFile.objects.get().path)

    first, second = look(url, html=True), look(f"{url}?row=1", html=True)

    assert "&quot;transaction_id&quot;: &quot;tx-1&quot;" in first
    assert f"{url}?row=1" in first
    assert "{&quot;broken&quot;: &quot;&lt;script&gt;&quot;" in second
    assert "invalid_json" in second


def test_a_row_that_does_not_exist_is_the_first_row(ingest, event, look):
    """Addresses are typed by people."""
    ingest([event(1)])
    url = row_url("ingestion.archivefile", ArchiveFile.objects.get().path)

    for row in ("99", "-1", "x", "9" * 30):
        assert "Row 0" in look(f"{url}?row={row}")


def test_an_archive_that_does_not_answer_leaves_the_rest_of_the_page(ingest, event, look):
    """A part that fails says so; what the database knows is still there."""
    ingest([event(1)])
    file = ArchiveFile.objects.get()
    archive_storage().delete(file.path)

    page = look(row_url("ingestion.archivefile", file.path))

    assert "The archive does not give this object" in page
    assert "1 rows" in page


def test_batches_are_filtered_by_what_is_in_them(ingest, event, look):
    """A batch without failed items is no answer to the question for them."""
    ingest([event(1), b"{"])
    ingest([event(2)])
    bad = Batch.objects.get(failed=1)

    page = look(list_url("ingestion.batch", **{"with": "failed"}), html=True)

    assert page.count('class="data-row') == 1
    assert str(bad.pk) in page


def test_only_drainers_that_have_an_owner_are_listed(ready, look):
    """A slot that was given back is no drainer; one that died silently is."""
    Drainer.objects.create(slot=0, owner="")
    Drainer.objects.create(slot=1, owner="host:1:1:aa", seen_at=timezone.now())
    Drainer.objects.create(
        slot=2, owner="host:2:1:bb", seen_at=timezone.now() - timedelta(minutes=9)
    )

    page = look(list_url("ingestion.drainer"))

    assert "Alive" in page
    assert "Silent for 9 min" in page
    assert "2 drainers" in page
