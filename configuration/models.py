"""What is true now: sources, versions of schemas and rule sets, and the bundles built from them."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q


class SourceQuerySet(models.QuerySet["Source"]):
    def drainable(self) -> SourceQuerySet:
        """Those that workers may read now: files are read by the command that was given them."""
        return self.filter(paused_at=None, active_bundle__isnull=False).exclude(broker_type="file")


class Source(models.Model):
    """A broker connection and topic, and what is done with its messages."""

    name = models.SlugField(max_length=64, unique=True)
    broker_type = models.CharField(
        max_length=32, help_text="redis_streams or file; later event_hubs and kafka."
    )
    settings = models.JSONField(
        default=dict,
        blank=True,
        help_text='Connection settings. Secrets only by reference, e.g. "env:STREAMS_URL".',
    )
    schema_name = models.CharField(
        max_length=64, help_text="The transaction schema that its messages are checked against."
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
    paused_at = models.DateTimeField(null=True, blank=True)
    paused_reason = models.CharField(max_length=256, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = SourceQuerySet.as_manager()

    class Meta:
        db_table = "sources"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class ConfigurationVersion(models.Model):
    """One version of a transaction schema, a metric rule set or a compliance rule set."""

    class Kind(models.TextChoices):
        SCHEMA = "schema", "Transaction schema"
        METRICS = "metrics", "Metric rule set"
        COMPLIANCE = "compliance", "Compliance rule set"

    class Status(models.TextChoices):
        DRAFT = "draft", "Draft"
        ACTIVE = "active", "Active"
        RETIRED = "retired", "Retired"

    kind = models.CharField(max_length=16, choices=Kind.choices)
    name = models.CharField(max_length=64)
    number = models.PositiveIntegerField()
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.DRAFT)
    document = models.JSONField()
    checksum = models.CharField(max_length=64, help_text="SHA-256 of the canonical document.")
    note = models.CharField(max_length=512, blank=True, default="")
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True
    )
    created_at = models.DateTimeField(auto_now_add=True)
    activated_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "configuration_versions"
        ordering = ["kind", "name", "-number"]
        constraints = [
            # prevents two documents under one version number
            models.UniqueConstraint(
                fields=["kind", "name", "number"], name="configuration_versions_number"
            ),
            # prevents two live versions of one schema or rule set
            models.UniqueConstraint(
                fields=["kind", "name"],
                condition=Q(status="active"),
                name="configuration_versions_one_active",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["draft", "active", "retired"]),
                name="configuration_versions_status",
            ),
            models.CheckConstraint(
                condition=Q(kind__in=["schema", "metrics", "compliance"]),
                name="configuration_versions_kind",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} v{self.number}"


class Activation(models.Model):
    """One version went live: what it replaced, who did it and when. Never changed afterwards."""

    version = models.ForeignKey(
        ConfigurationVersion, on_delete=models.PROTECT, related_name="activations"
    )
    previous = models.ForeignKey(
        ConfigurationVersion,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="The version that was active until then.",
    )
    activated_at = models.DateTimeField(auto_now_add=True)
    activated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True
    )

    class Meta:
        db_table = "configuration_activations"
        ordering = ["-id"]
        indexes = [
            # serves the marks on time axes
            models.Index(fields=["activated_at"], name="configuration_activations_at"),
        ]

    def __str__(self) -> str:
        return f"{self.version} at {self.activated_at:%Y-%m-%d %H:%M:%S}"


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
        """The one schema behind the route table: {"name", "version", "document"}."""
        schema: dict[str, Any] = self.content["routes"][0]["schema"]
        return schema
