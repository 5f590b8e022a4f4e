"""The list, the search and the page of transactions."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from ingestion.models import Batch
from metrics.admin import TransactionAdmin
from metrics.models import NormalizedTransaction
from metrics.search import Hours, find_customer, find_transaction, key_ranges
from payflow.lib.pages import lists
from payflow.lib.pages.display import list_url, row_url

TRANSACTIONS = "metrics.normalizedtransaction"


def _row_of(url: str) -> int:
    return int(re.findall(r"\d+", url)[0])


def _rows(html: str) -> list[int]:
    return [int(key) for key in re.findall(r"/normalizedtransaction/(\d+)/change/", html)]


def _link(html: str, words: str) -> str | None:
    found = re.search(rf'href="([^"]+)">{words}</a>', html)
    return found.group(1).replace("&amp;", "&") if found else None


def test_pages_by_key_show_every_row_once(ingest, event, look):
    """Older, older, and back: no row twice, none left out, newest first."""
    ingest([event(number) for number in range(120)])
    pages = [look(list_url(TRANSACTIONS), html=True)]
    while older := _link(pages[-1], "Older"):
        pages.append(look(list_url(TRANSACTIONS) + older, html=True))

    newer = _link(pages[-1], "Newer")
    back = look(list_url(TRANSACTIONS) + str(newer), html=True)

    seen = [row for page in pages for row in _rows(page)]
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == len(set(seen)) == 120
    assert _rows(back) == _rows(pages[1])


def test_under_a_filter_of_event_time_rows_are_in_its_order(ingest, event, look):
    """Arrival order would make PostgreSQL walk the primary key for seconds."""
    ingest(
        [event(n, timestamp=f"2026-03-02T10:{n * 37 % 60:02d}:00Z") for n in range(60)]
        + [event(99, timestamp="2026-03-02T12:00:00Z")]
    )
    query = {"occurred_at_from_0": "2026-03-02", "occurred_at_from_1": "10:00:00",
             "occurred_at_to_0": "2026-03-02", "occurred_at_to_1": "12:00:00"}  # fmt: skip

    first = look(list_url(TRANSACTIONS, **query), html=True)
    second = look(list_url(TRANSACTIONS) + str(_link(first, "Older")), html=True)

    times = dict(NormalizedTransaction.objects.values_list("id", "occurred_at"))
    shown = [times[row] for row in [*_rows(first), *_rows(second)]]
    assert len(shown) == 60, "the end of the range is not part of it"
    assert shown == sorted(shown, reverse=True)


def test_the_list_never_counts(ingest, event, look):
    """count(*) over 10 million rows takes a second; the number of pages is nobody's question."""
    ingest([event(number) for number in range(3)])

    with CaptureQueriesContext(
        connection,
    ) as queries:
        look(list_url(TRANSACTIONS, payment_status="completed"))

    counting = [q["sql"] for q in queries if "COUNT(" in q["sql"].upper()]
    assert not [sql for sql in counting if "normalized_transactions" in sql]


def test_a_search_without_an_index_gives_up_and_says_so(ingest, event, look, monkeypatch):
    """No page hangs: after a few seconds it names the way out."""
    ingest([event()])
    monkeypatch.setattr(lists, "PATIENCE_MS", 20)
    monkeypatch.setattr(
        TransactionAdmin,
        "get_queryset",
        lambda *_: NormalizedTransaction.objects.extra(where=["pg_sleep(0.2) IS NOT NULL"]),
    )

    page = look(list_url(TRANSACTIONS, payment_status="completed"), html=True)

    assert "This search takes too long" in page
    assert "arrived=1h" in page


@pytest.mark.parametrize(
    ("schema", "make"),
    [
        ("transaction", lambda e, number: e(number)),
        (
            "stripe",
            lambda _e, number: {
                "object": "charge", "id": f"ch_{number}", "created": 1_700_000_000 + number,
                "amount": 1099, "currency": "usd", "status": "succeeded", "paid": True,
            },
        ),
    ],
)  # fmt: skip
def test_every_event_is_found_by_its_transaction(ingest, event, look, schema, make):
    """Whatever the layout of its key, and however long ago it happened."""
    ingest([make(event, number) for number in range(20)], schema=schema)
    row = NormalizedTransaction.objects.order_by("id")[7]

    page = look(list_url(TRANSACTIONS, q=row.transaction_id), html=True)

    assert _rows(page) == [row.pk]


def test_the_key_of_every_stored_event_is_within_a_range_searched(ingest, event):
    """The search repeats the parser's layout of keys: both must change together."""
    ingest([event(number) for number in range(20)])

    for row in NormalizedTransaction.objects.all():
        hour = int(row.occurred_at.timestamp()) // 3600
        ranges = key_ranges(row.transaction_id, hours=[hour])
        assert any(low <= row.event_key <= high for low, high in ranges)


def test_other_hours_are_not_searched(ingest, event):
    """The page of an event looks around it, not through years."""
    ingest([event(1)])
    row = NormalizedTransaction.objects.get()
    later = Hours(since=row.occurred_at + timedelta(hours=2))

    assert find_transaction("tx-1") == [row.pk]
    assert find_transaction("tx-1", within=later) == []


def test_a_customer_finds_their_events(ingest, event, look):
    """The bloom index answers; newest first."""
    ingest([event(n, customer_id=f"C-{n % 3}") for n in range(30)])

    page = look(list_url(TRANSACTIONS, q="C-2"), html=True)

    assert set(_rows(page)) == set(find_customer("C-2"))
    assert len(_rows(page)) == 10


def test_an_empty_search_says_what_was_looked_for(ingest, event, look):
    """And what it can find at all; the term is not markup."""
    ingest([event()])

    page = look(list_url(TRANSACTIONS, q="<b>nobody</b>"), html=True)

    assert "&lt;b&gt;nobody" in page
    assert "compared as a whole" in page


def test_an_empty_table_says_how_to_fill_it(look):
    """The first look at a new installation helps on."""
    assert "manage.py simulate --source demo" in look(list_url(TRANSACTIONS))


def test_the_page_of_a_transaction_tells_all_of_it(ingest, event, look):
    """Its fields, its metrics, the other events of the payment, and where its bytes are."""
    ingest(
        [
            event(1, amount=1234.5, currency="JPY", status="declined"),
            event(1, amount=1234.5, currency="JPY", metadata={"card_brand": "<i>Visa"}),
        ]
    )
    row = NormalizedTransaction.objects.get(payment_status="completed")
    other = NormalizedTransaction.objects.get(payment_status="failed")

    page = look(row_url(TRANSACTIONS, row.pk), html=True)

    assert "1,234.5 <span" in page
    assert "status_completed" in page
    assert row_url(TRANSACTIONS, other.pk) in page
    assert row_url("ingestion.batch", row.batch) in page
    batch = Batch.objects.get(pk=row.batch)
    assert f"{row_url('ingestion.archivefile', batch.file)}?row={row.ordinal}" in page
    assert "<i>Visa" not in page


def test_what_an_event_holds_is_never_markup(ingest, event, look):
    """Ids and names come from outside."""
    bad = "<script>alert(1)</script>"
    ingest([event(transaction_id=bad, merchant_id=bad, customer_id=bad)])
    row = NormalizedTransaction.objects.get()

    for url in (list_url(TRANSACTIONS), row_url(TRANSACTIONS, row.pk)):
        page = look(url, html=True)
        assert bad not in page
        assert "&lt;script&gt;" in page


def test_the_transactions_of_a_batch_are_those_of_that_batch(ingest, event, look):
    """The batch's page links here."""
    ingest([event(number) for number in range(3)])
    ingest([event(number) for number in range(10, 12)])
    batch = Batch.objects.order_by("-id").first()
    assert batch is not None

    page = look(list_url(TRANSACTIONS, batch=batch.pk), html=True)

    assert sorted(_rows(page)) == sorted(
        NormalizedTransaction.objects.filter(batch=batch.pk).values_list("id", flat=True)
    )


def test_a_source_filters_its_transactions(ingest, event, look):
    """Through partition and batch: a transaction itself does not name its source."""
    ingest([event(number) for number in range(3)])

    assert len(_rows(look(list_url(TRANSACTIONS, source="files-transaction"), html=True))) == 3
    assert "No transactions match" in look(list_url(TRANSACTIONS, source="demo"))


@pytest.mark.parametrize(
    "query",
    [
        {"before": "x"}, {"after": "9" * 40}, {"before": "1"}, {"batch": "x"}, {"batch": "9" * 40},
        {"occurred_at_from_0": "31.12.2026"}, {"occurred_at_from_0": "0001-01-01"},
        {"q": "\x00"}, {"q": "9" * 30}, {"p": "99999999"}, {"o": "1.2"}, {"nonsense": "1"},
    ],
)  # fmt: skip
def test_a_broken_address_is_never_an_error_of_the_server(ingest, event, staff, query):
    """Addresses are typed and cut by people."""
    ingest([event()])
    client = staff("metrics.view_normalizedtransaction")

    response = client.get(list_url(TRANSACTIONS, **query))

    assert response.status_code in (200, 302)


def test_a_row_that_is_gone_leads_back_to_the_list(staff):
    """Retention drops rows that somebody has a link to."""
    client = staff("metrics.view_normalizedtransaction")

    response = client.get(row_url(TRANSACTIONS, 123), follow=True)

    assert response.redirect_chain == [(list_url(TRANSACTIONS), 302)]
    assert "There is no transaction 123 (any more)." in response.content.decode()


def test_metadata_is_shown_as_json(ingest, event, look):
    """Attributes keep their names and types."""
    ingest([event(metadata={"card_brand": "Visa", "risk_score": 0.25})])
    row = NormalizedTransaction.objects.get()

    page = look(row_url(TRANSACTIONS, row.pk))

    assert json.dumps({"risk_score": 0.25})[1:-1] in page
