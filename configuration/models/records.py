"""Long work, the audit trail, and what remote sources of configuration hold."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from configuration.models.versions import ConfigurationVersion


class Job(models.Model):
    """Long work that a person started: its progress, and what came of it."""

    class State(models.TextChoices):
        QUEUED = "queued", "Waiting"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"

    kind = models.CharField(max_length=32, help_text="dry_run; later retry, replay, export.")
    title = models.CharField(max_length=200)
    state = models.CharField(max_length=16, choices=State.choices, default=State.QUEUED)
    version = models.ForeignKey(
        ConfigurationVersion, on_delete=models.SET_NULL, null=True, blank=True, related_name="jobs"
    )
    parameters = models.JSONField(default=dict)
    done = models.BigIntegerField(default=0)
    total = models.BigIntegerField(null=True, blank=True)
    result = models.JSONField(null=True, blank=True)
    error = models.CharField(max_length=512, blank=True, default="")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    seen_at = models.DateTimeField(null=True, blank=True, help_text="Last sign of its worker.")
    finished_at = models.DateTimeField(null=True, blank=True)
    cancel_asked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "jobs"
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["queued", "running", "done", "failed", "cancelled"]),
                name="jobs_state",
            ),
        ]

    def __str__(self) -> str:
        return self.title


class AuditEntry(models.Model):
    """Who did what to which part of the configuration. Held unchangeable by the database."""

    at = models.DateTimeField(auto_now_add=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    action = models.CharField(max_length=64, help_text='A verb in the past: "activated".')
    target = models.CharField(max_length=128, help_text='What, in words: "transaction v7".')
    version = models.ForeignKey(
        ConfigurationVersion, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    details = models.JSONField(default=dict, help_text="Never payload and never a secret.")

    class Meta:
        db_table = "audit_log"
        ordering = ["-id"]
        verbose_name_plural = "audit entries"

    def __str__(self) -> str:
        return f"{self.action} {self.target}"


class RemoteDocument(models.Model):
    """A document as a watched directory or Azure App Configuration holds it, for drift."""

    origin = models.CharField(max_length=128, help_text="directory or app_configuration.")
    key = models.CharField(max_length=256, help_text="File name, or key and label.")
    kind = models.CharField(max_length=16, blank=True, default="")
    name = models.CharField(max_length=64, blank=True, default="")
    checksum = models.CharField(max_length=64, help_text="SHA-256 of what was read.")
    version = models.ForeignKey(
        ConfigurationVersion, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    problems = models.JSONField(default=list)
    changed_at = models.DateTimeField()
    seen_at = models.DateTimeField(help_text="When the remote side held it for the last time.")

    class Meta:
        db_table = "configuration_remote_documents"
        ordering = ["origin", "key"]
        constraints = [
            models.UniqueConstraint(
                fields=["origin", "key"], name="configuration_remote_documents_key"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.origin}: {self.key}"


class RemoteState(models.Model):
    """How a remote source of configuration fares: since when it answers, or what is wrong."""

    origin = models.CharField(max_length=128, primary_key=True)
    looked_at = models.DateTimeField()
    answered_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=512, blank=True, default="")
    error_since = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "configuration_remotes"

    def __str__(self) -> str:
        return self.origin
