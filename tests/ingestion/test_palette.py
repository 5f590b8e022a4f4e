"""The search box of every page: which id leads where, and what it says about its search."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.files.storage import storages
from django.urls import reverse
from django.utils import timezone

from deadletter.models import FailedItem
from ingestion import archive_search
from ingestion.archive_search import search_archive
from ingestion.models import ArchiveFile, Batch
from metrics.models import NormalizedTransaction
from payflow.lib.pages.display import list_url, row_url
from tests.pages import fresh_cache, look, staff

__all__ = ["fresh_cache", "look", "staff"]
TRANSACTIONS = "metrics.normalizedtransaction"


@pytest.fixture
def find(look: Any) -> Any:
    """The HTML that the palette takes in for a term."""
    return lambda term: look(reverse("admin:search", query={"extended": 1, "s": term}), html=True)


@pytest.fixture
def recent(event: Any) -> Any:
    """An event of the last minutes."""

    def make(number: int = 0, **fields: Any) -> dict[str, Any]:
        at = timezone.now() - timedelta(minutes=7, seconds=-number)
        made: dict[str, Any] = event(number, **{"timestamp": at.isoformat(), **fields})
        return made

    return make


def test_each_kind_of_id_leads_to_what_it_names(ingest, recent, find):
    """Whole ids, in the case in which they are written."""
    ingest([recent(1, customer_id="Cust-A", merchant_id="Merch-B"), recent(2, amount="abc")])
    row, item = NormalizedTransaction.objects.get(), FailedItem.objects.get()
    links = {
        "tx-1": row_url(TRANSACTIONS, row.pk),
        str(row.pk): row_url(TRANSACTIONS, row.pk),
        "Cust-A": list_url(TRANSACTIONS, customer_id="Cust-A"),
        "Merch-B": list_url(TRANSACTIONS, merchant_id="Merch-B", arrived="24h"),
        "tx-2": row_url("deadletter.faileditem", item.pk),
        str(item.pk): row_url("deadletter.faileditem", item.pk),
        "aml_large": list_url("metrics.violation", rule="aml_large_amount"),
        "Large am": list_url("metrics.violation", rule="aml_large_amount"),
        "batches": list_url("ingestion.batch"),
    }

    for term, url in links.items():
        assert f'href="{url}"'.replace("&", "&amp;") in find(term), term


def test_what_is_no_whole_id_finds_nothing(ingest, recent, find):
    """And says what was searched; a term is never markup or a pattern."""
    ingest([recent(1, customer_id="Cust-A", merchant_id="Merch-B")])

    for term in (
        "cust-a",
        "Cust-",
        "Cust-A2",
        "merch-b",
        "tx",
        "tx-%",
        "%",
        "<b>",
        "\x00",
        "9" * 40,
    ):
        page = find(term)
        assert "href=" not in page, term
        assert "Nothing has the id or name" in page, term
        assert "<b>\u201d" not in page


def test_an_event_is_found_as_soon_as_it_is_there(ingest, recent, find):
    """Unfold keeps what it found for minutes: somebody would look at an old answer."""
    assert "Nothing has the id" in find("tx-1")

    ingest([recent(1)])

    assert "transaction tx-1" in find("tx-1")


def test_the_box_shows_only_what_may_be_viewed(ingest, recent, staff):
    """A result leads to no page that is closed, and tells nothing of it."""
    ingest([recent(1, amount=60000), recent(2, amount="abc")])
    client = staff("ingestion.view_batch")

    for term in ("tx-1", "C-1", "M-1", "tx-2", "aml_large_amount", "12345678"):
        page = client.get(reverse("admin:search"), {"s": term, "extended": 1}).content.decode()
        assert "href=" not in page, term
        assert "Archive of" not in page


def test_a_search_needs_a_login(ready, client):
    """It tells which customers exist."""
    response = client.get(reverse("admin:search"), {"s": "C-1"})

    assert response.status_code == 302


def test_a_correlation_id_is_found_in_the_archive(ingest, recent, find):
    """It leads to the passport; a message that was not stored leads to its archived row."""
    late = recent(2, correlation_id="corr-000002")
    ingest([recent(1), late])
    ingest([late, recent(3, amount="abc", correlation_id="corr-000003")])
    row = NormalizedTransaction.objects.get(transaction_id="tx-2")
    second = Batch.objects.order_by("-id").first()
    assert second is not None

    page = find("corr-000002")

    assert f'href="{row_url(TRANSACTIONS, row.pk)}"' in page
    assert f'href="{row_url("ingestion.archivefile", second.file)}?row=0"' in page
    assert "Archive of the last 24 h by correlation and message id: 2 objects." in page
    assert f'href="{row_url("ingestion.archivefile", second.file)}?row=1"' in find("corr-000003")


def test_a_message_id_opens_the_one_object_that_holds_it(ingest, recent, find):
    """The manifest knows the positions of each object."""
    ingest([recent(n) for n in range(3)])
    ingest([recent(n) for n in range(10, 14)])
    batch = Batch.objects.select_related("partition__source").order_by("id").first()
    assert batch is not None
    message_id = f"{batch.partition.source.name}/{batch.partition.name}/2"
    row = NormalizedTransaction.objects.get(transaction_id="tx-2")

    page = find(message_id)

    assert f'href="{row_url(TRANSACTIONS, row.pk)}"' in page
    assert "message id: 1 object." in page
    assert "0 objects" in find(message_id.replace("/2", "/3"))


def test_digits_that_are_no_position_may_be_a_correlation_id(ingest, recent):
    """Some producers number their messages."""
    ingest([recent(1, correlation_id="20261121")])

    assert [hit.transaction_id for hit in search_archive("20261121").hits] == ["tx-1"]


def test_only_the_last_24_hours_are_opened(ingest, recent):
    """Older objects are for archive queries."""
    ingest([recent(1, correlation_id="corr-000001")])
    day = 24 * 3600 * 1000 << 22
    batch = Batch.objects.get()
    Batch.objects.update(id=batch.pk - day, last_id=batch.last_id - day)

    found = search_archive("corr-000001")

    assert (found.hits, found.objects, found.is_whole) == ([], 0, True)


def test_a_search_ends_with_its_time_and_says_how_far_it_came(ingest, recent, find, monkeypatch):
    """Nothing found in a part of the archive is not nothing found."""
    ingest([recent(1)])
    monkeypatch.setattr(archive_search, "BUDGET_S", -1.0)
    monkeypatch.setattr(search_archive, "__kwdefaults__", {"budget_s": -1.0})

    page = find("corr-000001")

    assert "then the time for one search was up: 0 objects" in page


def test_objects_that_cannot_be_read_are_counted(ingest, recent, find):
    """A lost object does not end the search, and does not go unsaid."""
    ingest([recent(1, correlation_id="corr-000001")])
    ingest([recent(2)])
    storages["archive"].delete(ArchiveFile.objects.order_by("-created_at")[0].path)

    page = find("corr-000001")

    assert "transaction tx-1" in page
    assert "2 objects; 1 could not be read" in page


def test_the_box_is_on_every_page_and_reached_by_keys(ready, look):
    """Unfold's own is a <div>."""
    page = look(list_url("ingestion.batch"), html=True)

    assert '<button type="button" class="pf-find"' in page
    assert 'id="search-input-command"' in page
