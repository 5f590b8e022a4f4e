"""The page of a transaction: all that is known, and nothing that a person may not see."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import storages
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from configuration.activation import activate
from configuration.models import Bundle, ConfigurationVersion
from configuration.versions import import_document
from ingestion.bundles import load_bundle
from ingestion.models import Batch
from metrics.models import AggregateHistogram, MetricWindow, NormalizedTransaction, Violation
from payflow.lib.pages.display import list_url, row_url
from tests.ingestion.unguarded import changeable_bundles
from tests.pages import text_of

TRANSACTIONS = "metrics.normalizedtransaction"
#: tables that grow with traffic: a passport never scans one of them
BIG = (
    "normalized_transactions", "dynamic_metrics", "batches", "batch_outcomes", "failed_items",
    "violations", "payment_metrics_5m", "payment_metrics_1h", "metric_windows",
    "aggregate_histograms",
)  # fmt: skip


def _page(pk: int) -> str:
    return row_url(TRANSACTIONS, pk)


def _archived(pk: int) -> str:
    return _page(pk).replace("/change/", "/archived/")


def _json(pk: int) -> str:
    return _page(pk).replace("/change/", "/passport.json")


@pytest.fixture
def story(ingest: Any, event: Any) -> NormalizedTransaction:
    """One payment that failed, was sent broken, was completed, came again, and was refunded."""
    big = {"amount": 61000.5, "metadata": {"country": "DE", "processor": "acme"}}
    done = event(1, **big, timestamp="2026-03-02T10:00:07Z")
    ingest([event(1, **big, status="declined"), event(2)])
    ingest([event(1, amount="abc"), done])
    ingest([done, event(1, transaction_type="refund", timestamp="2026-03-02T10:09:00Z")])
    return NormalizedTransaction.objects.get(amount="61000.5", payment_status="completed")


def test_the_whole_story_is_told_in_order(story, look):
    """Events by their own time, then what payflow did about each."""
    page = look(_page(story.pk))

    assert "61,000.50 EUR at M-1" in page
    told = [
        "Payment of 61,000.50 EUR failed",
        "Payment of 61,000.50 EUR completed",
        "Refund of 12.34 EUR completed",
        "Critical finding: aml_large_amount",
        "Payment failed was accepted under transaction v1",
        "Refused: ",
        "Accepted under transaction v1, counted as late",
        "Came again and was set aside as a duplicate",
        "Refund completed was accepted under transaction v1",
    ]
    places = [page.index(words) for words in told]
    assert places == sorted(places)
    assert "3 events, 1 refused, 1 came again" in page


def test_an_activation_between_two_events_is_part_of_the_story(ingest, event, look):
    """A payment that fails under one version and passes under the next explains itself."""
    ingest([event(1, status="declined")])
    schema = ConfigurationVersion.objects.get(kind="schema", name="transaction", status="active")
    document = {**schema.document, "description": "The same under another name."}
    activate(import_document(kind="schema", name="transaction", document=document))
    ingest([event(1)])
    row = NormalizedTransaction.objects.order_by("id").first()
    assert row is not None

    page = look(_page(row.pk))

    assert "Transaction schema transaction v2 went live" in page
    assert page.index("accepted under transaction v2") > page.index("v2 went live")


def test_rules_give_what_was_stored_for_the_event(ingest, event, look):
    """Evaluated again, one event alone gives every cell that its batch wrote, with its sums."""
    ingest([event(1, amount=60000, metadata={"processing_time_ms": 120, "country": "DE"})])
    row = NormalizedTransaction.objects.get()

    rules = json.loads(look(_json(row.pk), html=True))["rules"]

    shown = {
        (cell["rule"], cell["window_s"], json.dumps(cell["group"], separators=(",", ":"))): cell
        for cell in rules
    }
    stored = list(MetricWindow.objects.values())
    assert stored
    for cell in stored:
        found = shown.pop((cell["rule"], cell["window_s"], cell["group_key"]))
        assert found["cell"]["sum"] == str(cell["value_sum"]), cell
        assert found["value"] == str(cell["value_sum"]), cell
        assert found["cell"]["transactions"] == str(cell["transactions"]) == "1"
    for bucket in AggregateHistogram.objects.values():
        found = shown.pop((bucket["rule"], bucket["window_s"], bucket["group_key"]))
        assert (found["value"], found["cell"]["in_bucket"]) == (str(bucket["bucket"]), "1")
    assert shown == {}


def test_cells_are_those_of_now(ingest, event, look):
    """What came later into the same cell counts; other cells do not."""
    ingest([event(n) for n in range(3)] + [event(9, currency="USD")])
    row = NormalizedTransaction.objects.filter(currency="EUR").first()
    assert row is not None

    page, archived = look(_page(row.pk)), look(_archived(row.pk))

    assert (
        "5-minute roll-up unknown, EUR, completed, web 2 Mar 10:00 \u2013 10:05 3 37.02 EUR" in page
    )
    assert re.search(
        r"payment_amount histogram, currency EUR .{5,30} about 12\.\d+ 3 3 in", archived
    )


def test_the_bytes_are_shown_as_they_came(ingest, event, look):
    """Indented, as received, and in hex; what they hold is never markup."""
    body = b'{"a": "<i>x</i>", ' + json.dumps(event(1)).encode()[1:]
    ingest([event(2), body])
    row = NormalizedTransaction.objects.get(transaction_id="tx-1")

    page = look(_archived(row.pk), html=True)

    assert "<i>x" not in page
    text = text_of(page)
    assert '"a": "<i>x</i>",' in text
    assert body.decode() in text
    assert "000000 7b 22 61 22" in text
    assert re.search(r'data-into="pp-offset" hidden>1<', page)
    assert re.search(r'data-into="pp-late" hidden>late<', page)


def test_an_archive_that_is_gone_leaves_the_rest(story, look):
    """The card says so and offers another try; the page does not touch the archive at all."""
    batch = Batch.objects.get(pk=story.batch)
    storages["archive"].delete(batch.file)

    page, archived = look(_page(story.pk)), look(_archived(story.pk))
    exported = json.loads(look(_json(story.pk), html=True))

    assert "Payment of 61,000.50 EUR completed" in page
    assert "The archive does not give the object" in archived
    assert "Try again" in archived
    assert "The archive does not give" in exported["archived"]
    assert exported["event"]["amount"] == "61000.5000"


def test_a_broken_object_is_said_and_not_raised(story, look):
    """Half an object is as good as none."""
    path = Path(storages["archive"].path(Batch.objects.get(pk=story.batch).file))
    path.write_bytes(path.read_bytes()[:100])

    assert "The archive does not give the object" in look(_archived(story.pk))


def test_another_engine_shows_the_bytes_and_no_values(story, look):
    """Results of this engine are not shown as those of the one that stored the event."""
    bundle = Bundle.objects.get(pk=Batch.objects.get(pk=story.batch).bundle_id)
    with changeable_bundles():
        Bundle.objects.filter(pk=bundle.pk).update(content={**bundle.content, "engine_version": 0})
    load_bundle.cache_clear()

    page = look(_archived(story.pk))

    assert '"transaction_id": "tx-1"' in page
    assert "built for engine 0" in page
    assert "Counted by rules" not in page


def test_what_retention_dropped_is_named(story, look):
    """An event may outlive its manifest and its cells."""
    Batch.objects.all().delete()

    assert "retention dropped it" in look(_page(story.pk))
    assert "retention dropped it" in look(_archived(story.pk))


def test_permissions_decide_what_a_passport_holds(story, staff):
    """Refused bytes, findings and the archive have permissions of their own."""
    client = staff("metrics.view_normalizedtransaction")

    page = client.get(_page(story.pk)).content.decode()
    archived = client.get(_archived(story.pk)).content.decode()
    exported = client.get(_json(story.pk)).json()

    assert "Refused:" not in page
    assert "aml_large_amount" not in page
    assert "Your role may not read the archive." in archived
    assert (exported["failures"], exported["findings"], exported["rules"]) == ([], [], [])
    assert isinstance(exported["archived"], str)


def test_nobody_without_the_permission_reads_any_part(story, staff):
    """Neither the page, nor what comes after it, nor the JSON."""
    client = staff("ingestion.view_archivefile")

    assert [client.get(url(story.pk)).status_code for url in (_page, _archived, _json)] == [403] * 3


def test_the_json_is_complete_and_no_number_is_rounded(story, look):
    """Ids and amounts are texts; a browser keeps every digit."""
    exported = json.loads(look(_json(story.pk), html=True))

    assert exported["event"]["id"] == str(story.pk)
    assert [event["payment_status"] for event in exported["events"]] == [
        "failed", "completed", "completed",
    ]  # fmt: skip
    assert json.loads(b64decode(exported["archived"]["body_base64"])) == json.loads(
        exported["archived"]["body"]
    )
    assert [item["reason"] for item in exported["failures"]] == ["pattern_mismatch"]
    assert [outcome["outcome"] for outcome in exported["duplicates"]] == ["duplicate"]
    own = Violation.objects.filter(transaction_id="tx-1", rule="aml_large_amount")
    found = [finding["id"] for finding in exported["findings"]]
    assert {str(finding.pk) for finding in own} <= set(found)
    assert own.count() == 2
    assert {version["kind"] for version in exported["versions"]} == {
        "schema", "metrics", "compliance",
    }  # fmt: skip
    assert exported["late"] is True
    assert all(abs(number) < 2**53 for number in _numbers(exported))


def _numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [number for part in value.values() for number in _numbers(part)]
    if isinstance(value, list):
        return [number for part in value for number in _numbers(part)]
    return [value] if isinstance(value, int | float) else []


def test_every_read_is_served_by_an_index(story, look):
    """On 10 million rows one scan would cost more than the page may take."""
    with CaptureQueriesContext(connection) as queries:
        for url in (_page, _archived, _json):
            look(url(story.pk), html=True)

    reads = {q["sql"] for q in queries if any(f"{table}" in q["sql"] for table in BIG)}
    plans = {
        sql: _scanned(sql) for sql in reads if sql.lstrip().upper().startswith(("SELECT", "WITH"))
    }
    assert len(plans) > 10
    assert {sql: tables for sql, tables in plans.items() if tables} == {}


def _scanned(sql: str) -> set[str]:
    """Big tables that PostgreSQL would scan even when it is told not to."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        # psycopg would take a % in the text for a parameter
        cursor.execute("EXPLAIN (FORMAT JSON) " + sql.replace("%", "%%"), [])
        plan = cursor.fetchone()[0]
    found, nodes = set(), [plan[0]["Plan"]]
    while nodes:
        node = nodes.pop()
        nodes += node.get("Plans", [])
        relation = node.get("Relation Name", "")
        if node["Node Type"] == "Seq Scan" and relation.startswith(BIG):
            found.add(relation)
        if node["Node Type"].startswith("Index") and "Index Cond" not in node and relation in BIG:
            found.add(f"{relation} (all of an index)")
    return found


def test_customers_and_merchants_lead_to_their_transactions(story, look):
    """The customer through its index, the merchant within a day of arrival."""
    page = look(_page(story.pk), html=True)

    assert list_url(TRANSACTIONS, q="C-1") in page
    assert list_url(TRANSACTIONS, merchant_id="M-1", arrived="24h").replace("&", "&amp;") in page
    by_merchant = look(list_url(TRANSACTIONS, merchant_id="M-1", arrived="24h"))
    assert "tx-2" in by_merchant
    assert "No transactions match" in look(list_url(TRANSACTIONS, merchant_id="M", arrived="24h"))
    assert "tx-2" in look(list_url(TRANSACTIONS, customer_id="C-1"))
    assert "No transactions match" in look(list_url(TRANSACTIONS, customer_id="C"))
