"""What the database knows of one event: a handful of reads, each served by an index."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import F, Q, QuerySet

from configuration.models import Activation, Bundle, ConfigurationVersion
from deadletter.models import FailedItem
from ingestion.models import Batch, BatchOutcome
from metrics.models import DynamicMetric, NormalizedTransaction, Violation
from metrics.search import Hours, find_transaction
from payflow.lib.event_id import arrival_of

#: how far apart the events of one payment are looked for
LIFE: Final = timedelta(days=30)
#: rows of each kind that a passport holds at most, besides its events
MOST: Final = 50
# ORDER BY id LIMIT would let PostgreSQL walk the primary key until it has met enough rows
_BY_ID: Final = F("id") + 0
#: engine 1 had no compliance rules: its bundles do not name a set
_KINDS: Final = (("metrics", "Metric rules"), ("compliance", "Compliance rules"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """What one rule gave for the event; text, so that no digit is lost."""

    rule: str
    #: COUNTER, GAUGE, HISTOGRAM or RATE
    kind: str
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One of the documents that a bundle froze."""

    #: "schema", "metrics" or "compliance"
    kind: str
    label: str
    name: str
    number: int
    #: its row, None when it was deleted
    id: int | None
    document: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Passport:
    """One event, the other events of its transaction, and all that was done with them."""

    event: NormalizedTransaction
    #: all events of the transaction, this one too, by event time
    events: Sequence[NormalizedTransaction]
    #: manifests of the events by id; what retention dropped is missing
    batches: dict[int, Batch]
    values: Sequence[Value]
    versions: Sequence[Version]
    #: of any event of the transaction; empty for who may not see them
    findings: Sequence[Violation]
    #: deliveries that were set aside because the event was there
    duplicates: Sequence[BatchOutcome]
    #: refused parts that name the transaction; empty for who may not see them
    failures: Sequence[FailedItem]
    #: of the versions above, between the first and the last thing that happened
    activations: Sequence[Activation]

    @property
    def batch(self) -> Batch | None:
        return self.batches.get(self.event.batch)

    @property
    def archive_row(self) -> int | None:
        """Row of the archive object that holds the bytes."""
        return None if self.batch is None else self.batch.first_row + self.event.ordinal

    @property
    def own_findings(self) -> list[Violation]:
        return [finding for finding in self.findings if finding.event_id == self.event.pk]

    def version(self, kind: str) -> Version | None:
        return next((version for version in self.versions if version.kind == kind), None)


def gather(event: NormalizedTransaction, *, user: User | AnonymousUser) -> Passport:
    """Read all of it; failures and findings only as far as `user` may view them."""
    events = _events(event)
    ids = [other.pk for other in events]
    batches = _batches(other.batch for other in events)
    batch = batches.get(event.batch)
    versions = versions_of(batch.bundle) if batch else []
    failures = list(_failures(event)) if user.has_perm("deadletter.view_faileditem") else []
    findings = list(_findings(ids)) if user.has_perm("metrics.view_violation") else []
    duplicates = list(_duplicates(ids))
    moments = [
        *(moment for other in events for moment in (other.occurred_at, other.received_at)),
        *(item.failed_at for item in failures),
        *(arrival_of(outcome.pk) for outcome in duplicates),
    ]
    return Passport(
        event=event,
        events=events,
        batches=batches,
        values=_values(event),
        versions=versions,
        findings=findings,
        duplicates=duplicates,
        failures=failures,
        activations=list(_activations(versions, since=min(moments), until=max(moments))),
    )


def _events(event: NormalizedTransaction) -> list[NormalizedTransaction]:
    """Pending, completed, refunded: a payment is several events."""
    within = Hours(since=event.occurred_at - LIFE, until=event.occurred_at + LIFE)
    ids = set(find_transaction(event.transaction_id, within=within)) - {event.pk}
    others = NormalizedTransaction.objects.filter(pk__in=ids).order_by()
    return sorted([event, *others], key=lambda row: (row.occurred_at, row.pk))


def _batches(ids: Iterable[int]) -> dict[int, Batch]:
    rows = Batch.objects.select_related("partition__source", "bundle").filter(pk__in=set(ids))
    return {row.pk: row for row in rows}


def _values(event: NormalizedTransaction) -> list[Value]:
    """What rules and extractors gave for the event alone; windowed ones: archived.py."""
    rows = DynamicMetric.objects.filter(transaction_id=event.pk).order_by("metric_type")
    return [
        Value(rule=name, kind=kind, value=value)
        for kind, data in rows.values_list("metric_type", "metric_data")
        for name, value in sorted(data.items())
    ]


def versions_of(bundle: Bundle) -> list[Version]:
    """The schema and the rule sets that a bundle froze, as it froze them."""
    schemas = {(schema["name"], schema["version"]): schema for schema in bundle.schemas}
    parts = [("schema", "Schema", schema) for schema in schemas.values()]
    parts += [
        (kind, label, bundle.content[kind]) for kind, label in _KINDS if kind in bundle.content
    ]
    wanted = Q()
    for kind, _, part in parts:
        wanted |= Q(kind=kind, name=part["name"], number=part["version"])
    known = {
        (kind, name, number): pk
        for pk, kind, name, number in ConfigurationVersion.objects.filter(wanted).values_list(
            "pk", "kind", "name", "number"
        )
    }
    return [
        Version(
            kind=kind,
            label=label,
            name=part["name"],
            number=part["version"],
            id=known.get((kind, part["name"], part["version"])),
            document=part["document"],
        )
        for kind, label, part in parts
    ]


def _findings(ids: Sequence[int]) -> QuerySet[Violation]:
    return Violation.objects.filter(event_id__in=ids).order_by(_BY_ID)[:MOST]


def _duplicates(ids: Sequence[int]) -> QuerySet[BatchOutcome]:
    """They came after the first of them: leaves before it are not looked at."""
    return BatchOutcome.objects.filter(other_id__in=ids, id__gt=min(ids)).order_by(_BY_ID)[:MOST]


def _failures(event: NormalizedTransaction) -> QuerySet[FailedItem]:
    return (
        FailedItem.objects.filter(transaction_id=event.transaction_id)
        .select_related("bundle")
        .defer("payload")
        .order_by(_BY_ID)[:MOST]
    )


def _activations(
    versions: Sequence[Version], *, since: datetime, until: datetime
) -> QuerySet[Activation]:
    wanted = Q(pk__in=[])
    for version in versions:
        wanted |= Q(version__kind=version.kind, version__name=version.name)
    return (
        Activation.objects.filter(wanted, activated_at__gte=since, activated_at__lte=until)
        .select_related("version", "previous", "activated_by")
        .order_by("activated_at")[:MOST]
    )
