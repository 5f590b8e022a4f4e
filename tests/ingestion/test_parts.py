"""Several events a message, several schemas a source: on real PostgreSQL, and verify after it."""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from django.core.files.storage import storages
from django.db import connection
from django.urls import reverse

from configuration.activation import activate
from configuration.bundling import refresh_bundle
from configuration.models import Source
from configuration.versions import import_document
from deadletter.models import FailedItem, FailureGroup
from ingestion import archive, pieces, pipeline
from ingestion.bundles import load_bundle
from ingestion.evaluate import evaluate
from ingestion.ingest import IngestReport
from ingestion.models import Batch, BatchOutcome
from ingestion.pieces import split_by_parts
from ingestion.pipeline import Committed
from ingestion.sources.base import BatchLimits, MessageBatch
from ingestion.verify import run, verify
from metrics.models import NormalizedTransaction
from payflow.lib.errors import StorageError
from payflow.lib.pages.display import row_url
from tests.ingestion.bundled import (
    CHARGE,
    METRICS,
    REFUND,
    REPORT,
    batch_of,
    bundle_of,
    charge,
    refund,
    report,
)
from tests.pages import look, staff

__all__ = ["look", "staff"]

pytestmark = pytest.mark.usefixtures("ready")

_TABLE = {
    "by": {"field": "type"},
    "routes": [
        {"in": ["charge.*"], "schema": "charge"},
        {"in": ["refund"], "schema": "refund"},
        {"in": ["report"], "schema": "report"},
    ],
}
Take = Callable[..., IngestReport]


@pytest.fixture
def mixed(ingest: Take) -> Take:
    """Take messages in through the routes of `_TABLE`."""
    for document in (CHARGE, REFUND, REPORT):
        publish("schema", document)
    publish("metrics", METRICS)
    route(_TABLE)
    return functools.partial(ingest, schema="mixed")


def publish(kind: str, document: dict[str, Any]) -> None:
    """Make a document the active version of its name."""
    version = import_document(kind=kind, name=document["name"], document=document)
    activate(version, override_reason="a test")


def route(table: dict[str, Any]) -> None:
    """Give the source of `mixed` this route table."""
    source, _ = Source.objects.update_or_create(
        name="files-mixed",
        defaults={
            "broker_type": "file",
            "schema_name": "charge",
            "metrics_name": "parts",
            "route_table": table,
        },
    )
    refresh_bundle(source)


MESSAGES: list[bytes | dict[str, Any]] = [
    charge(1),
    report(1, 10, 20, 30),
    refund(1),
    report(2, 5, -5, 2000, -1),
    b"broken",
    {"type": "payout"},
    report(3),
    charge(2, amount=-1),
    report(4, 7),
    {"type": "report", "report": {"at": "soon", "currency": "EUR", "entries": [{}, {}]}},
]


def test_every_part_reaches_every_table(mixed):
    """Each with its own verdict, numbers and rows; the message is counted once."""
    took = mixed(MESSAGES)

    assert (took.read, took.parts) == (10, 16)
    assert (took.accepted, took.failed, took.ignored) == (8, 7, 1)
    rows = NormalizedTransaction.objects.order_by("id")
    assert [(row.ordinal, row.part, row.transaction_id) for row in rows] == [
        (0, 0, "ch-1"),
        (1, 0, "en-1-0"),
        (2, 1, "en-1-1"),
        (3, 2, "en-1-2"),
        (4, 0, "re-1"),
        (5, 0, "en-2-0"),
        (7, 2, "en-2-2"),
        (13, 0, "en-4-0"),
    ]
    batch = Batch.objects.get()
    assert [row.id - batch.id for row in rows] == [row.ordinal for row in rows]
    assert (batch.messages, batch.parts, batch.last_id - batch.id) == (10, 16, 15)
    assert verify().listed == []


def test_the_archive_keeps_the_bytes_of_a_message_once(mixed):
    """One row a part; bytes with the first, verdict and columns with each."""
    mixed(MESSAGES)

    stored = archive.read(Batch.objects.get().file)

    assert stored["part"].to_list() == [0, 0, 1, 2, 0, 0, 1, 2, 3, 0, 0, 0, 0, 0, 0, 1]
    assert stored["body"].is_not_null().to_list() == [part == 0 for part in stored["part"]]
    assert stored["offset"].to_list()[1:4] == ["1", "1", "1"]
    assert stored["verdict"].to_list()[5:9] == ["accepted", "failed", "accepted", "failed"]
    assert stored["transaction_id"].to_list()[7] == "en-2-2"
    for row in (5, 7, 8):
        assert archive.read_row(Batch.objects.get().file, row)["body"] == stored["body"][5]


def test_what_failed_names_its_part_and_its_schema(mixed):
    """And its bytes alone, evaluated again, fail in the same way."""
    mixed(MESSAGES)

    items = FailedItem.objects.order_by("id")

    assert [(item.ordinal, item.part, item.schema_name, item.reason) for item in items] == [
        (6, 1, "report", "out_of_range"),
        (8, 3, "report", "out_of_range"),
        (9, 0, "", "invalid_json"),
        (10, 0, "", "unrouted"),
        (12, 0, "charge", "out_of_range"),
        (14, 0, "report", "required"),
        (15, 1, "report", "required"),
    ]
    assert set(FailureGroup.objects.values_list("schema_name", flat=True)) == {
        "",
        "charge",
        "report",
    }
    bundle = load_bundle(items[0].bundle_id)
    for item in items:
        (again,) = evaluate(batch_of([bytes(item.payload or b"")]), bundle).failed
        assert [(e.field, e.constraint) for e in again.errors] == [
            (error["field"], error["constraint"]) for error in item.errors
        ]
    assert json.loads(bytes(items[0].payload or b""))["report"]["entries"] == [
        {"id": "en-2-1", "amount": -5}
    ]


def test_an_event_counts_once_whichever_message_brings_it(mixed):
    """Parts that come again are duplicates, changed ones conflicts, one by one."""
    mixed([report(1, 10, 20, 30), charge(1)])

    again = mixed([report(1, 10, 21, 30, 40), charge(1), report(1, 10)])

    assert (again.accepted, again.duplicates, again.failed) == (1, 4, 1)
    outcomes = BatchOutcome.objects.order_by("id")
    assert [(o.part, o.outcome, o.transaction_id) for o in outcomes] == [
        (0, "duplicate", "en-1-0"),
        (1, "conflict", "en-1-1"),
        (2, "duplicate", "en-1-2"),
        (0, "duplicate", "ch-1"),
        (0, "duplicate", "en-1-0"),
    ]
    item = FailedItem.objects.get()
    assert (item.part, item.reason, item.schema_name) == (1, "duplicate_conflict", "report")
    assert item.other_id == NormalizedTransaction.objects.get(transaction_id="en-1-1").id
    assert verify().listed == []


def test_within_a_message_the_first_part_wins(mixed):
    """As the first position does within a batch."""
    message = report(1, 10, 10, 11)
    for entry in message["report"]["entries"]:
        entry["id"] = "same"

    took = mixed([message])

    assert (took.accepted, took.duplicates, took.failed) == (1, 1, 1)
    assert NormalizedTransaction.objects.get().part == 0
    assert verify().listed == []


def test_payloads_compare_only_within_one_schema(mixed):
    """Two schemas may name the same event: read by another one it is a duplicate, no conflict."""
    identity = {"scope": "shared", "fields": ["transaction_id"]}
    publish("schema", {**CHARGE, "identity": identity})
    publish("schema", {**REFUND, "identity": identity})
    route(_TABLE)

    same = charge(1), refund(1, refund={"id": "ch-1", "why": "x"}), charge(1, amount=9)
    within = mixed([*same])
    across = mixed([*reversed(same)])

    assert (within.accepted, within.duplicates, within.failed) == (1, 1, 1)
    # which of the two stored it is not known any more: nothing is called a conflict without proof
    assert (across.accepted, across.duplicates, across.failed) == (0, 3, 0)
    assert verify().listed == []


def test_another_version_of_one_of_the_schemas_compares_no_payloads(mixed):
    """The other schemas of the source keep comparing theirs."""
    mixed([charge(1), refund(1)])
    publish("schema", {**CHARGE, "nulls": ["-"]})
    route(_TABLE)

    took = mixed([charge(1, amount=99), refund(1, amount=99)])

    assert (took.duplicates, took.failed) == (1, 1)
    assert FailedItem.objects.get().schema_name == "refund"
    assert verify().listed == []


def test_verify_agrees_however_batches_are_cut_and_put_together(mixed, monkeypatch):
    """Small batches, all in one go, and a batch of many parts in several commits."""
    monkeypatch.setattr(
        "ingestion.sources.file.BatchLimits", functools.partial(BatchLimits, messages=3)
    )
    mixed(MESSAGES)
    monkeypatch.undo()
    monkeypatch.setattr(pieces, "MAX_BATCH_PARTS", 5)
    many = [report(10 + n, *range(1, 5)) for n in range(4)] + [*MESSAGES, report(20, *range(1, 9))]

    took = mixed(many)

    assert (took.read, took.parts) == (15, 40)
    assert Batch.objects.filter(start_position="1").count() == 1
    compared = verify().compared
    for parts in (1, 7):
        monkeypatch.setattr(run, "UNIT_PARTS", parts)
        again = verify()
        assert again.listed == []
        assert again.compared == compared


def test_a_batch_is_cut_where_it_has_too_many_parts(monkeypatch):
    """At messages, in order, nothing left out; a message alone is never cut."""
    monkeypatch.setattr(pieces, "MAX_BATCH_PARTS", 5)
    batch = batch_of([report(n, *range(size)) for n, size in enumerate([2, 3, 1, 9, 0, 4, 2])])

    cut = list(split_by_parts(batch, bundle_of(REPORT)))

    assert [piece.offsets for piece in cut] == [["0", "1"], ["2"], ["3"], ["4", "5"], ["6"]]
    assert [piece.position for piece in cut] == ["0", "2", "3", "4", "6"]
    assert [piece.next_position for piece in cut] == ["2", "3", "4", "6", "7"]
    assert [piece.sequence_number for piece in cut] == [0, 2, 3, 4, 6]
    assert [body for piece in cut for body in piece.bodies] == batch.bodies
    assert list(split_by_parts(batch, bundle_of(CHARGE))) == [batch]


@pytest.mark.parametrize("encoding", ["none", "base64"])
def test_parts_within_a_text_are_counted(monkeypatch, encoding):
    """An envelope of 5 KB may hold a thousand: a batch of such has no end otherwise."""
    monkeypatch.setattr(pieces, "MAX_BATCH_PARTS", 5)
    text = json.dumps({"report": {"entries": [{}] * 3}})
    payload = text if encoding == "none" else base64.b64encode(text.encode()).decode()
    document = {
        **REPORT,
        "decoder": {"inside": "payload", "encoding": encoding},
        "explode": "payload.report.entries[]",
        "columns": json.loads(json.dumps(REPORT["columns"]).replace("report.", "payload.report.")),
    }
    broken = [b"{", b'{"payload": 1}', b'{"payload": "{"}']
    wrapped = [json.dumps({"payload": payload}).encode()] * 3

    cut = list(split_by_parts(batch_of([*wrapped, *broken]), bundle_of(document)))

    assert [piece.offsets for piece in cut] == [["0"], ["1"], ["2", "3", "4"], ["5"]]


def test_parts_that_only_the_slow_path_reads_are_counted(monkeypatch):
    """Half a surrogate where no schema looks does not make a message one part."""
    monkeypatch.setattr(pieces, "MAX_BATCH_PARTS", 5)
    odd = json.dumps({**report(1, 1, 2, 3), "note": "\ud800"}).encode()

    cut = list(split_by_parts(batch_of([odd] * 3), bundle_of(REPORT)))

    assert [piece.offsets for piece in cut] == [["0"], ["1"], ["2"]]


def test_what_fails_between_two_pieces_goes_on_behind_the_first(mixed, monkeypatch):
    """The checkpoint stands between them: nothing is lost, and nothing counted twice."""
    monkeypatch.setattr(pieces, "MAX_BATCH_PARTS", 4)
    commits: list[str] = []
    commit = pipeline._process

    def fail_once(batch: MessageBatch, **known: Any) -> Committed:
        commits.append(batch.position)
        if len(commits) == 2:
            raise StorageError("the archive is away")
        return commit(batch, **known)

    monkeypatch.setattr(pipeline, "_process", fail_once)
    mixed([report(n, 1, 2, 3) for n in range(4)])

    assert commits == ["0", "1", "1", "2", "3"]
    assert NormalizedTransaction.objects.count() == 12
    assert BatchOutcome.objects.count() == 0
    assert verify().listed == []


def test_a_row_of_a_part_that_the_database_refuses_is_failed_alone(mixed):
    """The other parts of its message stay, and verify knows why it is not there."""
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE normalized_transactions ADD CONSTRAINT refuses CHECK (amount <> 20)"
        )
    try:
        took = mixed([report(1, 10, 20, 30)])
        found = verify()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE normalized_transactions DROP CONSTRAINT refuses")

    assert (took.accepted, took.failed) == (2, 1)
    item = FailedItem.objects.get()
    assert (item.part, item.transaction_id, item.schema_name) == (1, "en-1-1", "report")
    assert found.listed == []


def test_a_changed_part_is_named_with_the_position_of_its_message(mixed):
    """Every column of every part is compared."""
    mixed(MESSAGES)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE normalized_transactions SET part = 1 WHERE transaction_id = 'en-2-2'"
        )

    (difference,) = verify().listed

    assert (difference.kind, difference.column, difference.position) == ("transaction", "part", "3")


def test_an_object_with_other_parts_than_its_bytes_is_named(mixed):
    """What is stored of such a batch cannot be told part by part; its windows are left out."""
    mixed(MESSAGES)
    batch = Batch.objects.get()
    path = Path(storages["archive"].path(batch.file))
    content = path.read_bytes()
    frame = archive.read(batch.file).with_columns(part=pl.col("part").clip(upper_bound=2))
    changed = archive.to_parquet(frame, metadata=archive.metadata_of(content))
    path.write_bytes(changed)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE archive_files SET sha256 = encode(sha256(%s), 'hex'), size = %s",
            [changed, len(changed)],
        )

    found = verify()

    assert ("archive", "part") in {(it.kind, it.column) for it in found.listed}
    assert found.compared["batches not recomputed"] == 1


def test_the_page_of_a_part_shows_its_message(mixed, look):
    """The bytes are kept with the first part; the values of rules are those of this part alone."""
    mixed([report(1, 10, 20_000, 30)])
    row = NormalizedTransaction.objects.get(transaction_id="en-1-1")

    page = look(row_url("metrics.normalizedtransaction", row.pk))
    archived = look(reverse("admin:metrics_normalizedtransaction_archived", args=[row.pk]))
    object_row = look(f"{row_url('ingestion.archivefile', Batch.objects.get().file)}?row=1")

    assert "under one of charge v1, refund v1, report v1" in page
    assert "en-1-2" in archived
    assert "one of 3 parts of its message, read as report v1" in archived
    assert "not accepted any more" not in archived
    assert "en-1-0" in object_row


def test_a_large_envelope_is_not_repeated_for_each_of_its_parts(mixed):
    """A thousand failed parts of a message of a megabyte would be a gigabyte."""
    around = "x" * 100_000
    mixed([report(1, *[-1] * 100, note=around), report(2, -1, -1, note=around)])

    items = FailedItem.objects.order_by("id")

    assert [item.payload is None for item in items] == [True] * 100 + [False] * 2
    assert verify().listed == []
