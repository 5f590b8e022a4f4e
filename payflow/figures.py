"""The figures behind `/metrics`, read from the database: the work of every worker is in them.

Counters count what arrived since the first of the month, UTC. Sums over all that is kept would fall
when old windows are dropped, and Prometheus takes a fall for a restart and adds the whole rest
again; at the turn of a month it sees just the restart from zero that its functions expect.
Everything is a function of what is committed, so it does not matter which web process answers.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import psycopg
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.core import Metric as Family

from ingestion.connections import SEEN_LASTS_S
from ingestion.leaves import leaf_at
from ingestion.models import DRAINER_ALIVE_S
from ingestion.partitions import LAG_LASTS
from ingestion.propagation import LATE_S, STRAGGLERS
from ingestion.push.models import PushCount
from ingestion.source_models import SourceError
from metrics.buckets import bucket_value
from payflow.lib import telemetry
from payflow.lib.telemetry import METRICS, Metric
from payflow.lib.version import ENGINE_VERSION
from payflow.own_connection import connect
from payflow.settled_sums import Cursor, SettledSums

logger = logging.getLogger(__name__)

#: seconds for one statement; a scrape has 10 as a rule
_PATIENCE_S: Final = 5
_VERDICTS: Final = ("accepted", "failed", "ignored", "duplicate")

_CLOCK: Final = "SELECT now(), date_trunc('month', now(), 'UTC')"
# the range is the front of each table's key, (window_start, ...)
_INGESTION: Final = """
SELECT source_id, sum(batches)::bigint, sum(messages)::bigint, sum(accepted)::bigint,
    sum(failed)::bigint, sum(ignored)::bigint, sum(duplicates)::bigint, sum(late)::bigint
FROM ingestion_5m WHERE window_start >= %(low)s AND window_start < %(high)s
GROUP BY source_id
"""
_ARRIVAL: Final = """
SELECT source_id, bucket, sum(parts)::bigint
FROM arrival_latency WHERE window_start >= %(low)s AND window_start < %(high)s
GROUP BY source_id, bucket
"""
_FAILED: Final = """
SELECT g.source_id, g.stage, g.reason, sum(c.count)::bigint
FROM failure_counts c JOIN failure_groups g ON g.id = c.group_id
WHERE c.window_start >= %(low)s AND c.window_start < %(high)s
GROUP BY g.source_id, g.stage, g.reason
"""
_PUSHES: Final = """
SELECT source_id, outcome, sum(requests)::bigint, sum(events)::bigint
FROM push_counts WHERE window_start >= %(low)s AND window_start < %(high)s
GROUP BY source_id, outcome
"""
_OPEN: Final = "SELECT source_id FROM push_accesses"
# by event time, where a late event may still add to any window: nothing of it is settled
_VIOLATIONS: Final = """
SELECT group_key, sum(value_sum)::bigint
FROM metric_windows WHERE rule = 'violations' AND window_start >= %(start)s
GROUP BY group_key
"""
_RULES: Final = """
SELECT DISTINCT ON (rule ->> 'name') rule ->> 'name', rule ->> 'family', rule ->> 'severity'
FROM configuration_versions v, jsonb_array_elements(v.document -> 'rules') AS rule
WHERE v.kind = 'compliance' AND v.status <> 'draft'
ORDER BY rule ->> 'name', v.id DESC
"""
_SOURCES: Final = """
SELECT s.id, s.name, s.paused_at IS NOT NULL, left(b.hash, 12),
    concat_ws(' v', schema ->> 'name', schema ->> 'version'),
    concat_ws(' v', metrics ->> 'name', metrics ->> 'version'),
    concat_ws(' v', compliance ->> 'name', compliance ->> 'version')
FROM sources s
LEFT JOIN configuration_bundles b ON b.id = s.active_bundle_id AND s.broker_type <> 'file'
LEFT JOIN LATERAL (
    SELECT b.content #> '{routes,0,schema}' AS schema, b.content -> 'metrics' AS metrics,
        b.content -> 'compliance' AS compliance
) AS parts ON true
"""
# a file that somebody has stopped reading is no trouble of the pipeline; one that stopped itself is
_PARTITIONS: Final = """
SELECT p.source_id, p.name, coalesce(p.lag_at > now() - %(lasts)s, false), p.lag_events,
    p.lag_seconds, coalesce(p.leased_until > now(), false), p.state = 'stopped',
    extract(epoch FROM p.committed_at)::float8
FROM partitions p JOIN sources s ON s.id = p.source_id
WHERE p.state = 'stopped' OR (p.state IN ('active', 'paused') AND s.broker_type <> 'file')
"""
_CONNECTED: Final = """
SELECT source_id, bool_and(connected_since IS NOT NULL)
FROM source_connections WHERE seen_at > now() - make_interval(secs => %(s)s)
GROUP BY source_id
"""
# an error that goes on over the turn of the month counts where it was met last
_ERRORS: Final = """
SELECT source_id, kind, sum(times)::bigint FROM source_errors WHERE last_at >= %(start)s
GROUP BY source_id, kind
"""
_DRAINERS: Final = """
SELECT count(*) FROM drainers WHERE owner <> '' AND seen_at > now() - make_interval(secs => %(s)s)
"""
_LEAF: Final = "SELECT to_regclass(%(name)s) IS NOT NULL"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moment:
    """What all parts of one look need."""

    cursor: Cursor
    now: datetime
    start: datetime
    #: source names by id
    names: Mapping[int, str]
    #: ids of the sources that drainers read
    drained: Sequence[int]

    def name(self, source_id: int) -> str:
        return self.names.get(source_id, str(source_id))


class _Families:
    """Every declared metric, and the samples that are added to it."""

    def __init__(self) -> None:
        self._families: dict[str, Any] = {metric.name: _family(metric) for metric in METRICS}

    def add(self, metric: Metric, value: float, *labels: str) -> None:
        self._families[metric.name].add_metric(labels, value)

    def add_histogram(self, metric: Metric, parts: Mapping[int, int], *labels: str) -> None:
        """`parts` by bucket of milliseconds (metrics/buckets.py)."""
        values = {bucket_value(bucket) / 1000: count for bucket, count in parts.items()}
        cumulative = [
            (str(bound), sum(n for value, n in values.items() if value <= Decimal(str(bound))))
            for bound in map(float, telemetry.ARRIVAL_BOUNDS_S)
        ]
        total = float(sum(value * count for value, count in values.items()))
        buckets = [*cumulative, ("+Inf", sum(values.values()))]
        self._families[metric.name].add_metric(labels, buckets, total)

    def all(self) -> list[Family]:
        return list(self._families.values())


class Figures:
    """Reads all of them; keeps what is settled between two looks. Not thread-safe."""

    def __init__(self) -> None:
        self._ingestion = SettledSums(_INGESTION, key_columns=1)
        self._arrival = SettledSums(_ARRIVAL, key_columns=2)
        self._failed = SettledSums(_FAILED, key_columns=3)
        self._pushes = SettledSums(_PUSHES, key_columns=2)

    def read(self) -> list[Family]:
        """One family a declared metric; without a database all but two are empty."""
        started = time.perf_counter()
        try:
            families = self._read()
        except psycopg.Error as exc:
            logger.warning(
                "the database gave no figures",
                extra={"action": "figures_unavailable", "error": type(exc).__name__},
            )
            families = _Families()
            families.add(telemetry.DATABASE_UP, 0)
        else:
            families.add(telemetry.DATABASE_UP, 1)
            families.add(telemetry.READ_SECONDS, time.perf_counter() - started)
        families.add(telemetry.BUILD, 1, str(ENGINE_VERSION))
        return families.all()

    def _read(self) -> _Families:
        families = _Families()
        with connect(patience_s=_PATIENCE_S) as database, database.cursor() as cursor:
            # one snapshot: a batch is in all of the figures or in none
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            now, start = _one(cursor, _CLOCK)
            sources = cursor.execute(_SOURCES).fetchall()
            moment = _Moment(
                cursor=cursor,
                now=now,
                start=start,
                names={row[0]: row[1] for row in sources},
                drained=[row[0] for row in sources if row[3] is not None],
            )
            families.add(telemetry.COUNTERS_START, start.timestamp())
            _add_sources(families, sources)
            self._add_ingestion(families, moment)
            self._add_arrival(families, moment)
            self._add_pushes(families, moment)
            _add_violations(families, moment)
            _add_partitions(families, moment)
            _add_connections(families, moment)
            _add_behind(families, moment)
            _add_workers(families, moment)
        return families

    def _add_ingestion(self, families: _Families, at: _Moment) -> None:
        # 0 at first: `increase` sees a source's first messages only if it saw that there were none
        sums = {(source,): (0,) * 7 for source in at.drained}
        sums |= self._ingestion.read(at.cursor, start=at.start, now=at.now)
        for (source,), (batches, messages, *verdicts, late) in sums.items():
            name = at.name(source)
            families.add(telemetry.BATCHES, batches, name)
            families.add(telemetry.MESSAGES, messages, name)
            families.add(telemetry.LATE, late, name)
            for verdict, parts in zip(_VERDICTS, verdicts, strict=True):
                families.add(telemetry.PARTS, parts, name, verdict)
        failed = self._failed.read(at.cursor, start=at.start, now=at.now)
        for (source, stage, reason), (count,) in failed.items():
            families.add(telemetry.FAILED_ITEMS, count, at.name(source), stage, reason)

    def _add_arrival(self, families: _Families, at: _Moment) -> None:
        by_source: dict[int, dict[int, int]] = {}
        sums = self._arrival.read(at.cursor, start=at.start, now=at.now)
        for (source, bucket), (parts,) in sums.items():
            by_source.setdefault(source, {})[bucket] = parts
        for source, buckets in by_source.items():
            families.add_histogram(telemetry.ARRIVAL_TO_COMMIT, buckets, at.name(source))

    def _add_pushes(self, families: _Families, at: _Moment) -> None:
        """Of sources that are open, or were this month; 0 where nothing came yet."""
        sums = self._pushes.read(at.cursor, start=at.start, now=at.now)
        opened = {row[0] for row in at.cursor.execute(_OPEN).fetchall()}
        for source in sorted(opened | {source for source, _ in sums}):
            queued = 0
            for outcome in PushCount.Outcome.values:
                requests, events = sums.get((source, outcome), (0, 0))
                families.add(telemetry.PUSHES, requests, at.name(source), outcome)
                queued += events
            families.add(telemetry.PUSHED_EVENTS, queued, at.name(source))


def _family(metric: Metric) -> Family:
    kinds: dict[str, Any] = {
        "counter": CounterMetricFamily,
        "gauge": GaugeMetricFamily,
        "histogram": HistogramMetricFamily,
    }
    family: Family = kinds[metric.kind](metric.name, f"{metric.help}.", labels=metric.labels)
    return family


def _add_sources(families: _Families, rows: Iterable[tuple[Any, ...]]) -> None:
    for _, name, is_paused, bundle, *versions in rows:
        if bundle is None:
            continue  # of a file, or never given a bundle
        families.add(telemetry.PAUSED, is_paused, name)
        families.add(telemetry.BUNDLE, 1, name, bundle, *versions)


def _add_violations(families: _Families, at: _Moment) -> None:
    """Rules that found nothing are 0: `increase` sees the first finding only if there was a 0."""
    rules = at.cursor.execute(_RULES).fetchall()
    counts = {(rule, severity): 0 for rule, _, severity in rules}
    for key, count in at.cursor.execute(_VIOLATIONS, {"start": at.start}).fetchall():
        group = json.loads(key)
        counts[group["rule"], group["severity"]] = count
    family_of = {rule: family for rule, family, _ in rules}
    for (rule, severity), count in counts.items():
        families.add(telemetry.VIOLATIONS, count, rule, family_of.get(rule, ""), severity)


def _add_partitions(families: _Families, at: _Moment) -> None:
    rows = at.cursor.execute(_PARTITIONS, {"lasts": LAG_LASTS}).fetchall()
    for source, partition, is_known, events, seconds, is_leased, is_stopped, committed in rows:
        labels = (at.name(source), partition)
        families.add(telemetry.LAG_KNOWN, is_known, *labels)
        for metric, value in ((telemetry.LAG_EVENTS, events), (telemetry.LAG_SECONDS, seconds)):
            if is_known and value is not None:
                families.add(metric, value, *labels)
        families.add(telemetry.LEASED, is_leased, *labels)
        families.add(telemetry.STOPPED, is_stopped, *labels)
        if committed is not None:
            families.add(telemetry.LAST_COMMIT, committed, *labels)


def _add_connections(families: _Families, at: _Moment) -> None:
    for source, is_connected in at.cursor.execute(_CONNECTED, {"s": SEEN_LASTS_S}).fetchall():
        families.add(telemetry.CONNECTED, is_connected, at.name(source))
    counts = {(source, kind): 0 for source in at.drained for kind in SourceError.Kind.values}
    for source, kind, times in at.cursor.execute(_ERRORS, {"start": at.start}).fetchall():
        counts[source, kind] = times
    for (source, kind), times in counts.items():
        families.add(telemetry.SOURCE_ERRORS, times, at.name(source), kind)


def _add_behind(families: _Families, at: _Moment) -> None:
    counts = {(source, why): 0 for source in at.drained for why in ("refused", "late")}
    parameters = {"alive_s": DRAINER_ALIVE_S, "late_s": LATE_S}
    for source, _name, _slot, problem, _since in at.cursor.execute(STRAGGLERS, parameters):
        key = (source, "refused" if problem else "late")
        counts[key] = counts.get(key, 0) + 1
    for (source, why), drainers in counts.items():
        families.add(telemetry.BUNDLE_BEHIND, drainers, at.name(source), why)


def _add_workers(families: _Families, at: _Moment) -> None:
    (drainers,) = _one(at.cursor, _DRAINERS, {"s": DRAINER_ALIVE_S})
    families.add(telemetry.DRAINERS, drainers)
    name = f"batch_outcomes_{leaf_at(at.now + timedelta(hours=24)).suffix}"
    (is_made,) = _one(at.cursor, _LEAF, {"name": name})
    families.add(telemetry.TABLES_READY, is_made)


def _one(cursor: Cursor, statement: str, parameters: dict[str, Any] | None = None) -> Any:
    return cursor.execute(statement, parameters).fetchone()
