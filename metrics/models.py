"""Numbers: accepted events, their metrics, and the roll-ups that add them up."""

from __future__ import annotations

from django.db import models


class NormalizedTransaction(models.Model):
    """One accepted event, normalised. Written by COPY only; RANGE-partitioned on `id`.

    `id` orders by arrival: milliseconds since 2020 by the database's clock (41 bits), slot of the
    drainer (10 bits), number within the millisecond (12 bits). Absent text is "", never null.
    """

    id = models.BigIntegerField(primary_key=True)
    batch = models.BigIntegerField(help_text="First id of the batch that wrote it.")
    occurred_at = models.DateTimeField(help_text="Event time: decides every window.")
    received_at = models.DateTimeField(help_text="Arrival at payflow.")
    payload_hash = models.BigIntegerField(help_text="Tells a redelivery from a conflict.")
    latency_us = models.BigIntegerField(
        null=True, blank=True, help_text="Processing time that the event states, microseconds."
    )
    ordinal = models.IntegerField(help_text="Row of the batch in its archive file, from 0.")
    part = models.IntegerField(help_text="Number of the part within its message, from 0.")
    event_key = models.UUIDField(help_text="Identity of the event; unique per leaf.")
    amount = models.DecimalField(max_digits=19, decimal_places=4)
    currency = models.CharField(max_length=3)
    payment_method = models.CharField(max_length=256, default="")
    payment_status = models.CharField(max_length=16)
    channel = models.CharField(max_length=256, default="")
    processor = models.CharField(max_length=256, default="")
    transaction_type = models.CharField(max_length=256, default="")
    transaction_id = models.CharField(max_length=256)
    merchant_id = models.CharField(max_length=256, default="")
    merchant_category = models.CharField(max_length=256, default="")
    customer_id = models.CharField(max_length=256, default="")
    country = models.CharField(max_length=2, default="")
    error_code = models.CharField(max_length=256, default="")
    correlation_id = models.CharField(max_length=256)
    metadata = models.JSONField(default=dict)

    class Meta:
        managed = True
        db_table = "normalized_transactions"
        ordering = ["-id"]
        verbose_name = "transaction"

    def __str__(self) -> str:
        return self.transaction_id


class DynamicMetric(models.Model):
    """What the rules and extractors give for one transaction and metric type.

    The SQL primary key is (event_id, metric_type); Django sees the first column only, so a row is
    always read through its transaction. No enforced foreign key: docs/adr/0003.
    """

    class MetricType(models.TextChoices):
        COUNTER = "COUNTER", "Counter"
        GAUGE = "GAUGE", "Gauge"
        HISTOGRAM = "HISTOGRAM", "Histogram"
        RATE = "RATE", "Rate"

    transaction = models.OneToOneField(
        "metrics.NormalizedTransaction",
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_column="event_id",
        primary_key=True,
        related_name="+",
    )
    metric_type = models.CharField(max_length=16, choices=MetricType.choices)
    metric_data = models.JSONField()

    class Meta:
        db_table = "dynamic_metrics"

    def __str__(self) -> str:
        return f"{self.transaction_id} {self.metric_type}"


class PaymentMetrics(models.Model):
    """One roll-up cell: sums, counts, min and max only, so that cells add up exactly.

    The SQL primary key is all five dimensions; Django sees the first column only.
    """

    window_start = models.DateTimeField(primary_key=True)
    payment_method = models.CharField(max_length=256, default="")
    currency = models.CharField(max_length=3, default="")
    payment_status = models.CharField(max_length=16, default="")
    channel = models.CharField(max_length=256, default="")
    transaction_count = models.BigIntegerField()
    amount_sum = models.DecimalField(max_digits=38, decimal_places=4)
    amount_min = models.DecimalField(max_digits=19, decimal_places=4)
    amount_max = models.DecimalField(max_digits=19, decimal_places=4)
    latency_count = models.BigIntegerField(help_text="Events that state a latency.")
    latency_sum_us = models.DecimalField(max_digits=38, decimal_places=0)
    latency_max_us = models.BigIntegerField(null=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.window_start:%Y-%m-%d %H:%M} {self.currency} {self.payment_status}"


class PaymentMetrics5m(PaymentMetrics):
    """Cells of 5 minutes."""

    class Meta:
        db_table = "payment_metrics_5m"
        verbose_name = verbose_name_plural = "payment metrics (5 min)"


class PaymentMetrics1h(PaymentMetrics):
    """Cells of an hour; the day is the view payment_metrics_1d over them."""

    class Meta:
        db_table = "payment_metrics_1h"
        verbose_name = verbose_name_plural = "payment metrics (1 h)"
