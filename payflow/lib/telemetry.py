"""What `/metrics` says: every metric by name, kind, labels and a sentence, in this one place.

`payflow/figures.py` reads the values; docs/operations.md, the dashboard and the alerts in
`grafana/` are held to this list by tests. Names are those of the text format without `_total` and
`_bucket`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric of `/metrics`."""

    name: str
    kind: Kind
    labels: tuple[str, ...] = ()
    #: one sentence without its full stop
    help: str

    @property
    def series(self) -> tuple[str, ...]:
        """The names under which queries find it."""
        if self.kind == "counter":
            return (f"{self.name}_total",)
        if self.kind == "histogram":
            return tuple(f"{self.name}_{part}" for part in ("bucket", "count", "sum"))
        return (self.name,)


BATCHES: Final = Metric(
    name="payflow_batches", kind="counter", labels=("source",), help="Batches committed"
)
MESSAGES: Final = Metric(
    name="payflow_messages", kind="counter", labels=("source",), help="Messages committed"
)
PARTS: Final = Metric(
    name="payflow_parts",
    kind="counter",
    labels=("source", "verdict"),
    help="Parts of messages by verdict: accepted, failed, ignored or duplicate",
)
LATE: Final = Metric(
    name="payflow_late_parts",
    kind="counter",
    labels=("source",),
    help="Accepted parts whose five minutes had ended five minutes before they came",
)
FAILED_ITEMS: Final = Metric(
    name="payflow_failed_items",
    kind="counter",
    labels=("source", "stage", "reason"),
    help="Failed items by stage and first reason",
)
VIOLATIONS: Final = Metric(
    name="payflow_violations",
    kind="counter",
    labels=("rule", "family", "severity"),
    help="Compliance findings for events of this month",
)
ARRIVAL_TO_COMMIT: Final = Metric(
    name="payflow_arrival_to_commit_seconds",
    kind="histogram",
    labels=("source",),
    help="Time of each part from its arrival to its commit, within 1 %",
)
COUNTERS_START: Final = Metric(
    name="payflow_counters_start_timestamp_seconds",
    kind="gauge",
    help="When the counters and the histogram began at zero: the first of the month, UTC",
)
LAG_KNOWN: Final = Metric(
    name="payflow_partition_lag_known",
    kind="gauge",
    labels=("source", "partition"),
    help="1 if a drainer has said within 30 s how far behind it is; else its lag is not given",
)
LAG_EVENTS: Final = Metric(
    name="payflow_partition_lag_events",
    kind="gauge",
    labels=("source", "partition"),
    help="Messages that wait at the broker",
)
LAG_SECONDS: Final = Metric(
    name="payflow_partition_lag_seconds",
    kind="gauge",
    labels=("source", "partition"),
    help="Age of the oldest message that waits at the broker, 0 if none",
)
LEASED: Final = Metric(
    name="payflow_partition_leased",
    kind="gauge",
    labels=("source", "partition"),
    help="1 while a drainer holds the partition",
)
STOPPED: Final = Metric(
    name="payflow_partition_stopped",
    kind="gauge",
    labels=("source", "partition"),
    help="1 if the partition stopped itself and waits for a person",
)
LAST_COMMIT: Final = Metric(
    name="payflow_partition_last_commit_timestamp_seconds",
    kind="gauge",
    labels=("source", "partition"),
    help="When the partition's last batch was committed; not given before the first",
)
CONNECTED: Final = Metric(
    name="payflow_source_connected",
    kind="gauge",
    labels=("source",),
    help="1 if all drainers of the source reach its broker; not given while it has none",
)
SOURCE_ERRORS: Final = Metric(
    name="payflow_source_errors",
    kind="counter",
    labels=("source", "kind"),
    help="Failures by kind: connection, storage, position, taken or settings",
)
PUSHES: Final = Metric(
    name="payflow_pushes",
    kind="counter",
    labels=("source", "outcome"),
    help="Requests over HTTP: accepted, replayed, refused, full or unavailable",
)
PUSHED_EVENTS: Final = Metric(
    name="payflow_pushed_events",
    kind="counter",
    labels=("source",),
    help="Events that requests over HTTP have queued at the broker",
)
PAUSED: Final = Metric(
    name="payflow_source_paused",
    kind="gauge",
    labels=("source",),
    help="1 while somebody has paused the source",
)
BUNDLE: Final = Metric(
    name="payflow_bundle_info",
    kind="gauge",
    labels=("source", "bundle", "schema", "metrics", "compliance"),
    help="1: the active bundle of a source and the versions in it",
)
BUNDLE_BEHIND: Final = Metric(
    name="payflow_bundle_drainers_behind",
    kind="gauge",
    labels=("source", "why"),
    help="Live drainers that do not run the active bundle: they refused it, or are late (10 s)",
)
DRAINERS: Final = Metric(
    name="payflow_drainers", kind="gauge", help="Drainers that gave a sign of life within 5 s"
)
TABLES_READY: Final = Metric(
    name="payflow_tables_ready",
    kind="gauge",
    help="1 if the tables for what arrives in 24 hours are made",
)
BUILD: Final = Metric(
    name="payflow_build_info",
    kind="gauge",
    labels=("engine",),
    help="1: the version of the engine that decides results",
)
DATABASE_UP: Final = Metric(
    name="payflow_database_up",
    kind="gauge",
    help="1 if the database gave these figures; at 0 there are no others",
)
READ_SECONDS: Final = Metric(
    name="payflow_figures_read_seconds", kind="gauge", help="Time that reading these figures took"
)

#: all of them, in the order in which they are written
METRICS: Final = (
    DATABASE_UP,
    READ_SECONDS,
    BUILD,
    COUNTERS_START,
    BATCHES,
    MESSAGES,
    PARTS,
    LATE,
    FAILED_ITEMS,
    VIOLATIONS,
    ARRIVAL_TO_COMMIT,
    LAG_KNOWN,
    LAG_EVENTS,
    LAG_SECONDS,
    LEASED,
    STOPPED,
    LAST_COMMIT,
    CONNECTED,
    SOURCE_ERRORS,
    PUSHES,
    PUSHED_EVENTS,
    PAUSED,
    BUNDLE,
    BUNDLE_BEHIND,
    DRAINERS,
    TABLES_READY,
)

#: upper bounds of the histogram's buckets
ARRIVAL_BOUNDS_S: Final = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2, 5, 10, 30, 60)
