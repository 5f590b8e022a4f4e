"""What is read, under which bundle, and which worker runs it."""

from __future__ import annotations

from typing import Any

from django.db import models


class SourceQuerySet(models.QuerySet["Source"]):
    def drainable(self) -> SourceQuerySet:
        """Those that workers may read now: files are read by the command that was given them."""
        return self.filter(paused_at=None, active_bundle__isnull=False).exclude(broker_type="file")


class Source(models.Model):
    """A broker connection and topic, and what is done with its messages."""

    name = models.SlugField(max_length=64, unique=True)
    broker_type = models.CharField(
        max_length=32, help_text="event_hubs, kafka, redis_streams or file."
    )
    settings = models.JSONField(
        default=dict,
        blank=True,
        help_text='Connection settings. Secrets only by reference, e.g. "env:STREAMS_URL".',
    )
    schema_name = models.CharField(
        max_length=64,
        help_text="The transaction schema that its messages are checked against. A route table "
        "takes its place.",
    )
    route_table = models.JSONField(
        default=dict,
        blank=True,
        help_text="Which messages go to which schema, by a field or header; empty: all go to one.",
    )
    metrics_name = models.CharField(max_length=64, default="default")
    compliance_name = models.CharField(max_length=64, default="default")
    active_bundle = models.ForeignKey(
        "configuration.Bundle",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
    )
    bundle_serial = models.BigIntegerField(
        default=0, editable=False, help_text="Raised each time another bundle becomes active."
    )
    settings_serial = models.BigIntegerField(
        default=0,
        db_default=0,
        editable=False,
        help_text="Raised each time its settings change.",
    )
    paused_at = models.DateTimeField(null=True, blank=True)
    paused_reason = models.CharField(max_length=256, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = SourceQuerySet.as_manager()

    class Meta:
        db_table = "sources"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Bundle(models.Model):
    """All that evaluate() needs for one source, frozen and hashed."""

    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="bundles")
    hash = models.CharField(max_length=64, help_text="SHA-256 of the canonical content.")
    content = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "configuration_bundles"
        ordering = ["-id"]
        constraints = [
            # prevents two rows for one content: batches name the bundle they were evaluated under
            models.UniqueConstraint(fields=["source", "hash"], name="configuration_bundles_hash"),
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.hash[:12]}"

    @property
    def schema(self) -> dict[str, Any]:
        """The first schema behind the route table: {"name", "version", "document"}."""
        return self.schemas[0]

    @property
    def schemas(self) -> list[dict[str, Any]]:
        """The schemas behind the route table, in its order."""
        return [route["schema"] for route in self.content["routes"]]

    @property
    def schema_labels(self) -> list[str]:
        """`transaction v3` of each schema, once."""
        labels = (f"{schema['name']} v{schema['version']}" for schema in self.schemas)
        return list(dict.fromkeys(labels))


class Acknowledgement(models.Model):
    """A worker says which bundle of a source it runs since when, or why it could not load it."""

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="+")
    serial = models.BigIntegerField(help_text="The source's bundle serial that it answers.")
    bundle = models.ForeignKey(Bundle, on_delete=models.PROTECT, related_name="+")
    owner = models.CharField(max_length=128)
    acknowledged_at = models.DateTimeField(help_text="By the clock of the database.")
    problem = models.CharField(
        max_length=512, blank=True, default="", help_text='Why it does not load; "" when it runs.'
    )

    class Meta:
        db_table = "configuration_acknowledgements"
        ordering = ["-id"]
        constraints = [
            # prevents two answers of one worker
            models.UniqueConstraint(
                fields=["source", "serial", "owner"], name="configuration_acknowledgements_owner"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.owner} {self.source} {self.serial}"


class Deployment(models.Model):
    """A release of payflow whose workers were seen for the first time: a mark on time axes."""

    release = models.CharField(max_length=64, primary_key=True)
    engine_version = models.PositiveIntegerField()
    first_seen_at = models.DateTimeField()

    class Meta:
        db_table = "deployments"
        ordering = ["-first_seen_at"]

    def __str__(self) -> str:
        return f"payflow {self.release}"
