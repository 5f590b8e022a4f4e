"""Card numbers end at the door: none in clear in tables, archive, logs or pages."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from pathlib import Path

import polars as pl
import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from deadletter.models import FailedItem
from ingestion.archive import archive_storage
from ingestion.models import Batch
from ingestion.verify import verify
from metrics.models import NormalizedTransaction
from payflow.lib.logs import JsonFormatter
from payflow.lib.pages.display import list_url, row_url
from tests.ingestion.cards import PAYLOADS, Payload, payload
from tests.ingestion.streaming import PARTITIONS, PREFIX, drain_all

pytestmark = pytest.mark.usefixtures("ready")

_SEPARATORS = re.compile(r"[ +.\-\x00\\]")
_ESCAPED = re.compile(r"\\+u([0-9a-fA-F]{4})")
_PERCENT = re.compile(r"%([0-9a-fA-F]{2})")
_RUN = re.compile(r"[0-9]{13,}")


def in_clear(data: bytes, numbers: frozenset[str]) -> set[str]:
    """The card numbers that a reader can make out in some bytes, whatever they are spelled like.

    As they are; with JSON escapes and per cent codes decoded; and with separators left out.
    """
    text = data.decode("utf-8", "replace")
    decoded = _PERCENT.sub(_as_code, _ESCAPED.sub(_as_code, text))
    found: set[str] = set()
    for reading in (text, decoded, _SEPARATORS.sub("", decoded)):
        for run in _RUN.findall(reading):
            found.update(
                run[at : at + length]
                for length in range(13, 20)
                for at in range(len(run) - length + 1)
            )
    return found & numbers


def _as_code(match: re.Match[str]) -> str:
    return chr(int(match[1], 16))


def as_event(case: Payload, seed: int) -> Payload:
    """Four of five payloads that are JSON become valid events, one of two names the card as its
    customer; the others stay what no schema takes."""
    if not case.is_json or seed % 5 == 0:
        return case
    customer = case.number if seed % 2 else "C-1"
    fields = {
        "timestamp": f"2026-03-02T10:{seed // 60 % 60:02d}:{seed % 60:02d}Z",
        "transaction_type": "payment",
        "channel": "web",
        "amount": f"{seed}.50",
        "currency": "EUR",
        "merchant_id": "M-1",
        "customer_id": customer,
        "status": "success",
    }
    body = json.dumps(fields).encode()[:-1] + b"," + case.body.lstrip()[1:]
    return Payload(number=case.number, body=body, is_json=True, key=case.key, headers=case.headers)


@pytest.fixture
def take(ingest, streams, caplog) -> Callable[[int], Sequence[Payload]]:
    """Take payloads in: the first half over streams, the second half as a file."""

    def take_in(count: int) -> Sequence[Payload]:
        cases = [as_event(payload(seed), seed) for seed in range(count)]
        pipeline = streams.pipeline(transaction=False)
        for number, case in enumerate(cases[: count // 2]):
            fields = {"body": case.body, "key": case.key, "headers": case.headers}
            pipeline.xadd(
                f"{PREFIX}.{number % PARTITIONS}",
                {k: v for k, v in fields.items() if v is not None},
            )
        pipeline.execute()
        caplog.set_level(logging.DEBUG)

        drain_all()
        report = ingest([case.body.replace(b"\n", b" ") for case in cases[count // 2 :]])

        assert (report.read, report.duplicates) == (count // 2, 0)
        return cases

    return take_in


def everything_in(cases: Iterable[Payload]) -> bytes:
    return b"\n".join(
        part for case in cases for part in (case.body, case.key, case.headers) if part is not None
    )


def database_dump() -> dict[str, bytes]:
    """Every ordinary table of the database, leaves too, in COPY's binary format: text, bytea and
    jsonb stand in it as their own bytes."""
    dump: dict[str, bytes] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT oid::regclass::text FROM pg_class"
            " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1"
        )
        for (table,) in cursor.fetchall():
            with cursor.copy(f"COPY {table} TO STDOUT (FORMAT binary)") as copy:
                dump[table] = b"".join(map(bytes, copy))
    return dump


def archived() -> dict[str, bytes]:
    """Every object of the archive twice: its own bytes, and all values of all its columns."""
    root = Path(archive_storage().path(""))
    objects: dict[str, bytes] = {}
    for path in (p for p in root.rglob("*") if p.is_file()):
        data = path.read_bytes()
        objects[str(path)] = data
        if path.suffix == ".parquet":
            frame = pl.read_parquet(BytesIO(data))
            for column in frame.drop("original_hmac", "event_key").get_columns():
                values = column.drop_nulls().to_list()
                objects[f"{path}:{column.name}"] = b"\n".join(
                    value if isinstance(value, bytes) else str(value).encode() for value in values
                )
    return objects


def test_no_card_number_gets_past_the_door(take, caplog, capfd):
    """10,000 numbers in every place and spelling: in no table, no object, no line of the log and
    no page; what was masked is otherwise whole, and verify finds nothing."""
    taken = take(PAYLOADS)
    numbers = frozenset(case.number for case in taken)
    # the search itself finds every one of them in what was sent
    assert in_clear(everything_in(taken), numbers) == numbers
    assert NormalizedTransaction.objects.count() > PAYLOADS // 2
    assert FailedItem.objects.count() > PAYLOADS // 4
    masked = NormalizedTransaction.objects.filter(customer_id__contains="*").count()
    assert masked > PAYLOADS // 4

    leaks = {name: in_clear(data, numbers) for name, data in database_dump().items()}
    leaks |= {name: in_clear(data, numbers) for name, data in archived().items()}
    lines = "\n".join(map(JsonFormatter().format, caplog.records))
    assert "batch_committed" in lines
    printed = "".join(capfd.readouterr())
    leaks["log"] = in_clear((lines + printed).encode(), numbers)

    assert {name: found for name, found in leaks.items() if found} == {}
    assert all(json.loads(line) for line in lines.splitlines())
    report = verify()
    assert report.listed == []


def test_no_page_shows_a_card_number(take):
    """Failed items, their bytes and their groups, transactions and archived rows, as an
    administrator sees them."""
    numbers = frozenset(case.number for case in take(400))
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    items = list(FailedItem.objects.order_by("?")[:40])
    events = list(NormalizedTransaction.objects.filter(customer_id__contains="*")[:10])
    urls = [list_url("deadletter.faileditem"), list_url("metrics.normalizedtransaction")]
    urls += [row_url("deadletter.faileditem", item.pk) for item in items]
    urls += [row_url("metrics.normalizedtransaction", row.pk) for row in events]
    urls += [row_url("ingestion.batch", batch.pk) for batch in Batch.objects.all()[:3]]
    urls += [
        f"{row_url('ingestion.archivefile', item.archive_file)}?row={item.archive_row}"
        for item in items[:20]
    ]

    pages = {url: client.get(url) for url in urls}

    assert {page.status_code for page in pages.values()} == {200}
    assert any(b"**" in page.content for page in pages.values())
    leaks = {url: in_clear(page.content, numbers) for url, page in pages.items()}
    assert {url: found for url, found in leaks.items() if found} == {}
