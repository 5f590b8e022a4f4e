"""Versions of schemas and rule sets, and how they went live."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from payflow.lib.clock import ClockTimestamp


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
    document = models.JSONField(help_text="What the text says; {} while it cannot be read.")
    text = models.TextField(
        blank=True, default="", help_text="YAML as its author wrote it, comments and all."
    )
    checksum = models.CharField(max_length=64, help_text="SHA-256 of the canonical document.")
    problems = models.JSONField(
        default=list, help_text="What is wrong with it: [{pointer, message}]; live needs none."
    )
    origin = models.CharField(
        max_length=128, blank=True, default="", help_text="Where it came from, when not a person."
    )
    base = models.ForeignKey(
        "self",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text="The version that the draft was made from.",
    )
    note = models.CharField(max_length=512, blank=True, default="")
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    saved_at = models.DateTimeField(db_default=Now())
    approval_asked_at = models.DateTimeField(null=True, blank=True)
    approval_asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    approval_reason = models.CharField(max_length=512, blank=True, default="")
    activated_at = models.DateTimeField(null=True, blank=True, help_text="For the last time.")

    class Meta:
        db_table = "configuration_versions"
        ordering = ["kind", "name", "-number"]
        permissions = [
            ("activate_configurationversion", "Can make a version the active one"),
            ("rollback_configurationversion", "Can make an earlier version active again"),
            ("shadow_configurationversion", "Can run a draft beside the live rules"),
        ]
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
            # prevents that what is known to be wrong is live
            models.CheckConstraint(
                condition=~Q(status="active") | Q(problems=[]),
                name="configuration_versions_active_is_valid",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} v{self.number}"

    @property
    def is_draft(self) -> bool:
        return self.status == self.Status.DRAFT


class CompatibilityGate(models.Model):
    """What a new version of a schema must keep to before it may go live."""

    class Mode(models.TextChoices):
        NONE = "none", "None"
        BACKWARD = "backward", "Backward: what passed still passes"
        FORWARD = "forward", "Forward: what passes now passed before"
        FULL = "full", "Full: both"

    schema_name = models.CharField(max_length=64, primary_key=True)
    mode = models.CharField(max_length=16, choices=Mode.choices)

    class Meta:
        db_table = "configuration_gates"
        constraints = [
            models.CheckConstraint(
                condition=Q(mode__in=["none", "backward", "forward", "full"]),
                name="configuration_gates_mode",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.schema_name}: {self.get_mode_display()}"


class Activation(models.Model):
    """One version went live: from what, who, when and why. Held unchangeable by the database."""

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
    activated_at = models.DateTimeField(
        db_default=ClockTimestamp(),
        help_text="By the clock of the database, to which workers answer.",
    )
    activated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="The second person, where four eyes are asked for.",
    )
    reason = models.CharField(max_length=512, blank=True, default="")
    override_reason = models.CharField(
        max_length=512, blank=True, default="", help_text="Why the compatibility gate was passed."
    )
    is_rollback = models.BooleanField(default=False)
    serials = models.JSONField(
        default=dict, help_text="Bundle serial that each source got by it, by the source's id."
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
