"""A draft schema on archived events: what would newly fail, newly pass, and read otherwise."""

from __future__ import annotations

import base64
from typing import Any
from unittest.mock import patch

from django.db import connection

from deadletter.models import FailedItem
from ingestion.models import Batch
from metrics.models import NormalizedTransaction


def _only_big_merchants(document: dict[str, Any]) -> None:
    document["json_schema"]["properties"]["merchant_id"] = {
        "type": "string",
        "pattern": "^M-[0-9]+$",
    }


def test_what_would_newly_fail_is_counted_by_cause_and_merchant(ingest, event, draft, dry_run):
    """The field, what is asked for, and the merchants that send otherwise."""
    ingest([event(n) for n in range(60)])
    ingest([event(100 + n, merchant_id="shop a") for n in range(3)])
    ingest([event(200, merchant_id="shop b")])

    result = dry_run(draft("schema", _only_big_merchants))

    assert (result["newly_failing"], result["newly_passing"], result["same"]) == (4, 0, 60)
    [cause] = result["failing"]
    assert (cause["field"], cause["reason"]) == ("merchant_id", "pattern_mismatch")
    assert cause["merchants"] == [["shop a", 3], ["shop b", 1]]
    assert cause["events"] == 4


def test_a_sample_names_the_event_and_both_verdicts(ingest, event, draft, dry_run):
    """The transaction as it is stored, its row of the archive, and what each side says."""
    ingest([event(1), event(2, merchant_id="shop a")])

    result = dry_run(draft("schema", _only_big_merchants))

    [sample] = result["failing"][0]["samples"]
    stored = NormalizedTransaction.objects.get(transaction_id="tx-2")
    assert (sample["id"], sample["batch"], sample["row"]) == (stored.pk, stored.batch, 1)
    assert sample["file"] == Batch.objects.get().file
    assert sample["old"] == {"verdict": "accepted", "errors": []}
    assert sample["new"]["verdict"] == "failed"
    assert "shop a" not in str(sample["new"]), "what was found is a type or a size, never payload"


def test_failed_items_that_would_pass_are_found(ingest, event, draft, dry_run):
    """Each by its reason, with the item that is stored of it."""
    ingest([event(1), event(2, status="odd"), event(3, amount="abc")])

    def maps_odd(document: dict[str, Any]) -> None:
        document["columns"]["payment_status"]["map"]["odd"] = "pending"
        document["columns"]["error_code"]["map"]["odd"] = ""
        document["json_schema"]["properties"].pop("status", None)

    result = dry_run(draft("schema", maps_odd))

    assert (result["newly_failing"], result["newly_passing"], result["same"]) == (0, 1, 2)
    [sample] = result["passing"][0]["samples"]
    item = FailedItem.objects.get(transaction_id="tx-2")
    assert (sample["id"], sample["stored"]) == (item.pk, "failed")


def test_columns_that_read_otherwise_are_named_with_both_values(ingest, event, draft, dry_run):
    """An event that passes under both may still mean something else."""
    ingest([event(1, channel="web"), event(2, channel="POS")])

    result = dry_run(
        draft("schema", lambda document: document["columns"]["channel"].update(upper=True))
    )

    assert (result["same"], result["changed"]) == (2, 1)
    [column] = result["columns"]
    assert (column["column"], column["events"]) == ("channel", 1)
    assert (column["samples"][0]["old"], column["samples"][0]["new"]) == ("web", "WEB")


def test_what_only_the_draft_opens_is_masked_in_the_result(ingest, event, draft, dry_run):
    """Nobody looked into the text when the message arrived: a result must not show cards in it."""
    carried = base64.b64encode(b'{"customer": "4111111111111111"}').decode()
    ingest([event(1, carried=carried)])

    def opens(document: dict[str, Any]) -> None:
        document["decoder"] = {"inside": "carried", "encoding": "base64"}
        document["columns"]["customer_id"] = {"path": "carried.customer"}
        document["json_schema"]["properties"].pop("customer_id", None)

    result = dry_run(draft("schema", opens))

    [column] = [one for one in result["columns"] if one["column"] == "customer_id"]
    assert column["samples"][0]["new"] == "411111******1111"
    assert "4111111111111111" not in str(result)


def test_nothing_but_the_job_is_written(ingest, event, draft, dry_run):
    """Every other table holds what it held."""
    ingest([event(1), event(2, merchant_id="shop a"), event(3, amount="abc")])
    version = draft("schema", _only_big_merchants)
    before = _rows()

    dry_run(version)

    assert _rows() == before | {"jobs": 1}


def test_processes_beside_find_what_one_process_finds(ingest, event, draft, dry_run):
    """Many events are compared in processes of their own; they have no database."""
    ingest([event(n, merchant_id=f"shop {n}" if n % 10 == 0 else "M-1") for n in range(100)])
    version = draft("schema", _only_big_merchants)
    here = dry_run(version)

    with patch("ingestion.dryrun.run.SMALL", 0), patch("ingestion.dryrun.run.CHUNK_PARTS", 1):
        beside = dry_run(version)

    assert beside | {"seconds": 0} == here | {"seconds": 0}


def _rows() -> dict[str, int]:
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        counts = {}
        for table in tables:
            cursor.execute(f'SELECT count(*) FROM "{table}"')
            counts[table] = cursor.fetchone()[0]
    return counts
