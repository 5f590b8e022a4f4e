"""The path on real PostgreSQL: what is counted, what is not, and what never happens."""

from __future__ import annotations

import time
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from django.db import connection
from django.db.models import Sum
from django.utils import timezone

from configuration.activation import activate
from configuration.models import ConfigurationVersion
from configuration.versions import import_document
from deadletter.models import FailedItem, FailureGroup
from ingestion import archive, pipeline
from ingestion.evaluate import evaluate
from ingestion.models import ArchiveFile, Batch, BatchOutcome, Partition
from metrics.models import (
    DynamicMetric,
    NormalizedTransaction,
    PaymentMetrics1h,
    PaymentMetrics5m,
)

pytestmark = pytest.mark.usefixtures("ready")


def test_an_accepted_event_reaches_every_table(ingest, event):
    """Transaction, metrics, both roll-ups, manifest and archive hold it after one commit."""
    report = ingest([event(amount=99.95)])

    assert (report.read, report.accepted, report.failed) == (1, 1, 0)
    row = NormalizedTransaction.objects.get()
    assert (row.amount, row.currency, row.payment_status) == (Decimal("99.95"), "EUR", "completed")
    assert DynamicMetric.objects.filter(transaction_id=row.id).exists()
    for table in (PaymentMetrics5m, PaymentMetrics1h):
        cell = table.objects.get()
        assert (cell.transaction_count, cell.amount_sum) == (1, Decimal("99.95"))
    batch = Batch.objects.get()
    assert batch.id == row.batch
    assert (batch.start_position, batch.next_position) == ("0", "1")
    stored = archive.read(batch.file)
    assert stored["verdict"].to_list() == ["accepted"]
    assert ArchiveFile.objects.get().rows == 1


def test_the_same_event_again_is_a_duplicate_and_counts_once(ingest, event):
    """Within a batch, in a later batch and in another file: counted as a duplicate each time."""
    first = ingest([event(1), event(1), event(2)])
    second = ingest([event(2), event(3), event(1)])

    assert (first.accepted, first.duplicates) == (2, 1)
    assert (second.accepted, second.duplicates) == (1, 2)
    assert NormalizedTransaction.objects.count() == 3
    assert PaymentMetrics5m.objects.aggregate(n=Sum("transaction_count"))["n"] == 3
    assert BatchOutcome.objects.filter(outcome="duplicate").count() == 3


def test_the_same_key_with_another_payload_is_a_conflict_and_keeps_both(ingest, event):
    """The first stays, the second becomes a failed item that names the first."""
    ingest([event(1, amount=10)])
    report = ingest([event(1, amount=11)])

    assert (report.accepted, report.failed, report.duplicates) == (0, 1, 0)
    item = FailedItem.objects.get()
    stored = NormalizedTransaction.objects.get()
    assert (item.reason, item.other_id) == ("duplicate_conflict", stored.id)
    assert stored.amount == Decimal(10)
    assert item.transaction_id == "tx-1"


def test_an_identity_that_looks_like_a_card_number_never_makes_two_events_one(ingest, event):
    """The fields of an identity are spared from masking, whatever the schema calls them."""
    document = ConfigurationVersion.objects.get(kind="schema", name="transaction").document
    document = document | {
        "name": "numbered",
        "identity": ["event_no"],
        "attributes": {"event_no": {"path": "event_no", "type": "string"}},
    }
    activate(import_document(kind="schema", name="numbered", document=document))

    report = ingest(
        [event(1, event_no="4111111111111111"), event(1, event_no="4111110000091111")],
        schema="numbered",
    )

    assert (report.accepted, report.duplicates) == (2, 0)


def test_a_life_of_a_payment_is_several_events(ingest, event):
    """Pending, completed and two partial refunds of one transaction each count once."""
    life = [
        event(1, status="success"),
        event(1, status="declined"),
        event(1, transaction_type="refund", timestamp="2026-03-02T11:00:00Z"),
        event(1, transaction_type="refund", timestamp="2026-03-02T12:00:00Z"),
    ]

    report = ingest(life)

    assert (report.accepted, report.duplicates) == (4, 0)


def test_broken_messages_become_failed_items_with_their_own_bytes(ingest, event):
    """Unparseable bytes never carry the payload of the message before them."""
    broken = [b"{", b"\xff\xfe", b'{"amount": NaN}', b"[]", b'"text"', b"nul\x00l"]

    report = ingest([event(1), broken[0], event(2), *broken[1:], event(3)])

    assert (report.accepted, report.failed) == (3, len(broken))
    payloads = [bytes(item.payload or b"") for item in FailedItem.objects.order_by("id")]
    assert payloads == broken
    assert FailedItem.objects.exclude(correlation_id="").count() == len(broken)
    assert FailureGroup.objects.aggregate(n=Sum("count"))["n"] == len(broken)


def test_a_refused_event_is_found_by_the_names_it_has(ingest, event):
    """Its transaction and correlation ids are kept when they could be read."""
    ingest([event(1, amount="no amount", correlation_id="c-1"), event(2, transaction_id=[1])])

    items = list(FailedItem.objects.order_by("id"))
    assert [(i.transaction_id, i.correlation_id[:6]) for i in items] == [
        ("tx-1", "c-1"),
        ("", "files-"),
    ]


def test_every_transaction_has_its_own_correlation_id(ingest, event):
    """Never one for the whole batch; the event's own wins."""
    ingest([event(1), event(2), event(3, correlation_id="mine")])

    ids = set(NormalizedTransaction.objects.values_list("correlation_id", flat=True))
    assert len(ids) == 3
    assert "mine" in ids


def test_minutes_55_to_59_are_in_both_roll_ups(ingest, event):
    """The last window of each hour, of a day, of a leap day and around a change of clocks."""
    times = [
        "2026-03-02T10:55:00Z",
        "2026-03-02T10:59:59.999999Z",
        "2025-12-31T23:59:59.9Z",
        "2024-02-29T23:57:00Z",
        "2026-03-29T01:59:59+01:00",
        "2026-03-29T03:00:00+02:00",
    ]

    report = ingest([event(i, timestamp=t) for i, t in enumerate(times)])

    assert report.accepted == len(times)
    for table in (PaymentMetrics5m, PaymentMetrics1h):
        assert table.objects.aggregate(n=Sum("transaction_count"))["n"] == len(times)
    starts = {
        f"{s:%Y-%m-%dT%H:%M}"
        for s in PaymentMetrics5m.objects.values_list("window_start", flat=True)
    }
    assert starts == {
        "2026-03-02T10:55",
        "2025-12-31T23:55",
        "2024-02-29T23:55",
        "2026-03-29T00:55",
        "2026-03-29T01:00",
    }


def test_an_event_of_the_future_fails_and_a_late_one_counts(ingest, event):
    """Judged against the broker's time: more than 5 minutes ahead fails, old events are late."""
    report = ingest([event(1), event(2, timestamp="2099-01-01T00:00:00Z")])

    assert (report.accepted, report.failed, report.late) == (1, 1, 1)
    assert FailedItem.objects.get().reason == "in_the_future"


def test_a_message_over_1_mib_fails_and_its_bytes_stay_in_the_archive(ingest, event):
    """The failed item points to file and row instead of holding the bytes."""
    huge = event(1, note="x" * 2**20)

    report = ingest([event(0), huge])

    assert (report.accepted, report.failed) == (1, 1)
    item = FailedItem.objects.get()
    assert (item.reason, item.payload) == ("too_large", None)
    body = archive.read(item.archive_file)["body"][item.archive_row]
    assert len(body) > 2**20


@pytest.mark.parametrize(
    ("table", "check"),
    [
        ("normalized_transactions", "amount <> 13"),
        ("dynamic_metrics", "metric_data->>'transaction_amount' NOT LIKE '13%'"),
    ],
)
def test_rows_that_the_database_refuses_fail_alone(ingest, event, table: str, check: str):
    """SQLSTATE 23514, of the event or of its metrics: failed items; the others are committed."""
    refused = [event(n, amount=13) for n in range(10, 18)]
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} ADD CONSTRAINT no_thirteen CHECK ({check})")
    try:
        report = ingest([event(1), event(2), *refused, event(1), event(4)])
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT no_thirteen")

    assert (report.accepted, report.failed, report.duplicates) == (3, 8, 1)
    for item in FailedItem.objects.all():
        assert item.reason == "refused_by_database"
        assert "no_thirteen" in str(item.errors)
    assert {i.transaction_id for i in FailedItem.objects.all()} == {
        e["transaction_id"] for e in refused
    }
    assert BatchOutcome.objects.filter(outcome="refused").count() == 8


def test_a_second_run_over_a_file_reads_nothing(ingest, event, tmp_path: Path):
    """The same content is the same partition, whatever the file is called: nothing is evaluated."""
    ingest([event(1), b"{"])
    again = ingest([event(1), b"{"])

    assert (again.read, again.parts, again.accepted) == (0, 0, 0)
    assert Partition.objects.count() == 1
    assert Batch.objects.count() == 1


def test_tabs_newlines_and_backslashes_survive_copy(ingest, event):
    """Text is stored exactly as it was sent, whatever COPY's text format means by it."""
    odd = 'a\tb\nc\\d\\N\r"é\u2028💶'

    ingest([event(1, customer_id=odd, metadata={"card_brand": odd})])

    row = NormalizedTransaction.objects.get()
    assert row.customer_id == odd
    assert row.metadata["card_brand"] == odd


def test_raw_events_name_file_and_row_of_every_part(ingest, event):
    """The view holds accepted, failed and duplicate parts, each once."""
    ingest([event(1), event(1), b"{", event(2)])

    with connection.cursor() as cursor:
        cursor.execute("SELECT verdict, file, row FROM raw_events ORDER BY row")
        rows = cursor.fetchall()

    assert [(verdict, row) for verdict, _, row in rows] == [
        ("accepted", 0),
        ("duplicate", 1),
        ("failed", 2),
        ("accepted", 3),
    ]
    assert {file for _, file, _ in rows} == {Batch.objects.get().file}


def test_the_archive_holds_every_message_with_its_verdict(ingest, event):
    """Failed and ignored messages too: the archive is what was received, not what was liked."""
    charge = {
        "id": "ch_1",
        "object": "charge",
        "amount": 1099,
        "currency": "usd",
        "created": 1_700_000_000,
        "status": "succeeded",
        "paid": True,
        "captured": True,
    }

    report = ingest([charge, {"object": "customer", "id": "cus_1"}, b"{"], schema="stripe")

    assert (report.accepted, report.ignored, report.failed) == (1, 1, 1)
    frame = archive.read(Batch.objects.get().file)
    assert frame["verdict"].to_list() == ["accepted", "ignored", "failed"]
    assert frame["body"][2] == b"{"
    assert frame["amount"].to_list() == [Decimal("10.9900"), None, None]
    assert frame.schema["amount"] == pl.Decimal(19, 4)


def test_a_batch_that_takes_long_to_judge_keeps_its_lease(ingest, event, monkeypatch, settings):
    """Hostile bytes take seconds: the lease is renewed on the way, not only between batches."""
    settings.PAYFLOW = {**settings.PAYFLOW, "LEASE_S": 3}
    left = []

    def slowly(*args, **kwargs):
        time.sleep(1.1)
        return evaluate(*args, **kwargs)

    def looking(*args, **kwargs):
        row = Partition.objects.get()
        assert row.leased_until is not None
        left.append((row.leased_until - timezone.now()).total_seconds())
        return write(*args, **kwargs)

    write = archive.write
    monkeypatch.setattr(pipeline, "evaluate", slowly)
    monkeypatch.setattr(archive, "write", looking)

    ingest([event(1)])

    assert left[0] > 2.3
