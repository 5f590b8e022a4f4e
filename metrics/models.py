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


class MetricWindow(models.Model):
    """What one rule gives for one window of event time and one group; cells of it add up exactly.

    The SQL primary key is (rule, window_start, rule_version, window_s, group_key); Django sees the
    first column only. A changed rule has another version, so it starts new cells.
    """

    rule = models.CharField(max_length=63, primary_key=True)
    window_start = models.DateTimeField()
    rule_version = models.BigIntegerField(help_text="Hash of the rule's own definition.")
    window_s = models.IntegerField(help_text="Length of the window in seconds.")
    group_key = models.TextField(help_text="The group's values as a JSON object, {} for all.")
    transactions = models.BigIntegerField(help_text="Events that have a value.")
    value_sum = models.DecimalField(
        max_digits=38, decimal_places=6, help_text="Sum of the values; of a RATE the numerators."
    )
    denominator = models.DecimalField(max_digits=38, decimal_places=6, help_text="Of a RATE.")
    value_min = models.DecimalField(max_digits=28, decimal_places=6, null=True)
    value_max = models.DecimalField(max_digits=28, decimal_places=6, null=True)
    value_last = models.DecimalField(max_digits=28, decimal_places=6, null=True)
    last_at = models.DateTimeField(null=True, help_text="Event time of the last value.")
    last_key = models.UUIDField(null=True, help_text="Event key of the last value.")

    class Meta:
        db_table = "metric_windows"

    def __str__(self) -> str:
        return f"{self.rule} {self.window_start:%Y-%m-%d %H:%M} {self.group_key}"


class AggregateHistogram(models.Model):
    """One non-empty bucket of a histogram rule (metrics/buckets.py), for one window and group.

    The SQL primary key is all but `events`; Django sees the first column only.
    """

    rule = models.CharField(max_length=63, primary_key=True)
    window_start = models.DateTimeField()
    rule_version = models.BigIntegerField(help_text="Hash of the rule's own definition.")
    window_s = models.IntegerField(help_text="Length of the window in seconds.")
    group_key = models.TextField(help_text="The group's values as a JSON object, {} for all.")
    bucket = models.IntegerField(help_text="Number of the bucket; negative for values below 0.")
    events = models.BigIntegerField()

    class Meta:
        db_table = "aggregate_histograms"

    def __str__(self) -> str:
        return f"{self.rule} {self.window_start:%Y-%m-%d %H:%M} {self.group_key} {self.bucket}"


class Violation(models.Model):
    """A compliance finding: which rule an event broke, and what shows it."""

    class Family(models.TextChoices):
        AML = "aml", "Money laundering"
        KYC = "kyc", "Know your customer"
        PCI = "pci", "Card data"
        DATA_QUALITY = "data_quality", "Data quality"
        BUSINESS_RULE = "business_rule", "Business rule"

    class Severity(models.TextChoices):
        LOW = "low", "Low"
        MEDIUM = "medium", "Medium"
        HIGH = "high", "High"
        CRITICAL = "critical", "Critical"

    id = models.BigAutoField(primary_key=True)
    event_id = models.BigIntegerField(help_text="The transaction; a bare id, for leaves go.")
    rule_version = models.BigIntegerField(help_text="Hash of the rule's own definition.")
    occurred_at = models.DateTimeField(help_text="Event time.")
    found_at = models.DateTimeField(help_text="Arrival of the event.")
    rule = models.CharField(max_length=63)
    family = models.CharField(max_length=16, choices=Family.choices)
    severity = models.CharField(max_length=8, choices=Severity.choices)
    key = models.CharField(max_length=256, help_text="What the rule looks at: the event's key.")
    transaction_id = models.CharField(max_length=256)
    customer_id = models.CharField(max_length=256, default="")
    merchant_id = models.CharField(max_length=256, default="")
    evidence = models.JSONField(help_text="The values that the rule saw.")

    class Meta:
        db_table = "violations"
        ordering = ["-id"]
        constraints = [
            # prevents a finding from being counted twice; serves the findings of a transaction
            models.UniqueConstraint(
                fields=["event_id", "rule_version", "key"], name="violations_once"
            ),
        ]
        indexes = [
            # serves lists of a time range; findings come in the order of time, so it is an append
            models.Index(fields=["occurred_at"], name="violations_occurred_at"),
        ]

    def __str__(self) -> str:
        return f"{self.rule} {self.transaction_id}"


class DistinctCount(models.Model):
    """One plane of the sketch that counts the customers or merchants of an hour: docs/adr/0011.

    The SQL primary key is the first three columns; Django sees the first only.
    """

    class Counted(models.TextChoices):
        CUSTOMERS = "customers", "Customers"
        MERCHANTS = "merchants", "Merchants"

    counted = models.CharField(max_length=16, choices=Counted.choices, primary_key=True)
    window_start = models.DateTimeField()
    plane = models.SmallIntegerField(help_text="Leading zeros of the ids' hashes.")
    bits = models.TextField(help_text="4,096 of 0 and 1.")

    class Meta:
        db_table = "distinct_counts"

    def __str__(self) -> str:
        return f"{self.counted} {self.window_start:%Y-%m-%d %H:%M} {self.plane}"
