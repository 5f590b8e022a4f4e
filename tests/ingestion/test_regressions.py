"""Mistakes that payflow's forerunner made, each with a test named after what must not happen.

More of them stand with the code they concern: windows of the minutes 55 to 59 and averages of
averages in tests/metrics/test_rollups.py, percentages of single events in test_rules.py and
test_extractors.py, correlation ids and the bytes of failed items in test_pipeline.py.
"""

from __future__ import annotations

import json
import threading
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError, connection

from configuration.activation import activate
from configuration.models import Bundle, ConfigurationVersion
from configuration.versions import import_document
from deadletter.models import FailedItem
from ingestion import archive, pipeline, store
from ingestion.drain import Drainer
from ingestion.models import Batch, Partition
from ingestion.sources.base import BatchLimits
from ingestion.sources.redis_streams import RedisStreamsConsumer
from ingestion.verify import verify
from metrics.models import NormalizedTransaction
from tests.ingestion.streaming import PREFIX, drain_all, publish

pytestmark = pytest.mark.usefixtures("ready")


def counted() -> dict[str, list[tuple[Any, ...]]]:
    """Everything that counts events, whatever ids and times of arrival they have."""
    statements = {
        "transactions": "SELECT event_key, occurred_at, amount, currency, payment_status, metadata"
        " FROM normalized_transactions",
        "metrics": "SELECT t.event_key, m.metric_type, m.metric_data FROM dynamic_metrics m"
        " JOIN normalized_transactions t ON t.id = m.event_id",
        "5m": "SELECT * FROM payment_metrics_5m",
        "1h": "SELECT * FROM payment_metrics_1h",
    }
    found = {}
    with connection.cursor() as cursor:
        for name, statement in statements.items():
            cursor.execute(f"SELECT q::text FROM ({statement}) AS q ORDER BY 1")
            found[name] = cursor.fetchall()
    return found


# --- 3: roll-ups added 1 per delivery -------------------------------------------------------------


def test_a_redelivery_is_never_counted_twice_in_a_roll_up(event, streams):
    """Each event delivered three times, in one partition and in several, counts once."""
    events = [event(n, amount=f"{n}.25") for n in range(1, 61)]
    publish(streams, events)
    drain_all()
    once = counted()

    publish(streams, events)
    publish(streams, events[::-1], only=2)
    drain_all()

    assert counted() == once
    assert len(once["transactions"]) == 60
    duplicates = sum(Batch.objects.values_list("duplicates", flat=True))
    assert duplicates == 120
    assert verify().is_clean


def test_a_partition_that_is_read_again_from_its_start_never_counts_again(
    event, streams, monkeypatch
):
    """Somebody resets a checkpoint: everything comes again, and nothing changes."""
    # the stream keeps what was read
    monkeypatch.setattr(RedisStreamsConsumer, "acknowledge_batch", lambda *_: None)
    publish(streams, [event(n) for n in range(1, 41)], only=0)
    drain_all()
    once = counted()
    Partition.objects.filter(name="0").update(position="0-1", sequence_number=0)

    drain_all()

    assert counted() == once
    partition = Partition.objects.get(name="0")
    assert partition.sequence_number == 40
    assert Batch.objects.filter(partition=partition).count() >= 2


# --- 4: the broker was told before anything was stored --------------------------------------------


@pytest.mark.parametrize(
    "step", ["number", "decide", "write_transactions", "write_manifest", "write_cells"]
)
def test_the_checkpoint_never_moves_before_the_commit(ingest, event, monkeypatch, step):
    """Whatever step of the transaction fails, the partition stands where it stood."""
    place = store if hasattr(store, step) else pipeline
    real = getattr(place, step)
    seen: list[tuple[Any, ...]] = []

    def fail_once(*args: Any, **kwargs: Any) -> Any:
        if not seen:
            seen.append(_committed_state())
            raise OperationalError("the server went away")
        assert _committed_state() == seen[0]
        return real(*args, **kwargs)

    monkeypatch.setattr(place, step, fail_once)

    report = ingest([event(1), event(2)])

    assert seen == [("0", 0, 0, 0)]
    assert report.accepted == 2
    assert _committed_state() == ("2", 2, 1, 2)


def _committed_state() -> tuple[Any, ...]:
    """Position, messages, batches and transactions, as another session sees them."""
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute(
                "SELECT position, sequence_number, (SELECT count(*) FROM batches),"
                " (SELECT count(*) FROM normalized_transactions) FROM partitions"
            )
            return tuple(cursor.fetchone())
    finally:
        other.close()


def test_the_broker_never_hears_of_a_batch_before_it_is_committed(event, streams, monkeypatch):
    """When the broker is told, another session already sees the batch and its checkpoint."""
    told: list[tuple[str, str]] = []
    real = RedisStreamsConsumer.acknowledge_batch

    def spy(self: RedisStreamsConsumer, batch: Any) -> None:
        other = connection.copy()
        with other.cursor() as cursor:
            cursor.execute("SELECT position FROM partitions WHERE name = %s", [batch.partition])
            told.append((batch.next_position, cursor.fetchone()[0]))
        other.close()
        real(self, batch)

    monkeypatch.setattr(RedisStreamsConsumer, "acknowledge_batch", spy)
    publish(streams, [event(n) for n in range(40)])

    drain_all()

    assert len(told) >= 4
    assert all(batch_end == committed for batch_end, committed in told)


def test_the_checkpoint_is_never_ahead_of_the_batch_that_moved_it(event, streams, monkeypatch):
    """What a consumer has read ahead does not count: the position is the batch's own end."""
    monkeypatch.setattr(
        "ingestion.sources.redis_streams.BatchLimits",
        lambda **_: BatchLimits(messages=10, linger_s=0.01),
    )
    publish(streams, [event(n) for n in range(100)], only=1)
    (ids,) = [[i for i, _ in streams.xrange(f"{PREFIX}.1")]]
    stop = threading.Event()

    Drainer(stop=stop, sources=["demo"], on_commit=lambda _: stop.set()).run()

    partition = Partition.objects.get(name="1")
    assert partition.sequence_number == 10
    milliseconds, number = ids[9].decode().split("-")
    assert partition.position == f"{milliseconds}-{int(number) + 1}"
    assert NormalizedTransaction.objects.count() == 10


def test_a_new_partition_never_begins_at_the_latest_message(event, streams):
    """What was sent before anybody read is read."""
    publish(streams, [event(n) for n in range(8)])
    assert not Partition.objects.exists()

    drain_all()

    assert NormalizedTransaction.objects.count() == 8


# --- 5: only what passed was archived, and not as it was ------------------------------------------


def test_a_failed_event_is_never_missing_from_the_archive(ingest, event):
    """Failed, ignored and repeated messages are archived with their own bytes, in their order."""
    good = json.dumps(event(1) | {"unknown": {"kept": [1.50, "é"]}}, indent=None).encode()
    messages = [good, b"{", b"\xff\xfe\x00", good, b'{"amount": NaN}', b"[]", b'{"a":1,"a":2}']

    ingest(messages)

    batch = Batch.objects.get()
    stored = archive.read(batch.file)
    assert stored["body"].to_list() == messages
    assert stored["verdict"].to_list() == [
        *("accepted", "failed", "failed", "accepted", "failed", "failed", "failed")
    ]
    assert (batch.accepted, batch.duplicates, batch.failed) == (1, 1, 5)


def test_a_missing_amount_never_becomes_zero(ingest, event):
    """No amount, no transaction: neither in the tables nor in the archive's columns."""
    bad: list[Any] = [None, "", "NOT_SET", "abc", {}]
    wrong = [event(n, amount=amount) for n, amount in enumerate(bad)]
    wrong.append({name: value for name, value in event(9).items() if name != "amount"})

    report = ingest(wrong)

    assert (report.accepted, report.failed) == (0, 6)
    assert set(FailedItem.objects.values_list("field", flat=True)) == {"amount"}
    assert archive.read(Batch.objects.get().file)["amount"].to_list() == [None] * 6


# --- 11: a bad timestamp became now() -------------------------------------------------------------


def test_a_bad_timestamp_never_becomes_now(ingest, event):
    """Without its time an event is failed; no other time stands in."""
    bad = [None, "", "yesterday", "2026-02-30T00:00:00Z", "2026-03-02T10:00:00", 0]
    wrong = [event(n, timestamp=timestamp) for n, timestamp in enumerate(bad)]
    wrong.append({name: value for name, value in event(9).items() if name != "timestamp"})

    report = ingest(wrong)

    assert (report.accepted, report.failed) == (0, 7)
    assert set(FailedItem.objects.values_list("field", flat=True)) == {"timestamp"}
    assert archive.read(Batch.objects.get().file)["occurred_at"].to_list() == [None] * 7


# --- 13: the amount was a float -------------------------------------------------------------------


def test_an_amount_is_never_a_float_on_its_way(ingest, event):
    """The digits of the message are the digits of tables, archive, metrics and roll-ups."""
    texts = ["0.1", "0.2", "0.3", "999999999999999.9999", "1234567890.1234", "4.35", "1e3"]
    lines = [
        json.dumps(event(n, amount="@")).replace('"@"', text).encode()
        for n, text in enumerate(texts)
    ]

    ingest(lines)

    exact = [Decimal(text) for text in texts]
    rows = NormalizedTransaction.objects.order_by("id")
    assert [row.amount for row in rows] == exact
    assert archive.read(Batch.objects.get().file)["amount"].to_list() == exact
    with connection.cursor() as cursor:
        cursor.execute("SELECT sum(amount_sum) FROM payment_metrics_1h")
        assert cursor.fetchone()[0] == sum(exact)
        cursor.execute(
            "SELECT (metric_data ->> 'transaction_amount')::numeric FROM dynamic_metrics"
            " WHERE metric_data ? 'transaction_amount' ORDER BY event_id"
        )
        assert [value for (value,) in cursor.fetchall()] == exact


# --- 14: required fields were hard-coded ----------------------------------------------------------


def test_required_fields_come_from_the_schema_not_from_code(ingest, event):
    """One message under three versions of its schema: its verdict follows the version."""
    without = {k: v for k, v in event(1).items() if k != "customer_id"}
    assert ingest([without]).failed == 1

    _activate(lambda schema: schema["required"].remove("customer_id"))
    assert ingest([without | {"transaction_id": "tx-2"}]).accepted == 1

    _activate(lambda schema: schema["required"].append("metadata"))
    report = ingest([without | {"transaction_id": "tx-3"}])

    assert (report.accepted, report.failed) == (0, 1)
    assert FailedItem.objects.latest("id").field == "metadata"
    versions = [b.content["routes"][0]["schema"]["version"] for b in _bundles_of_batches()]
    assert versions == [1, 2, 3]


def _activate(change: Any) -> None:
    version = ConfigurationVersion.objects.get(kind="schema", name="transaction", status="active")
    document = json.loads(json.dumps(version.document))
    change(document["json_schema"])
    version = import_document(kind="schema", name="transaction", document=document)
    activate(version, override_reason="a test changes what passes")


def _bundles_of_batches() -> list[Bundle]:
    return [batch.bundle for batch in Batch.objects.order_by("id")]


# --- 7: invalid rules loaded as no rules ----------------------------------------------------------

BAD_RULES = {
    "no YAML": "name: default\nmetrics:\n  - name: a\n   description: b\n",
    "no such column": yaml.safe_dump(
        {
            "name": "default",
            "extractors": [],
            "metrics": [{"name": "x", "description": "d", "type": "GAUGE", "value": "amout"}],
        }
    ),
    "nothing": "",
    "a list": "- name: default\n",
}


@pytest.mark.parametrize("text", BAD_RULES.values(), ids=BAD_RULES)
def test_invalid_rules_never_load_silently(ingest, event, tmp_path, text):
    """The command fails and says why; the rules that were active go on."""
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    before = list(ConfigurationVersion.objects.order_by("id").values())

    with pytest.raises(CommandError, match=r"rules\.yaml is refused:\n  \S"):
        call_command("configure", "import", str(path), "--activate", stdout=StringIO())

    assert list(ConfigurationVersion.objects.order_by("id").values()) == before
    ingest([event(1)])
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM dynamic_metrics")
        assert cursor.fetchone()[0] > 0
