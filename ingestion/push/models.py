"""Who may push events to a source over HTTP, and which requests were answered already."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q


class PushAccess(models.Model):
    """That events may be pushed to a source over HTTP, by whom, and how they prove it."""

    class Signature(models.TextChoices):
        OFF = "off", "Token only"
        REQUIRED = "required", "Token and signature"
        ENOUGH = "enough", "Token or signature"

    source = models.OneToOneField(
        "configuration.Source", on_delete=models.CASCADE, related_name="push_access"
    )
    senders = models.ManyToManyField(
        settings.AUTH_USER_MODEL,
        blank=True,
        related_name="+",
        help_text="Whose API tokens may push events to this source.",
    )
    signature = models.CharField(
        max_length=16,
        choices=Signature.choices,
        default=Signature.OFF,
        help_text="Whether requests are signed (Standard Webhooks).",
    )
    secrets = models.JSONField(
        default=list,
        blank=True,
        help_text="References of the signing secrets, e.g. env:PUSH_SECRET; two while they change.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "push_accesses"
        ordering = ["source"]
        verbose_name_plural = "push accesses"

    def __str__(self) -> str:
        return f"HTTP to {self.source}"


class PushRequest(models.Model):
    """One request with an Idempotency-Key: who repeats it gets the same answer."""

    class State(models.TextChoices):
        RUNNING = "running", "Running"
        DONE = "done", "Done"

    source = models.ForeignKey("configuration.Source", on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    body_sha256 = models.CharField(max_length=64)
    state = models.CharField(max_length=16, choices=State.choices, default=State.RUNNING)
    #: who runs it until when: a process that died holds nobody up for longer
    attempt = models.UUIDField()
    running_until = models.DateTimeField()
    status = models.PositiveSmallIntegerField(null=True)
    answer = models.JSONField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "push_requests"
        ordering = ["-id"]
        indexes = [models.Index(fields=["created_at"], name="push_requests_created_at")]
        constraints = [
            # prevents two requests of one key from both being published
            models.UniqueConstraint(fields=["source", "key"], name="push_requests_key"),
            # prevents a repeated request from finding nothing to answer
            models.CheckConstraint(
                condition=Q(state="running") | Q(status__isnull=False, answer__isnull=False),
                name="push_requests_answered",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.key}"


class PushCount(models.Model):
    """Requests of five minutes, by what became of them: the counters of `/metrics`."""

    class Outcome(models.TextChoices):
        ACCEPTED = "accepted", "Accepted"
        REPLAYED = "replayed", "Answered again"
        REFUSED = "refused", "Refused"
        FULL = "full", "Broker full"
        UNAVAILABLE = "unavailable", "Broker away"

    # no index of its own: it would be taken for the one by time, which grows
    source = models.ForeignKey(
        "configuration.Source", on_delete=models.CASCADE, related_name="+", db_index=False
    )
    window_start = models.DateTimeField()
    outcome = models.CharField(max_length=16, choices=Outcome.choices)
    requests = models.BigIntegerField()
    events = models.BigIntegerField(help_text="Queued by them, those of broken requests too.")

    class Meta:
        db_table = "push_counts"
        ordering = ["-window_start", "source", "outcome"]
        constraints = [
            # prevents two rows for one sum; the counters read ranges of its front
            models.UniqueConstraint(
                fields=["window_start", "source", "outcome"], name="push_counts_window"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.outcome} at {self.window_start:%H:%M}"
