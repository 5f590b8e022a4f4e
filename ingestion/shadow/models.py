"""Draft rule sets beside the live ones: runs, cells and findings, apart from what is live."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class Shadow(models.Model):
    """A draft rule set that runs beside the live one on live traffic, for a time."""

    class State(models.TextChoices):
        RUNNING = "running", "Running"
        ENDED = "ended", "Ended"
        STOPPED = "stopped", "Stopped"
        FAILED = "failed", "Failed"

    version = models.ForeignKey(
        "configuration.ConfigurationVersion", on_delete=models.CASCADE, related_name="shadows"
    )
    checksum = models.CharField(max_length=64, help_text="Of the draft as it was when it began.")
    document = models.JSONField(help_text="The draft as it was when it began.")
    state = models.CharField(max_length=16, choices=State.choices, default=State.RUNNING)
    share = models.PositiveSmallIntegerField(
        default=25, help_text="Percent of one core that it may use at most."
    )
    started_by = models.ForeignKey(
        "auth.User", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    started_at = models.DateTimeField(auto_now_add=True)
    until = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    last_batch = models.BigIntegerField(help_text="Id of the last batch that it has seen.")
    seen_at = models.DateTimeField(null=True, blank=True)
    events = models.BigIntegerField(default=0)
    skipped = models.BigIntegerField(default=0, help_text="Events left out to hold the share.")
    cpu_ms = models.BigIntegerField(default=0)
    lately = models.JSONField(
        default=list, blank=True, help_text="CPU of the last minute: [[unix second, ms], ...]."
    )
    rests_until = models.DateTimeField(
        null=True, blank=True, help_text="No worker looks before: it holds the share, or looks now."
    )
    error = models.CharField(max_length=512, blank=True, default="")

    class Meta:
        db_table = "shadows"
        ordering = ["-id"]
        constraints = [
            # prevents two workers' worth of cost for one draft
            models.UniqueConstraint(
                fields=["version"], condition=Q(state="running"), name="shadows_one_running"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version} beside the live rules"


class ShadowCell(models.Model):
    """What a windowed rule gave on the events that a shadow saw: both sides, apart from live."""

    shadow = models.ForeignKey(Shadow, on_delete=models.CASCADE, related_name="+")
    is_draft = models.BooleanField(help_text="Under the draft; else under the live rules.")
    rule = models.CharField(max_length=63)
    rule_version = models.BigIntegerField()
    window_start = models.DateTimeField()
    window_s = models.IntegerField()
    group_key = models.TextField()
    bucket = models.IntegerField(default=0, help_text="Of a histogram; else 0.")
    transactions = models.BigIntegerField()
    value_sum = models.DecimalField(max_digits=38, decimal_places=6, null=True)
    denominator = models.DecimalField(max_digits=38, decimal_places=6, null=True)

    class Meta:
        db_table = "shadow_cells"
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "shadow",
                    "is_draft",
                    "rule",
                    "rule_version",
                    "window_start",
                    "window_s",
                    "group_key",
                    "bucket",
                ],
                name="shadow_cells_key",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.rule} {self.window_start:%H:%M}"


class ShadowFinding(models.Model):
    """A compliance finding that only one side of a shadow has, or both."""

    shadow = models.ForeignKey(Shadow, on_delete=models.CASCADE, related_name="+")
    rule = models.CharField(max_length=63)
    event_id = models.BigIntegerField()
    occurred_at = models.DateTimeField()
    severity = models.CharField(max_length=8)
    by_draft = models.BooleanField()
    by_live = models.BooleanField()

    class Meta:
        db_table = "shadow_findings"
        constraints = [
            models.UniqueConstraint(
                fields=["shadow", "rule", "event_id"], name="shadow_findings_key"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.rule} {self.event_id}"
