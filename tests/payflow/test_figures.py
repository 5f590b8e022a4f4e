"""The figures of /metrics against what stands in the database."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from configuration.models import Acknowledgement, ConfigurationVersion, Source
from ingestion.leaves import ensure_leaves, leaf_at
from ingestion.models import Drainer, Partition
from ingestion.push.models import PushAccess, PushCount
from ingestion.source_models import SourceConnection, SourceError
from metrics.buckets import bucket_of
from payflow import figures, settled_sums
from payflow.figures import Figures
from payflow.lib.telemetry import METRICS


@dataclass
class Collected:
    """What an encoder asks for families."""

    families: list[Family]

    def collect(self) -> list[Family]:
        return self.families


def read(reader: Figures | None = None) -> dict[tuple[str, ...], float]:
    """Every sample of one look as {(name, label values in order of their names): value}."""
    collected = Collected((reader or Figures()).read())
    text = generate_latest(collected).decode()
    samples = [sample for family in parse_text(text) for sample in family.samples]
    assert len(samples) == len({(s.name, *sorted(s.labels.items())) for s in samples})
    return {(s.name, *(v for _, v in sorted(s.labels.items()))): s.value for s in samples}


def add_window(start: datetime, source: int, **counts: int) -> None:
    columns = ("batches", "messages", "parts", "accepted", "failed", "ignored", "duplicates")
    values = [counts.get(name, 0) for name in (*columns, "late")]
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO ingestion_5m VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [start, source, *values],
        )


def add_arrivals(start: datetime, source: int, milliseconds: list[Decimal]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO arrival_latency (window_start, source_id, bucket, parts)"
            " VALUES (%s, %s, %s, 1) ON CONFLICT (window_start, source_id, bucket)"
            " DO UPDATE SET parts = arrival_latency.parts + 1",
            [(start, source, bucket_of(value)) for value in milliseconds],
        )


@pytest.fixture
def month() -> datetime:
    """The start of this month; windows are put into it, whatever day it is."""
    return datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


@pytest.fixture
def demo(transactional_db) -> Source:
    """A source that has brought nothing yet."""
    return Source.objects.create(
        name="demo", broker_type="redis_streams", schema_name="transaction"
    )


def test_counters_are_sums_over_this_month(demo, month):
    """Every window of the month counts, none of the month before."""
    add_window(month - timedelta(minutes=5), demo.pk, messages=1_000, accepted=1_000)
    add_window(month, demo.pk, batches=1, messages=10, accepted=7, failed=2, ignored=1, late=3)
    add_window(month + timedelta(minutes=5), demo.pk, batches=2, messages=30, accepted=20)
    add_window(month + timedelta(minutes=5), 999_999, messages=5, duplicates=5)

    samples = read()

    assert samples["payflow_batches_total", "demo"] == 3
    assert samples["payflow_messages_total", "demo"] == 40
    assert samples["payflow_late_parts_total", "demo"] == 3
    parts = {key[2]: n for key, n in samples.items() if key[:2] == ("payflow_parts_total", "demo")}
    assert parts == {"accepted": 27, "failed": 2, "ignored": 1, "duplicate": 0}
    assert samples["payflow_parts_total", "999999", "duplicate"] == 5
    assert samples["payflow_counters_start_timestamp_seconds",] == month.timestamp()


def test_what_the_path_writes_adds_up(ingest, event):
    """Real batches: every part has a verdict and a time, every failure its stage and reason."""
    ingest([event(1), event(2), event(2), event(3, amount="much"), b"{"])
    ingest([event(1), event(4)])

    samples = read()

    def total(name: str, *labels: str) -> float:
        return sum(n for key, n in samples.items() if key[0] == name and {*labels} <= {*key})

    assert total("payflow_batches_total") == 2
    assert total("payflow_messages_total") == 7
    assert total("payflow_parts_total") == 7
    assert total("payflow_parts_total", "accepted") == 3
    assert total("payflow_parts_total", "failed") == total("payflow_failed_items_total") == 2
    assert total("payflow_parts_total", "duplicate") == 2
    assert total("payflow_arrival_to_commit_seconds_count") == 7
    failed = {key[1::2] for key in samples if key[0] == "payflow_failed_items_total"}
    assert failed == {("invalid_json", "decode"), ("pattern_mismatch", "validate")}


def test_settled_windows_are_read_once(demo, month, monkeypatch):
    """A second look reads the young end only; both give what a look from the start gives."""
    monkeypatch.setattr(settled_sums, "_SETTLED", timedelta(0))
    ranges = []
    original = settled_sums.SettledSums._rows

    def rows(self, cursor, *, low, high):
        ranges.append((low, high))
        return original(self, cursor, low=low, high=high)

    add_window(month, demo.pk, messages=10)
    monkeypatch.setattr(settled_sums.SettledSums, "_rows", rows)
    reader = Figures()
    first = read(reader)
    ranges.clear()
    soon = datetime.now(UTC) + timedelta(minutes=5)
    add_window(soon, demo.pk, messages=4)
    second = read(reader)

    assert first["payflow_messages_total", "demo"] == 10
    assert second["payflow_messages_total", "demo"] == 14
    assert min(low for low, _ in ranges) > datetime.now(UTC) - timedelta(minutes=1)
    assert read()["payflow_messages_total", "demo"] == 14


def test_a_slow_first_look_gets_further_with_every_try(demo, month, monkeypatch):
    """What was read of the past before the database failed is not read again."""
    sums = settled_sums.SettledSums(figures._INGESTION, key_columns=1)
    now, start = month + timedelta(days=9), month
    reads: list[datetime | None] = []

    def rows(self, cursor, *, low, high):
        if len(reads) == 5:
            reads.append(None)
            raise TimeoutError
        reads.append(low)
        return [(demo.pk, 1)]

    cursor: Any = None  # `rows` asks no database
    monkeypatch.setattr(settled_sums.SettledSums, "_rows", rows)
    with pytest.raises(TimeoutError):
        sums.read(cursor, start=start, now=now)
    found = sums.read(cursor, start=start, now=now)

    lows = [low for low in reads if low]
    assert lows == sorted(set(lows))
    assert found == {(demo.pk,): (len(lows),)}


def test_a_new_month_begins_at_zero(demo, month):
    """Nothing of the old month is carried over by a process that lives on."""
    reader = Figures()
    reader._ingestion._start = month - timedelta(days=31)
    reader._ingestion._until = month
    reader._ingestion._sums = {(demo.pk,): (9,) * 7}
    add_window(month, demo.pk, messages=1)

    assert read(reader)["payflow_messages_total", "demo"] == 1


def test_findings_carry_the_family_of_their_rule(demo, month):
    """The family is the newest that a version gave the rule, drafts aside; no finding is 0."""
    for number, (family, status) in enumerate(
        (("kyc", "retired"), ("aml", "active"), ("pci", "draft")), start=901
    ):
        rules = [
            {"name": name, "family": family, "severity": "high"} for name in ("a_rule", "quiet")
        ]
        ConfigurationVersion.objects.create(
            kind="compliance",
            name="figures",
            number=number,
            status=status,
            checksum=str(number),
            document={"name": "figures", "rules": rules},
        )
    with connection.cursor() as cursor:
        for start, rule, severity, count in (
            (month, "a_rule", "high", 3),
            (month + timedelta(minutes=5), "a_rule", "high", 4),
            (month, "gone", "low", 2),
            (month - timedelta(minutes=5), "a_rule", "high", 100),
        ):
            cursor.execute(
                "INSERT INTO metric_windows (rule, window_start, rule_version, window_s, group_key,"
                " transactions, value_sum, denominator)"
                " VALUES ('violations', %s, 1, 300, %s, %s, %s, 0)",
                [start, json.dumps({"rule": rule, "severity": severity}), count, count],
            )

    samples = read()

    name = "payflow_violations_total"
    assert samples[name, "aml", "a_rule", "high"] == 7
    assert samples[name, "", "gone", "low"] == 2
    assert samples[name, "aml", "quiet", "high"] == 0
    assert sum(value for key, value in samples.items() if key[0] == name) == 9


def test_the_histogram_counts_within_one_percent(demo, month):
    """Each bound's count lies between the exact counts at bounds 1 % below and above."""
    exact = [Decimal(n * n) / 7 for n in range(1, 400)]
    add_arrivals(month, demo.pk, exact)

    samples = read()

    name = "payflow_arrival_to_commit_seconds"
    bounds = {key[1]: n for key, n in samples.items() if key[0] == f"{name}_bucket"}
    assert bounds.pop("+Inf") == samples[f"{name}_count", "demo"] == len(exact)
    assert len(bounds) == 13
    for bound, count in bounds.items():
        low, high = (Decimal(bound) * 1000 * Decimal(f) for f in ("0.99", "1.01"))
        assert sum(v <= low for v in exact) <= count <= sum(v <= high for v in exact)
    assert samples[f"{name}_sum", "demo"] == pytest.approx(float(sum(exact)) / 1000, rel=0.01)


def test_lag_is_given_only_while_it_is_known(demo):
    """A partition that nobody reads has no lag, which is not the same as none waiting."""
    now = datetime.now(UTC)
    common = {"source": demo, "position": "0-0", "lag_events": 5, "lag_seconds": 2.5}
    Partition.objects.create(
        name="read",
        lag_at=now,
        leased_by="me",
        leased_until=now + timedelta(minutes=1),
        committed_at=now,
        **common,
    )
    Partition.objects.create(name="alone", lag_at=now - timedelta(seconds=31), **common)
    Partition.objects.create(name="stuck", state="stopped", **common)
    Partition.objects.create(name="over", state="finished", **common)
    file = Source.objects.create(name="a-file", broker_type="file", schema_name="transaction")
    Partition.objects.create(name="left", **common | {"source": file})
    Partition.objects.create(name="stuck", state="stopped", **common | {"source": file})

    samples = read()

    def of(name: str) -> dict[str, float]:
        prefix = "payflow_partition_"
        return {
            key[0].removeprefix(prefix): value
            for key, value in samples.items()
            if key[0].startswith(prefix) and key[1:] == (name, "demo")
        }

    assert of("read") == {
        "lag_known": 1,
        "lag_events": 5,
        "lag_seconds": 2.5,
        "leased": 1,
        "stopped": 0,
        "last_commit_timestamp_seconds": pytest.approx(now.timestamp(), abs=1e-5),
    }
    assert of("alone") == {"lag_known": 0, "leased": 0, "stopped": 0}
    assert of("stuck") == {"lag_known": 0, "leased": 0, "stopped": 1}
    assert of("over") == {}
    assert samples["payflow_partition_stopped", "stuck", "a-file"] == 1
    assert not any("left" in key for key in samples)


def test_a_lag_that_the_broker_cannot_tell_is_left_out(demo):
    """It is looked at, so somebody answers; there is no number."""
    Partition.objects.create(
        source=demo, name="0", position="0", state="paused", lag_at=datetime.now(UTC)
    )

    samples = read()

    assert samples["payflow_partition_lag_known", "0", "demo"] == 1
    assert ("payflow_partition_lag_events", "0", "demo") not in samples
    assert ("payflow_partition_lag_seconds", "0", "demo") not in samples


def test_a_source_is_connected_if_all_its_drainers_are(ready):
    """One that fails makes it 0; those that are gone say nothing, and without any nothing is."""
    demo, now = Source.objects.get(name="demo"), datetime.now(UTC)
    assert ("payflow_source_connected", "demo") not in read()
    for owner, seen_s in (("one", 0), ("gone", 60)):
        SourceConnection.objects.create(
            source=demo,
            owner=owner,
            seen_at=now - timedelta(seconds=seen_s),
            **{"connected_since" if owner == "one" else "failing_since": now},
        )
    assert read()["payflow_source_connected", "demo"] == 1

    SourceConnection.objects.create(source=demo, owner="two", seen_at=now, failing_since=now)

    assert read()["payflow_source_connected", "demo"] == 0


def test_errors_of_sources_count_from_zero_over_the_month(ready, month):
    """Each kind by itself, however often the same words came."""
    demo = Source.objects.get(name="demo")
    for last_at, times in ((month - timedelta(seconds=1), 100), (month, 3), (month, 4)):
        SourceError.objects.create(
            source=demo,
            kind="connection",
            message=str(times),
            first_at=last_at,
            last_at=last_at,
            times=times,
        )

    samples = read()

    counts = {key[1]: n for key, n in samples.items() if key[0] == "payflow_source_errors_total"}
    assert counts == {"connection": 7, "storage": 0, "position": 0, "taken": 0, "settings": 0}


def test_pushes_count_from_zero_over_the_month(ready, month):
    """By outcome, for sources that are open; events of requests that broke off count too."""
    demo = Source.objects.get(name="demo")
    closed = read()
    PushAccess.objects.create(source=demo)
    for start, outcome, requests, events in (
        (month - timedelta(minutes=5), "accepted", 100, 100),
        (month, "accepted", 3, 1500),
        (month, "full", 2, 7),
    ):
        PushCount.objects.create(
            source=demo, window_start=start, outcome=outcome, requests=requests, events=events
        )

    samples = read()

    counts = {key[1]: n for key, n in samples.items() if key[0] == "payflow_pushes_total"}
    assert counts == {"accepted": 3, "full": 2, "replayed": 0, "refused": 0, "unavailable": 0}
    assert samples["payflow_pushed_events_total", "demo"] == 1507
    assert not any(key[0].startswith("payflow_push") for key in closed)


def test_sources_say_what_they_run(ready):
    """The active bundle with its versions, whether it is paused, and 0 before its first message."""
    demo = Source.objects.get(name="demo")
    Source.objects.filter(pk=demo.pk).update(paused_at=datetime.now(UTC))
    assert demo.active_bundle

    samples = read()

    (info,) = (key for key in samples if key[0] == "payflow_bundle_info" and "demo" in key)
    assert info[1] == demo.active_bundle.hash[:12]
    assert info[3] == "default v1"
    assert info[4] == "transaction v1"
    assert samples["payflow_messages_total", "demo"] == 0
    assert samples["payflow_parts_total", "demo", "failed"] == 0
    assert samples["payflow_source_paused", "demo"] == 1


def test_drainers_that_live_and_tables_of_tomorrow(transactional_db, monkeypatch):
    """A drainer counts for five seconds after its last sign of life."""
    ensure_leaves()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO drainers (slot, owner, seen_at, last_tick, bundles) VALUES"
            " (1000, 'live', now(), 0, '{}'), (1001, 'dead', now() - interval '6 s', 0, '{}'),"
            " (1002, '', now(), 0, '{}')"
        )

    samples = read()
    monkeypatch.setattr(figures, "leaf_at", lambda moment: leaf_at(moment.replace(year=2035)))
    later = read()

    assert samples["payflow_drainers",] == 1
    assert samples["payflow_tables_ready",] == 1
    assert later["payflow_tables_ready",] == 0


def test_drainers_that_do_not_run_the_active_bundle_are_counted(ready):
    """Those that refused it and those that are late, apart; 0 where all is well."""
    source, now = Source.objects.get(name="demo"), datetime.now(UTC)
    assert source.active_bundle
    assert read()["payflow_bundle_drainers_behind", "demo", "refused"] == 0
    for slot, problem in ((1, "does not load"), (2, ""), (3, None)):
        drainer = Drainer.objects.create(
            slot=slot,
            owner=f"host:{slot}",
            seen_at=now + timedelta(hours=1),
            bundles={"demo": source.active_bundle.pk},
        )
        if problem is not None:
            Acknowledgement.objects.create(
                source=source,
                serial=source.bundle_serial,
                bundle=source.active_bundle,
                owner=drainer.owner,
                acknowledged_at=now - timedelta(minutes=1),
                problem=problem,
            )

    samples = read()

    assert samples["payflow_bundle_drainers_behind", "demo", "refused"] == 1
    assert samples["payflow_bundle_drainers_behind", "demo", "late"] == 1


def test_a_database_that_is_away_is_a_figure(db, monkeypatch):
    """The scrape succeeds, so that an alert can tell the database from the web process."""
    away = connection.get_connection_params() | {"host": "127.0.0.1", "port": 1}
    monkeypatch.setattr(connection, "get_connection_params", lambda: dict(away))

    samples = read()

    assert samples["payflow_database_up",] == 0
    assert {key[0] for key in samples} == {"payflow_database_up", "payflow_build_info"}


def test_both_formats_hold_every_declared_metric(ingest, event):
    """Names, kinds, help texts and labels are those that are declared, in both formats."""
    ingest([event(1), b"{"])
    collected = Collected(Figures().read())

    text = {f.name: f for f in parse_text(generate_latest(collected).decode())}
    openmetrics = {f.name: f for f in parse_openmetrics(generate_openmetrics(collected).decode())}

    for families in (text, openmetrics):
        assert list(families) == [metric.name for metric in METRICS]
        for metric in METRICS:
            family = families[metric.name]
            assert family.type == metric.kind
            assert family.documentation == f"{metric.help}."
            for sample in family.samples:
                assert sample.name in metric.series
                assert set(sample.labels) - {"le"} == set(metric.labels)


@pytest.mark.parametrize(
    ("statement", "condition"),
    [
        (figures._INGESTION, "window_start >= "),
        (figures._ARRIVAL, "window_start >= "),
        (figures._FAILED, "window_start >= "),
        (figures._PUSHES, "window_start >= "),
        (figures._VIOLATIONS, "(rule)::text = 'violations'"),
    ],
)
def test_counters_read_ranges_of_an_index(db, statement, condition):
    """What grows with time is found by an index; no look is a scan."""
    parameters = {"low": "2026-11-01", "high": "2026-11-02", "start": "2026-11-01"}
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {statement}", parameters)
        plan = "\n".join(row[0] for row in cursor.fetchall())

    assert any("Index Cond" in line and condition in line for line in plan.splitlines()), plan
