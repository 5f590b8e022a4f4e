"""What is known of a source beside its checkpoints: connections, errors, lag by minute, seeks."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q


class SourceConnection(models.Model):
    """One drainer and one source: since when it is connected, or why not."""

    source = models.ForeignKey(
        "configuration.Source", on_delete=models.CASCADE, related_name="connections"
    )
    owner = models.CharField(max_length=128, help_text="The drainer, as in `drainers`.")
    connected_since = models.DateTimeField(null=True, blank=True)
    failing_since = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=512, blank=True, default="")
    retry_at = models.DateTimeField(null=True, blank=True)
    seen_at = models.DateTimeField()

    class Meta:
        db_table = "source_connections"
        ordering = ["source", "owner"]
        constraints = [
            # prevents two states of one connection
            models.UniqueConstraint(fields=["source", "owner"], name="source_connections_owner"),
            # prevents a connection that both holds and fails
            models.CheckConstraint(
                condition=Q(connected_since=None) | Q(failing_since=None),
                name="source_connections_one_state",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source} of {self.owner}"


class SourceError(models.Model):
    """A bad world that a source met; the same words again within the hour are counted."""

    class Kind(models.TextChoices):
        CONNECTION = "connection", "Connection"
        STORAGE = "storage", "Storage"
        POSITION = "position", "Position lost"
        TAKEN = "taken", "Partition taken"
        SETTINGS = "settings", "Settings"

    source = models.ForeignKey(
        "configuration.Source", on_delete=models.CASCADE, related_name="errors"
    )
    partition_name = models.CharField(max_length=128, blank=True, default="")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    message = models.CharField(max_length=512)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    times = models.BigIntegerField(default=1)

    class Meta:
        db_table = "source_errors"
        ordering = ["-last_at", "-id"]
        indexes = [models.Index(fields=["source", "-last_at"], name="source_errors_last")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.message}"


class PartitionMinute(models.Model):
    """How far a partition had come by the end of a minute, and how far it was behind at most.

    The SQL primary key is (partition_id, minute).
    """

    minute = models.DateTimeField(primary_key=True)
    partition_id = models.BigIntegerField()
    sequence_number = models.BigIntegerField(help_text="At the end of the minute.")
    lag_events = models.BigIntegerField(null=True)
    lag_seconds = models.FloatField(null=True)

    class Meta:
        db_table = "partition_minutes"

    def __str__(self) -> str:
        return f"partition {self.partition_id} at {self.minute:%H:%M}"


class Seek(models.Model):
    """A person moved a checkpoint: the row that explains a break in the chain of batches."""

    partition = models.ForeignKey(
        "ingestion.Partition", on_delete=models.PROTECT, related_name="seeks"
    )
    from_position = models.CharField(max_length=64)
    to_position = models.CharField(max_length=64)
    sequence_number = models.BigIntegerField(help_text="Messages committed when it happened.")
    events = models.BigIntegerField(
        null=True, help_text="Skipped; repeated: below 0; null: the broker could not tell."
    )
    epoch = models.BigIntegerField(help_text="Of the lease, raised by the seek.")
    target = models.CharField(max_length=64, help_text="What was asked for, e.g. earliest.")
    reason = models.CharField(max_length=256)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+"
    )
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "seeks"
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["partition", "sequence_number"], name="seeks_partition_number")
        ]

    def __str__(self) -> str:
        return f"{self.partition} from {self.from_position} to {self.to_position}"
