"""verify is clean on what the path wrote, and names exactly what was changed behind its back."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import threading
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from django.core.files.storage import storages
from django.core.management import call_command
from django.db import connection, transaction
from psycopg.sql import SQL, Identifier

from configuration.bundling import checksum
from configuration.models import Bundle
from ingestion import archive
from ingestion.management.commands.verify import moment
from ingestion.models import Batch, Partition
from ingestion.sources.base import BatchLimits
from ingestion.verify import Scope, run, verify
from ingestion.verify.fetch import fetch_frame
from ingestion.verify.report import LISTED
from ingestion.verify.scope import open_connection
from ingestion.verify.stored import read_stored
from metrics.models import NormalizedTransaction
from payflow.lib.errors import Permanent
from tests.ingestion.unguarded import changeable_bundles

#: texts that COPY and JSON give a meaning of their own
AWKWARD = ["a\tb", "line\nbreak", "back\\slash", '"quoted", {"a": 1}', "\\N", "\r", "ü€😀", " "]


@pytest.fixture
def messages(event):
    """Events of all kinds: accepted, failed, twice, in conflict, with awkward texts."""
    events: list[bytes | dict[str, object]] = [
        event(n, amount=f"{n + 1}.0500", metadata={"risk_score": n / 7, "processing_time_ms": n})
        for n in range(40)
    ]
    events += [event(100 + n, customer_id=text) for n, text in enumerate(AWKWARD)]
    events += [event(200 + n, metadata={"card_brand": text}) for n, text in enumerate(AWKWARD)]
    events += [event(41, amount=50_000)]  # a finding
    events += [event(3, amount="4.0500", metadata={"risk_score": 3 / 7, "processing_time_ms": 3})]
    events += [event(4, amount=99)]
    events += [event(50, amount="abc"), event(51, currency="???"), b"{broken", b"\xff\xfe", b"[]"]
    return events


@pytest.fixture
def taken(ingest, event, messages, monkeypatch):
    """Two files in batches of 10 messages: the second repeats and contradicts the first."""
    monkeypatch.setattr(
        "ingestion.sources.file.BatchLimits", functools.partial(BatchLimits, messages=10)
    )
    first = ingest(messages)
    second = ingest([*messages[:15], event(7, amount=1), event(300), event(301)])
    assert (first.duplicates, second.duplicates, second.accepted) == (1, 15, 2)
    return second


def change(statement: str, *parameters: Any) -> None:
    """Change exactly one row behind payflow's back."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        assert cursor.rowcount == 1, cursor.rowcount


def found(report) -> set[tuple[str, str]]:
    """Kind and column of everything that the report lists."""
    return {(difference.kind, difference.column) for difference in report.listed}


# --- clean ----------------------------------------------------------------------------------------


def test_an_empty_database_is_clean(ready):
    """Nothing stored and nothing archived is no difference."""
    report = verify()

    assert report.is_clean
    assert report.compared["batches"] == 0


def test_what_the_path_wrote_is_clean(taken):
    """Failures, duplicates and conflicts within and across batches and files, awkward texts."""
    report = verify()

    assert report.listed == []
    assert report.is_clean
    assert report.explanations() == []
    stored = {
        "batches": Batch.objects.count(),
        "transactions": NormalizedTransaction.objects.count(),
    }
    assert stored["batches"] == 9
    assert {name: report.compared[name] for name in stored} == stored
    for name in ("metrics", "outcomes", "failed_items", "payment_metrics_5m", "payment_metrics_1h"):
        assert report.compared[name] > 0


def test_how_batches_are_put_together_does_not_matter(taken, monkeypatch):
    """Batches are evaluated again alone, a few at a time or all at once, with one result."""
    compared = verify().compared
    for parts in (1, 25):
        monkeypatch.setattr(run, "UNIT_PARTS", parts)
        report = verify()

        assert report.is_clean
        assert report.compared == compared


def test_a_row_that_the_database_refused_is_accounted_for(ingest, event):
    """It is a failed item and no transaction, though evaluate() accepts it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE normalized_transactions ADD CONSTRAINT refuses CHECK (channel <> 'fax')"
        )
    try:
        took = ingest([event(1), event(2, channel="fax"), event(2, channel="fax"), event(3)])
        report = verify()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE normalized_transactions DROP CONSTRAINT refuses")

    assert (took.accepted, took.failed) == (2, 2)
    assert report.listed == []
    assert report.compared["failed_items"] == 2


def test_ignored_messages_are_accounted_for(ingest):
    """A route that leaves messages to others is recomputed too."""
    charge = {"object": "charge", "id": "ch_1", "created": 1772445600, "amount": 1099}
    charge |= {"currency": "usd", "status": "succeeded", "paid": True}
    took = ingest([charge, {"object": "customer", "id": "cus_1"}], schema="stripe")

    report = verify()

    assert took.ignored == 1
    assert report.is_clean


def test_positions_of_other_partitions_and_ingestion_meanwhile_do_not_matter(
    taken, ingest, event, monkeypatch
):
    """Batches committed after the snapshot are no business of this run."""
    late = [event(400 + n) for n in range(30)]

    def ingest_then_read(cursor, manifests):
        if late:
            worker = threading.Thread(target=_take_in, args=(ingest, late.copy()))
            worker.start()
            worker.join()
            late.clear()
        return read_stored(cursor, manifests)

    monkeypatch.setattr(run, "read_stored", ingest_then_read)
    report = verify()

    assert report.listed == []
    assert report.compared["batches"] == 9
    assert Batch.objects.count() == 12


def _take_in(ingest, events):
    ingest(events)
    connection.close()


def test_awkward_texts_come_out_of_copy_as_they_went_in(ready):
    """The reader of COPY's text format gives back every character, null and number."""
    texts = [*AWKWARD, "", "\\\\N", "\b\f\v", "\\n", "tab\\\tend"]
    with open_connection() as conn, conn.cursor() as cursor:
        frame = fetch_frame(
            cursor,
            SQL(
                "SELECT n, t, CASE WHEN n > 2 THEN n END, n::numeric(19, 4) "
                "FROM unnest(%(texts)s::text[]) WITH ORDINALITY AS x (t, n) ORDER BY x.n"
            ),
            {"texts": texts},
            schema={"n": pl.Int64(), "t": pl.String(), "some": pl.Int64(), "d": pl.Decimal(19, 4)},
        )

    assert frame["t"].to_list() == texts
    assert frame["some"].to_list()[:3] == [None, None, 3]
    assert frame["d"].sum() == sum(range(len(texts) + 1))


# --- damage ---------------------------------------------------------------------------------------


#: what is changed, the statement that changes one row, and what verify must name
#: ({transaction}: an id, {batch}: the first batch)
DAMAGE: dict[str, tuple[str, set[tuple[str, str]]]] = {
    "bundle": (
        (
            "UPDATE configuration_bundles SET content = jsonb_set(content, '{{source}}', '1') "
            "WHERE id = (SELECT bundle_id FROM batches WHERE id = {batch})"
        ),
        {("bundle", "hash")},
    ),
    "amount": (
        "UPDATE normalized_transactions SET amount = amount + 0.0001 WHERE id = {transaction}",
        {("transaction", "amount")},
    ),
    "status": (
        "UPDATE normalized_transactions SET payment_status = 'failed' WHERE id = {transaction}",
        {("transaction", "payment_status")},
    ),
    "arrival": (
        (
            "UPDATE normalized_transactions SET received_at = received_at + interval '1 us' "
            "WHERE id = {transaction}"
        ),
        {("transaction", "received_at")},
    ),
    "null latency": (
        "UPDATE normalized_transactions SET latency_us = NULL WHERE id = {transaction}",
        {("transaction", "latency_us")},
    ),
    "batch": (
        "UPDATE normalized_transactions SET batch = batch + 1 WHERE id = {transaction}",
        {("transaction", "batch")},
    ),
    "metadata": (
        (
            "UPDATE normalized_transactions SET metadata = jsonb_set(metadata, "
            "'{{risk_score}}', '0.5') WHERE id = {transaction}"
        ),
        {("transaction", "metadata.risk_score")},
    ),
    "transaction gone": (
        "DELETE FROM normalized_transactions WHERE id = {transaction}",
        {("transaction", "")},
    ),
    "metric": (
        (
            "UPDATE dynamic_metrics SET metric_data = jsonb_set(metric_data, "
            "'{{amount_total}}', '21.0501') WHERE metric_type = 'COUNTER' AND event_id = "
            "{transaction}"
        ),
        {("metric", "metric_data.amount_total")},
    ),
    "metric gone": (
        "DELETE FROM dynamic_metrics WHERE metric_type = 'RATE' AND event_id = {transaction}",
        {("metric", "")},
    ),
    "metric of nothing": (
        (
            "INSERT INTO dynamic_metrics SELECT event_id + 5000 * 4194304::bigint, metric_type, "
            "metric_data FROM dynamic_metrics WHERE metric_type = 'RATE' AND event_id = "
            "{transaction}"
        ),
        {("stray", "")},
    ),
    "sum of a cell": (
        (
            "UPDATE payment_metrics_5m SET amount_sum = amount_sum - 0.0001 WHERE ctid = "
            "(SELECT ctid FROM payment_metrics_5m WHERE channel = 'web' LIMIT 1)"
        ),
        {("cell", "amount_sum")},
    ),
    "count of a cell": (
        (
            "UPDATE payment_metrics_1h SET transaction_count = transaction_count + 1 WHERE ctid "
            "= (SELECT ctid FROM payment_metrics_1h WHERE channel = 'web' LIMIT 1)"
        ),
        {("cell", "transaction_count")},
    ),
    "cell gone": (
        (
            "DELETE FROM payment_metrics_5m WHERE ctid = (SELECT ctid FROM payment_metrics_5m "
            "WHERE channel = 'web' LIMIT 1)"
        ),
        {("cell", "")},
    ),
    "cell of nothing": (
        (
            "INSERT INTO payment_metrics_5m SELECT window_start, 'cash', currency, "
            "payment_status, channel, 1, 1, 1, 1, 0, 0, NULL FROM payment_metrics_5m LIMIT 1"
        ),
        {("cell", "")},
    ),
    "checkpoint": (
        "UPDATE partitions SET position = '66' WHERE label = '0.ndjson'",
        {("checkpoint", "position")},
    ),
    "message count of a partition": (
        "UPDATE partitions SET sequence_number = sequence_number + 1 WHERE label = '0.ndjson'",
        {("checkpoint", "sequence_number")},
    ),
    "count of a batch": (
        "UPDATE batches SET late = late + 1 WHERE id = {batch}",
        {("manifest", "late"), ("arrival", "counts")},
    ),
    "count of an arrival": (
        (
            "UPDATE ingestion_5m SET failed = failed + 1 WHERE ctid = "
            "(SELECT ctid FROM ingestion_5m LIMIT 1)"
        ),
        {("arrival", "counts")},
    ),
    "sum of a window": (
        (
            "UPDATE metric_windows SET value_sum = value_sum + 0.000001 WHERE ctid = "
            "(SELECT ctid FROM metric_windows WHERE rule = 'completed_amount' LIMIT 1)"
        ),
        {("cell", "value_sum")},
    ),
    "last of a gauge": (
        (
            "UPDATE metric_windows SET value_last = value_last + 1 WHERE ctid = "
            "(SELECT ctid FROM metric_windows WHERE value_last IS NOT NULL LIMIT 1)"
        ),
        {("cell", "value_last")},
    ),
    "window of another version": (
        (
            "UPDATE metric_windows SET rule_version = rule_version + 1 WHERE ctid = "
            "(SELECT ctid FROM metric_windows LIMIT 1)"
        ),
        {("cell", "")},
    ),
    "bucket of a histogram": (
        (
            "UPDATE aggregate_histograms SET events = events + 1 WHERE ctid = "
            "(SELECT ctid FROM aggregate_histograms LIMIT 1)"
        ),
        {("cell", "events")},
    ),
    "plane of a count": (
        (
            "UPDATE distinct_counts SET bits = set_bit(bits, 7, 1 - get_bit(bits, 7)) WHERE ctid = "
            "(SELECT ctid FROM distinct_counts LIMIT 1)"
        ),
        {("cell", "bits")},
    ),
    "finding gone": (
        "DELETE FROM violations WHERE id = (SELECT min(id) FROM violations)",
        {("violation", "")},
    ),
    "severity of a finding": (
        "UPDATE violations SET severity = 'low' WHERE rule = 'aml_large_amount'",
        {("violation", "severity")},
    ),
    "evidence of a finding": (
        "UPDATE violations SET evidence = '{{}}' WHERE rule = 'aml_large_amount'",
        {
            ("violation", f"evidence.{name}")
            for name in ("amount", "currency", "customer_id", "merchant_id", "country")
        },
    ),
    "failed item gone": (
        "DELETE FROM failed_items WHERE position = '60'",
        {("failed_item", ""), ("group", "count")},
    ),
    "bytes of a failed item": (
        "UPDATE failed_items SET payload = '\\x00' WHERE position = '60'",
        {("failed_item", "payload")},
    ),
    "reason of a failed item": (
        "UPDATE failed_items SET errors = '[]' WHERE position = '60'",
        {("failed_item", "errors")},
    ),
    "group of a failed item": (
        "UPDATE failure_groups SET count = count + 1 WHERE reason = 'invalid_utf8'",
        {("group", "count")},
    ),
    "5 minutes of a group": (
        (
            "UPDATE failure_counts SET count = count + 1 WHERE group_id = (SELECT id FROM "
            "failure_groups WHERE reason = 'invalid_utf8')"
        ),
        {("group", "count")},
    ),
    "duplicate of another event": (
        (
            "UPDATE batch_outcomes SET other_id = (SELECT max(id) FROM normalized_transactions) "
            "WHERE id = (SELECT max(id) FROM batch_outcomes WHERE outcome = 'duplicate')"
        ),
        {("outcome", "other_id")},
    ),
    "duplicate called a conflict": (
        (
            "UPDATE batch_outcomes SET outcome = 'conflict' WHERE id = (SELECT max(id) FROM "
            "batch_outcomes WHERE outcome = 'duplicate')"
        ),
        {
            ("failed_item", ""),
            ("manifest", "duplicates"),
            ("manifest", "failed"),
            ("outcome", "outcome"),
        },
    ),
    "object not listed": (
        "DELETE FROM archive_files WHERE path = (SELECT file FROM batches WHERE id = {batch})",
        {("file", "archive_files")},
    ),
    "object of no batch": (
        (
            "INSERT INTO archive_files (path, sha256, size, rows, created_at) VALUES ('x', '', "
            "0, 0, now())"
        ),
        {("file", "batch")},
    ),
    "rows of an object": (
        (
            "UPDATE archive_files SET rows = rows + 1 WHERE path = (SELECT file FROM batches "
            "WHERE id = {batch})"
        ),
        {("file", "rows")},
    ),
}


@contextmanager
def restored(table: str) -> Iterator[None]:
    """Whatever happens to a table inside, it holds the same rows again afterwards."""
    name, kept = Identifier(table), Identifier(f"kept_{table}")
    with connection.cursor() as cursor:
        cursor.execute(SQL("CREATE TABLE {} AS TABLE {}").format(kept, name))
        yield
        with transaction.atomic():
            cursor.execute(SQL("DELETE FROM {}").format(name))
            cursor.execute(SQL("INSERT INTO {} SELECT * FROM {}").format(name, kept))
        cursor.execute(SQL("DROP TABLE {}").format(kept))


def test_one_change_in_the_database_is_named(taken, subtests):
    """One changed row is found wherever it is, and nothing else is blamed."""
    event_id = NormalizedTransaction.objects.get(transaction_id="tx-20").id
    batch = Batch.objects.earliest("id").id
    for name, (statement, expected) in DAMAGE.items():
        changed = statement.format(transaction=event_id, batch=batch)
        table = changed.removeprefix("UPDATE ").removeprefix("DELETE FROM ")
        table = table.removeprefix("INSERT INTO ").split()[0]
        with changeable_bundles(), restored(table):
            change(changed)
            report = verify()
        with subtests.test(name):
            assert found(report) == expected

    assert verify().is_clean


@contextmanager
def object_restored(name: str) -> Iterator[Path]:
    """The file of an archive object; afterwards it holds the same bytes again."""
    path = Path(storages["archive"].path(name))
    content = path.read_bytes()
    yield path
    path.write_bytes(content)


def test_a_changed_row_is_named_by_batch_and_position_without_its_values(taken):
    """A person can find the message; the report holds nothing of its payload."""
    row = NormalizedTransaction.objects.get(transaction_id="tx-20")
    change("UPDATE normalized_transactions SET customer_id = 'somebody' WHERE id = %s", row.id)

    (difference,) = verify().listed

    partition = Partition.objects.get(label="0.ndjson")
    assert difference.partition == f"files-transaction/{partition.name}"
    assert (difference.batch, difference.position) == (row.batch, "20")
    assert difference.column == "customer_id"
    assert "somebody" not in str(difference)
    assert difference.stored == "a text of 8 characters"


def test_a_changed_cell_is_named_with_both_values(taken):
    """Window, dimensions, column, and both amounts with every digit."""
    change(
        "UPDATE payment_metrics_1h SET amount_sum = amount_sum + 0.0001 "
        "WHERE window_start = '2026-03-02T10:00Z' AND currency = 'EUR'"
    )

    (difference,) = verify().listed

    assert "payment_metrics_1h 2026-03-02 10:00" in difference.row
    assert "'EUR'" in difference.row
    stored, recomputed = float(difference.stored), float(difference.recomputed)
    assert stored - recomputed == pytest.approx(0.0001)
    assert len(difference.stored.partition(".")[2]) == 4


def test_the_same_event_in_another_leaf_is_found(taken):
    """The indexes cannot see it: each is of one leaf."""
    row = NormalizedTransaction.objects.get(transaction_id="tx-20")
    with connection.cursor() as cursor:
        cursor.execute("SELECT upper_id FROM write_leaf")
        (upper,) = cursor.fetchone()
    columns = [f.column or "" for f in NormalizedTransaction._meta.fields if f.column != "id"]
    names = ", ".join(columns)
    change(
        f"INSERT INTO normalized_transactions (id, {names}) "
        f"SELECT %s, {names} FROM normalized_transactions WHERE id = %s",
        upper + 1,
        row.id,
    )

    report = verify()

    assert found(report) == {("key", "event_key"), ("stray", "")}
    (key,) = [difference for difference in report.listed if difference.kind == "key"]
    assert key.row == f"transaction {upper + 1}"
    assert key.recomputed == f"once, as {row.id}"


def test_an_event_that_comes_again_beyond_the_horizon_is_no_damage(taken, settings):
    """Live messages look back over the horizon only; a file looks back over everything."""
    row = NormalizedTransaction.objects.get(transaction_id="tx-20")
    other = NormalizedTransaction.objects.get(transaction_id="tx-300")
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX " + _key_index())
    change(
        "UPDATE normalized_transactions SET event_key = %s WHERE id = %s", row.event_key, other.id
    )
    settings.PAYFLOW = settings.PAYFLOW | {"HORIZON_DAYS": 0}

    file = verify()
    change("UPDATE sources SET broker_type = 'redis_streams' WHERE name = 'files-transaction'")
    live = verify()

    assert ("key", "event_key") in found(file)
    assert ("key", "event_key") not in found(live)
    assert "1 events came again beyond the horizon" in live.explanations()[0]


def _key_index() -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexname FROM pg_indexes WHERE indexname LIKE '%%_event_key' "
            "ORDER BY indexname LIMIT 1"
        )
        name: str = cursor.fetchone()[0]
    return name


def test_a_missing_manifest_row_is_found(taken):
    """The chain has a hole, the object is nobody's, the rows are no batch's; no cell is blamed."""
    gone = Batch.objects.order_by("id")[1]
    change("DELETE FROM batches WHERE id = %s", gone.id)

    report = verify()

    assert found(report) == {
        ("chain", "sequence_number"),
        ("chain", "start_position"),
        ("file", "batch"),
        ("stray", ""),
        ("arrival", "counts"),
    }
    assert any(str(gone.id) in d.row for d in report.listed if d.kind == "stray")
    assert any(d.row == gone.file for d in report.listed if d.kind == "file")
    assert any("were not compared" in note for note in report.explanations())


def test_a_batch_that_counts_twice_is_found(taken):
    """Two manifest rows for the same positions break the chain."""
    batch = Batch.objects.order_by("id")[1]
    columns = [f.column or "" for f in Batch._meta.fields if f.column not in ("id", "last_id")]
    names = ", ".join(columns)
    hour = 3_600_000 << 22
    change(
        f"INSERT INTO batches (id, last_id, {names}) "
        f"SELECT id + {hour}, last_id + {hour}, {names} FROM batches WHERE id = %s",
        batch.id,
    )

    report = verify()

    assert ("chain", "start_position") in found(report)
    assert ("transaction", "") in found(report)


def test_damage_in_the_archive_is_named(taken, subtests):
    """A changed byte, a missing object: named by path, and nothing else is blamed for it."""
    batch = Batch.objects.earliest("id")
    bundle = f"bundles/{Bundle.objects.get(pk=batch.bundle_id).hash}.json"

    with object_restored(batch.file) as path:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        changed = verify()
    with object_restored(batch.file) as path:
        path.unlink()
        missing = verify()
    with object_restored(bundle) as path:
        path.unlink()
        unexplained = verify()

    with subtests.test("changed byte"):
        assert found(changed) == {("file", "sha256")}
        assert changed.listed[0].row == batch.file
    with subtests.test("missing object"):
        assert found(missing) == {("file", "")}
        assert (missing.listed[0].row, missing.listed[0].stored) == (batch.file, "no object")
    with subtests.test("its windows are left out, and the report says so"):
        assert missing.compared["batches not recomputed"] == 1
        assert any("were not compared" in note for note in missing.explanations())
    with subtests.test("missing bundle"):
        assert found(unexplained) == {("bundle", bundle)}


def test_an_object_with_other_values_is_found_even_when_its_hash_fits(taken):
    """Verdicts and columns in the archive must follow from the bytes beside them."""
    batch = Batch.objects.earliest("id")
    path = Path(storages["archive"].path(batch.file))
    content = path.read_bytes()
    frame = archive.read(batch.file).with_columns(
        currency=pl.lit("USD"), offset=pl.col("offset").reverse()
    )
    metadata = archive.metadata_of(content) | {"epoch": "99"}
    changed = archive.to_parquet(frame, metadata=metadata)
    path.write_bytes(changed)
    change(
        "UPDATE archive_files SET sha256 = %s, size = %s WHERE path = %s",
        hashlib.sha256(changed).hexdigest(),
        len(changed),
        batch.file,
    )

    report = verify()

    assert {("archive", "currency"), ("file", "epoch"), ("file", "offset")} <= found(report)
    assert ("transaction", "currency") not in found(report)


def test_what_another_engine_evaluated_is_no_damage(taken):
    """Its differences are counted apart and named with both versions; its windows are left out."""
    bundle = Bundle.objects.get(pk=Batch.objects.earliest("id").bundle_id)
    content = bundle.content | {"engine_version": 0}
    bundle_hash = checksum(content)
    with changeable_bundles():
        Bundle.objects.filter(pk=bundle.pk).update(content=content, hash=bundle_hash)
    archive.keep_bundle(digest=bundle_hash, content=content)
    change("UPDATE normalized_transactions SET amount = 1 WHERE transaction_id = 'tx-20'")

    report = verify()

    # the objects still name the old hash, which is damage; the changed amount is the engine's
    assert found(report) == {("file", "bundle")}
    assert any("1 values of batches that engine 0" in note for note in report.explanations())
    assert report.compared["payment_metrics_5m"] == 0


# --- scope and command ----------------------------------------------------------------------------


def test_a_partition_alone_is_compared_without_what_it_cannot_know(taken):
    """Other partitions are not looked at; cells that they share are left out, and it says so."""
    second = Partition.objects.get(label="1.ndjson")
    change("UPDATE normalized_transactions SET amount = 1 WHERE transaction_id = 'tx-20'")
    change("UPDATE partitions SET position = '66' WHERE label = '0.ndjson'")

    report = verify(Scope(partition=f"files-transaction/{second.name}"))

    assert report.is_clean
    assert report.compared["batches"] == 2
    assert (report.compared["payment_metrics_5m"], report.compared["payment_metrics_1h"]) == (1, 0)
    assert any("were not compared" in note for note in report.explanations())


def test_cells_of_windows_that_are_whole_are_compared_in_a_part_too(ingest, event):
    """A window counts when every batch with events in it is looked at."""
    ingest([event(1, timestamp="2026-03-02T10:00:00Z")])
    ingest([event(2, timestamp="2026-03-02T10:07:00Z"), event(3, timestamp="2026-03-02T12:00:00Z")])
    second = Partition.objects.get(label="1.ndjson")
    change(
        "UPDATE payment_metrics_5m SET amount_sum = 0 WHERE window_start = '2026-03-02T10:05:00Z'"
    )

    report = verify(Scope(partition=f"files-transaction/{second.name}"))

    assert report.compared["payment_metrics_5m"] == 2
    assert report.compared["payment_metrics_1h"] == 1
    assert found(report) == {("cell", "amount_sum")}


def test_a_sample_compares_so_many_batches_and_every_chain(taken):
    """Keys of these batches are looked up in all leaves; chains are always checked whole."""
    change("UPDATE partitions SET position = '66' WHERE label = '0.ndjson'")

    report = verify(Scope(sample=3))

    assert report.compared["batches"] == 3
    assert found(report) == {("checkpoint", "position")}


def test_since_leaves_out_what_arrived_before(taken):
    """Batches are chosen by arrival."""
    future = verify(Scope(since=datetime(2100, 1, 1, tzinfo=UTC)))
    past = verify(Scope(since=datetime(2021, 1, 1, tzinfo=UTC)))

    assert future.compared["batches"] == 0
    assert past.compared["batches"] == 9
    assert past.is_clean


def test_an_unknown_partition_is_refused(ready):
    """A misspelt name must not look like a clean result."""
    with pytest.raises(Permanent, match="there is no partition 'demo/7'"):
        verify(Scope(partition="demo/7"))


def test_all_differences_are_counted_and_the_first_are_listed(taken):
    """A report of a ruined database stays readable."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE normalized_transactions SET amount = 7.77, channel = 'x'")

    report = verify()

    assert len(report.listed) == LISTED
    assert report.by_kind["transaction"] == 2 * NormalizedTransaction.objects.count()


def test_the_command_ends_with_1_when_anything_differs(taken):
    """And with 0 when nothing does; --json prints one object."""
    clean = io.StringIO()
    call_command("verify", "--json", stdout=clean)
    change("UPDATE normalized_transactions SET amount = 1 WHERE transaction_id = 'tx-20'")
    damaged, words = io.StringIO(), io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("verify", "--json", stdout=damaged)
    with pytest.raises(SystemExit):
        call_command("verify", stdout=words)

    assert json.loads(clean.getvalue())["clean"] is True
    assert ended.value.code == 1
    report = json.loads(damaged.getvalue())
    assert (report["clean"], report["differences"]) == (False, 1)
    assert report["listed"][0]["column"] == "amount"
    assert "transaction: files-transaction/" in words.getvalue()


def test_since_is_a_time_or_a_duration():
    """Times are UTC unless they say otherwise; anything else is refused by name."""
    assert moment("2026-03-02T10:00") == datetime(2026, 3, 2, 10, tzinfo=UTC)
    assert moment("2026-03-02T10:00+02:00") == datetime(2026, 3, 2, 8, tzinfo=UTC)
    assert timedelta(minutes=89) < datetime.now(UTC) - moment("90m") < timedelta(minutes=91)
    for text in ("yesterday", "12", "2026-13-01"):
        with pytest.raises(ArgumentTypeError, match="neither a time"):
            moment(text)
