"""A failed item can be found and understood."""

from __future__ import annotations

from deadletter.models import FailedItem, FailureGroup
from payflow.lib.pages.display import list_url, row_url

ITEMS, GROUPS = "deadletter.faileditem", "deadletter.failuregroup"


def test_the_page_of_an_item_says_what_was_wrong_and_shows_the_bytes(ingest, event, look):
    """Reason in words, every error with what was asked for and found, and the message itself."""
    ingest([event(1, amount="abc", memo="<script>alert(1)</script>"), event(2)])
    item = FailedItem.objects.get()

    page = look(row_url(ITEMS, item.pk), html=True)

    error = item.errors[0]
    assert error["field"] == "amount"
    for told in ("amount", error["constraint"], "&quot;amount&quot;: &quot;abc&quot;"):
        assert told in page
    assert "<script>alert" not in page
    assert row_url("ingestion.batch", item.batch) in page
    assert f"{row_url('ingestion.archivefile', item.archive_file)}?row=0" in page
    assert row_url(GROUPS, item.group_id) in page


def test_every_error_of_an_item_is_listed(ingest, event, look):
    """Not the first alone: the producer mends all at once."""
    ingest([event(1, amount="abc", currency="XXX", status="what")])
    item = FailedItem.objects.get()

    page = look(row_url(ITEMS, item.pk))

    assert len(item.errors) > 1
    for error in item.errors:
        assert error["expected"] in page


def test_items_are_filtered_by_reason_group_and_source(ingest, event, look):
    """And a filter that leaves none says so."""
    ingest([event(1, amount="abc"), event(2, amount="abc"), b"{"])
    group = FailureGroup.objects.get(reason="invalid_json")

    by_reason = look(list_url(ITEMS, reason="invalid_json"), html=True)
    by_group = look(list_url(ITEMS, group=group.pk), html=True)
    none = look(list_url(ITEMS, reason="too_deep"))

    assert by_reason.count("/faileditem/") == by_group.count("/faileditem/")
    assert by_group.count('class="data-row') == 1
    assert "No failed items match" in none


def test_an_item_is_found_by_its_id_and_by_its_transaction(ingest, event, look):
    """A conflict knows its transaction; what could not be read knows its own id only."""
    ingest([event(1), event(1, amount=99), b"{"])
    conflict = FailedItem.objects.get(reason="duplicate_conflict")
    unread = FailedItem.objects.get(reason="invalid_json")

    assert row_url(ITEMS, conflict.pk) in look(list_url(ITEMS, q="tx-1"), html=True)
    assert row_url(ITEMS, unread.pk) in look(list_url(ITEMS, q=unread.pk), html=True)


def test_a_conflict_links_to_the_event_that_was_there_first(ingest, event, look):
    """Both have to be compared."""
    ingest([event(1), event(1, amount=99)])
    conflict = FailedItem.objects.get()

    page = look(row_url(ITEMS, conflict.pk), html=True)

    assert row_url("metrics.normalizedtransaction", conflict.other_id) in page


def test_the_page_of_a_group_counts_its_items_and_shows_the_newest(ingest, event, look):
    """The chart's table and the list of items hold them all."""
    ingest([event(number, amount="abc") for number in range(12)])
    group = FailureGroup.objects.get()

    page = look(row_url(GROUPS, group.pk), html=True)

    assert "All 12 items" in page
    assert "<td>12</td>" in page, "12 in this hour of arrival"
    assert page.count("/faileditem/9") == 10


def test_nothing_failed_is_good_news(ingest, event, look):
    """Both lists say so instead of looking broken."""
    ingest([event()])

    assert "Every message that arrived was taken" in look(list_url(ITEMS))
    assert "So far every message was taken" in look(list_url(GROUPS))


def test_a_message_above_1_mib_refers_to_the_archive(ingest, event, look):
    """Its bytes are not in the database; the archive's page shows their beginning."""
    ingest([event(1, memo="x" * 2**20)])
    item = FailedItem.objects.get()

    page = look(row_url(ITEMS, item.pk), html=True)
    archived = look(f"{row_url('ingestion.archivefile', item.archive_file)}?row=0")

    assert "It is longer than 1 MiB" in page
    assert "the first 64.0 KB of 1.0 MB" in archived
