"""The path's own rows: checkpoints and leases, drainers, the manifest and the archive's files."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from configuration.models import Source

#: seconds without a sign of life after which a drainer no longer counts for the fair share
DRAINER_ALIVE_S = 5


class PartitionQuerySet(models.QuerySet["Partition"]):
    def drainable(self) -> PartitionQuerySet:
        """Those that workers may read now."""
        return self.filter(state=Partition.State.ACTIVE, source__in=Source.objects.drainable())


class DrainerQuerySet(models.QuerySet["Drainer"]):
    def live(self) -> DrainerQuerySet:
        """Those that gave a sign of life within the last seconds, by the database's clock."""
        return self.exclude(owner="").filter(seen_at__gt=Now() - timedelta(seconds=DRAINER_ALIVE_S))


class Partition(models.Model):
    """One ordered log of a source, with its checkpoint and lease."""

    class State(models.TextChoices):
        ACTIVE = "active", "Active"
        STOPPED = "stopped", "Stopped"
        PAUSED = "paused", "Paused"
        FINISHED = "finished", "Finished"

    source = models.ForeignKey(
        "configuration.Source", on_delete=models.PROTECT, related_name="partitions"
    )
    name = models.CharField(max_length=128)
    label = models.CharField(
        max_length=256, blank=True, default="", help_text="What a person calls it, e.g. a file."
    )
    position = models.CharField(max_length=64, help_text="The message that comes next.")
    sequence_number = models.BigIntegerField(
        default=0, help_text="Messages committed since the partition's start."
    )
    broker_offset = models.CharField(
        max_length=128,
        blank=True,
        default="",
        db_default="",
        help_text="What the broker calls the last message, where that is more than the position.",
    )
    shift = models.BigIntegerField(
        default=0,
        db_default=0,
        help_text="Messages that seeks have skipped, less those they repeated.",
    )
    reread_until = models.CharField(
        max_length=64,
        blank=True,
        default="",
        db_default="",
        help_text="After a seek back: messages before this position were read before.",
    )
    state = models.CharField(max_length=16, choices=State.choices, default=State.ACTIVE)
    lease_epoch = models.BigIntegerField(default=0, help_text="Raised by each take of the lease.")
    leased_by = models.CharField(max_length=128, blank=True, default="")
    leased_until = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(
        default=0, help_text="Owners that died on the messages that come next."
    )
    marked = models.BooleanField(
        default=False, help_text="The owner works on its first batch: its death would count."
    )
    stopped_reason = models.CharField(max_length=512, blank=True, default="")
    stopped_at = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=512, blank=True, default="")
    last_error_at = models.DateTimeField(null=True, blank=True)
    committed_at = models.DateTimeField(null=True, blank=True)
    lag_events = models.BigIntegerField(null=True, blank=True)
    lag_seconds = models.FloatField(null=True, blank=True)
    lag_at = models.DateTimeField(null=True, blank=True)

    objects = PartitionQuerySet.as_manager()

    class Meta:
        db_table = "partitions"
        ordering = ["source", "name"]
        constraints = [
            # prevents two checkpoints for one log
            models.UniqueConstraint(fields=["source", "name"], name="partitions_source_name"),
            models.CheckConstraint(
                condition=Q(state__in=["active", "stopped", "paused", "finished"]),
                name="partitions_state",
            ),
        ]

    def __str__(self) -> str:
        return self.label or f"{self.source} {self.name}"


class Drainer(models.Model):
    """A live drainer and the slot that makes its event ids unique."""

    slot = models.PositiveSmallIntegerField(primary_key=True)
    owner = models.CharField(max_length=128, blank=True, default="")
    seen_at = models.DateTimeField(null=True, blank=True)
    #: milliseconds since 2020 of the last id given out under this slot; never goes back
    last_tick = models.BigIntegerField(default=0)
    started_at = models.DateTimeField(null=True, blank=True)
    scope = models.JSONField(
        null=True, help_text="Names of the sources that it reads alone; null: every one."
    )
    bundles = models.JSONField(
        default=dict, help_text="Bundle id that it runs now, by source: its acknowledgement."
    )

    objects = DrainerQuerySet.as_manager()

    class Meta:
        db_table = "drainers"
        constraints = [
            # prevents a slot that does not fit its 10 bits of the id
            models.CheckConstraint(
                condition=Q(slot__gte=0) & Q(slot__lt=1024), name="drainers_slot"
            ),
            # prevents one drainer from holding two slots
            models.UniqueConstraint(
                fields=["owner"], condition=~Q(owner=""), name="drainers_owner"
            ),
        ]

    def __str__(self) -> str:
        return self.owner or f"slot {self.slot}"


class WriteLeaf(models.Model):
    """The one leaf that commits write to now; changed only under the exclusive WRITE_LEAF lock."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    lower_id = models.BigIntegerField()
    upper_id = models.BigIntegerField()

    class Meta:
        db_table = "write_leaf"
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="write_leaf_single_row"),
        ]

    def __str__(self) -> str:
        return f"{self.lower_id}..{self.upper_id}"


class Batch(models.Model):
    """What one commit wrote: the manifest. RANGE-partitioned like the transactions.

    Positions chain: start_position of a batch is next_position of the one before it.
    """

    id = models.BigIntegerField(primary_key=True, help_text="First event id of the batch.")
    last_id = models.BigIntegerField()
    partition = models.ForeignKey(
        "ingestion.Partition", on_delete=models.DO_NOTHING, db_constraint=False
    )
    bundle = models.ForeignKey(
        "configuration.Bundle", on_delete=models.DO_NOTHING, db_constraint=False
    )
    epoch = models.BigIntegerField()
    start_position = models.CharField(max_length=64)
    next_position = models.CharField(max_length=64)
    sequence_number = models.BigIntegerField(help_text="Number of its first message.")
    messages = models.IntegerField()
    parts = models.IntegerField()
    accepted = models.IntegerField()
    failed = models.IntegerField()
    ignored = models.IntegerField()
    duplicates = models.IntegerField()
    late = models.IntegerField(help_text="Accepted, but their 5 minutes had ended 5 minutes ago.")
    min_occurred_at = models.DateTimeField(null=True)
    max_occurred_at = models.DateTimeField(null=True)
    file = models.CharField(max_length=512)
    first_row = models.BigIntegerField(default=0)
    received_at = models.DateTimeField(help_text="Arrival.")
    committed_at = models.DateTimeField()
    timings = models.JSONField(help_text="Milliseconds of each step before the transaction.")
    rule_failures = models.JSONField(
        null=True, help_text="Rules that could not be computed: name, count, error class."
    )

    class Meta:
        db_table = "batches"
        ordering = ["-id"]
        verbose_name_plural = "batches"

    def __str__(self) -> str:
        return str(self.id)


class BatchOutcome(models.Model):
    """A part that only the transaction could decide: it was there already, or was refused."""

    class Outcome(models.TextChoices):
        DUPLICATE = "duplicate", "Duplicate"
        CONFLICT = "conflict", "Conflict"
        REFUSED = "refused", "Refused"

    id = models.BigIntegerField(primary_key=True)
    batch = models.BigIntegerField()
    ordinal = models.IntegerField()
    part = models.IntegerField()
    outcome = models.CharField(max_length=16, choices=Outcome.choices)
    other_id = models.BigIntegerField(
        null=True, help_text="The transaction that was there first; null when refused."
    )
    transaction_id = models.CharField(max_length=256)

    class Meta:
        db_table = "batch_outcomes"
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.outcome} of {self.other_id}"


class ArchiveFile(models.Model):
    """One object of the archive that counts."""

    path = models.CharField(max_length=512, primary_key=True)
    sha256 = models.CharField(max_length=64)
    size = models.BigIntegerField(help_text="Bytes.")
    rows = models.BigIntegerField()
    min_occurred_at = models.DateTimeField(null=True)
    max_occurred_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    verified_at = models.DateTimeField(null=True, blank=True)
    superseded_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "archive_files"
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.path


class IngestionWindow(models.Model):
    """Sums over the batches of a source that arrived in five minutes; the SQL key is both."""

    window_start = models.DateTimeField(primary_key=True, help_text="Of arrival, not event time.")
    source_id = models.BigIntegerField()
    batches = models.BigIntegerField()
    messages = models.BigIntegerField()
    parts = models.BigIntegerField()
    accepted = models.BigIntegerField()
    failed = models.BigIntegerField()
    ignored = models.BigIntegerField()
    duplicates = models.BigIntegerField()
    late = models.BigIntegerField()

    class Meta:
        db_table = "ingestion_5m"

    def __str__(self) -> str:
        return f"{self.window_start:%Y-%m-%d %H:%M} source {self.source_id}"


class ArrivalLatency(models.Model):
    """Parts by the time from arrival to commit, in buckets of milliseconds (metrics/buckets.py).

    The SQL primary key is (window_start, source_id, bucket).
    """

    window_start = models.DateTimeField(primary_key=True, help_text="Of arrival, not event time.")
    source_id = models.BigIntegerField()
    bucket = models.IntegerField()
    parts = models.BigIntegerField()

    class Meta:
        db_table = "arrival_latency"

    def __str__(self) -> str:
        return f"{self.window_start:%Y-%m-%d %H:%M} source {self.source_id} bucket {self.bucket}"


# Django finds models through this module; these are at home in modules of their own.
import ingestion.push.models  # noqa: E402
import ingestion.shadow.models  # noqa: E402
import ingestion.simulation_model  # noqa: E402
import ingestion.source_models  # noqa: E402, F401
