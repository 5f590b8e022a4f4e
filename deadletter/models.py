"""What could not be taken: failed items, their groups and the counts of each group."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.safestring import SafeString

from payflow.lib.pages.display import UNKNOWN


class FailureGroup(models.Model):
    """Failed items of one cause: the same stage, reason, field, schema and source."""

    id = models.UUIDField(
        primary_key=True, help_text="Fingerprint: hash of the algorithm's version and the cause."
    )
    fingerprint_version = models.PositiveSmallIntegerField(default=1)
    source = models.ForeignKey("configuration.Source", on_delete=models.PROTECT)
    schema_name = models.CharField(max_length=64, blank=True, default="")
    stage = models.CharField(max_length=16)
    reason = models.CharField(max_length=64)
    field = models.CharField(max_length=256, blank=True, default="")
    first_seen = models.DateTimeField()
    last_seen = models.DateTimeField()
    began_at = models.DateTimeField(
        help_text="First failure after the last pause of 10 minutes: what changed before that?"
    )
    count = models.BigIntegerField(default=0)

    #: what changed shortly before it began; the list of groups sets it
    likely_cause: SafeString = UNKNOWN

    class Meta:
        db_table = "failure_groups"
        ordering = ["-last_seen"]
        # serves the list of groups, newest first
        indexes = [models.Index(fields=["-last_seen"], name="failure_groups_last_seen")]

    def __str__(self) -> str:
        return f"{self.reason} at {self.field}" if self.field else self.reason


class FailureCount(models.Model):
    """Items of a group per 5 minutes of arrival."""

    group = models.ForeignKey(
        FailureGroup, on_delete=models.DO_NOTHING, db_constraint=False, related_name="counts"
    )
    window_start = models.DateTimeField()
    count = models.BigIntegerField()

    class Meta:
        db_table = "failure_counts"
        constraints = [
            # one cell per group and window: commits add to it
            models.UniqueConstraint(fields=["window_start", "group"], name="failure_counts_cell"),
        ]

    def __str__(self) -> str:
        return f"{self.group_id} {self.window_start:%Y-%m-%d %H:%M}"


class FailedItem(models.Model):
    """A message part that was refused, with its bytes and every reason."""

    class Stage(models.TextChoices):
        DECODE = "decode", "Decoding"
        VALIDATE = "validate", "Validation"
        STORE = "store", "Storing"

    class Status(models.TextChoices):
        OPEN = "open", "Open"
        RESOLVED = "resolved", "Resolved"
        DISCARDED = "discarded", "Discarded"

    #: from the same numbering as transactions: orders by arrival
    id = models.BigIntegerField(primary_key=True)
    batch = models.BigIntegerField(help_text="First id of the batch that wrote it.")
    ordinal = models.IntegerField()
    part = models.IntegerField()
    # no enforced keys: each would lock a row that every commit of the source needs
    source = models.ForeignKey(
        "configuration.Source", on_delete=models.DO_NOTHING, db_constraint=False
    )
    partition_name = models.CharField(max_length=128)
    position = models.CharField(max_length=64, help_text="Where the broker holds the message.")
    bundle = models.ForeignKey(
        "configuration.Bundle", on_delete=models.DO_NOTHING, db_constraint=False
    )
    schema_name = models.CharField(max_length=64, blank=True, default="")
    stage = models.CharField(max_length=16, choices=Stage.choices)
    reason = models.CharField(max_length=64, help_text="The first of its errors.")
    field = models.CharField(max_length=256, blank=True, default="")
    errors = models.JSONField(
        help_text="Every error: field, constraint, expected, actual, message; no payload text."
    )
    payload = models.BinaryField(
        null=True, help_text="The bytes evaluated; null above 1 MiB: read them in the archive."
    )
    archive_file = models.CharField(max_length=512)
    archive_row = models.BigIntegerField()
    other_id = models.BigIntegerField(
        null=True, blank=True, help_text="The transaction that a duplicate conflicts with."
    )
    transaction_id = models.CharField(max_length=256, blank=True, default="")
    correlation_id = models.CharField(max_length=256)
    failed_at = models.DateTimeField()
    group = models.ForeignKey(
        FailureGroup, on_delete=models.DO_NOTHING, db_constraint=False, related_name="items"
    )
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.OPEN)
    retry_count = models.PositiveIntegerField(default=0)
    last_retry_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "failed_items"
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=["open", "resolved", "discarded"]),
                name="failed_items_status",
            ),
        ]
        indexes = [
            # serves the items of a group, newest first
            models.Index(fields=["group", "-id"], name="failed_items_group"),
            # serves the search by transaction
            models.Index(
                fields=["transaction_id"],
                name="failed_items_transaction",
                condition=~Q(transaction_id=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reason} {self.id}"
