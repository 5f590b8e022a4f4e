"""The row that a simulator process obeys, so that every web worker sees and steers the same run."""

from __future__ import annotations

from datetime import timedelta

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

#: seconds without a sign of life after which a simulator process no longer counts
SIMULATOR_ALIVE_S = 5
MAX_RATE = 20_000


class SimulationQuerySet(models.QuerySet["Simulation"]):
    def mine_or_free(self, owner: str) -> SimulationQuerySet:
        """Those that this process follows, or that no living process does."""
        silent = Q(seen_at=None) | Q(seen_at__lt=Now() - timedelta(seconds=SIMULATOR_ALIVE_S))
        return self.filter(Q(owner__in=["", owner]) | silent)


class Simulation(models.Model):
    """What a person wants simulated, and what the process that follows the row reports."""

    name = models.SlugField(max_length=64, unique=True)
    # what a person wants; each change raises the revision
    is_wanted = models.BooleanField(default=True)
    scenario = models.CharField(max_length=64)
    rate = models.FloatField(
        default=500,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_RATE)],
        help_text="Events a second.",
    )
    source = models.ForeignKey("configuration.Source", on_delete=models.PROTECT, related_name="+")
    revision = models.BigIntegerField(default=1)
    # what the process reports
    owner = models.CharField(max_length=128, blank=True, default="")
    seen_at = models.DateTimeField(null=True, blank=True)
    done_revision = models.BigIntegerField(
        default=0, help_text="The last revision that the process has taken up."
    )
    started_at = models.DateTimeField(
        null=True, blank=True, help_text="Of the run; empty while nothing runs."
    )
    published = models.BigIntegerField(default=0)
    invalid = models.BigIntegerField(default=0)
    duplicates = models.BigIntegerField(default=0)
    violations = models.BigIntegerField(default=0)
    rate_now = models.FloatField(default=0, help_text="Events a second, of the last seconds.")
    problem = models.CharField(max_length=512, blank=True, default="")
    answer_key = models.CharField(max_length=512, blank=True, default="")

    objects = SimulationQuerySet.as_manager()

    class Meta:
        db_table = "simulations"
        ordering = ["name"]
        constraints = [
            # prevents a rate that no simulator could keep, or none
            models.CheckConstraint(
                condition=Q(rate__gte=1) & Q(rate__lte=MAX_RATE), name="simulations_rate"
            ),
        ]

    def __str__(self) -> str:
        return self.name
