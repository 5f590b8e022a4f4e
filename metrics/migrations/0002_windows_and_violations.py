from __future__ import annotations

from django.db import migrations, models

#: Hot rows are updated in place: half of each page stays free, and no index holds what changes.
FORWARD = """
CREATE TABLE metric_windows (
    window_start timestamptz NOT NULL,
    rule_version bigint NOT NULL,
    transactions bigint NOT NULL,
    last_at timestamptz,
    last_key uuid,
    window_s integer NOT NULL,
    rule varchar(63) COLLATE "C" NOT NULL,
    group_key text COLLATE "C" NOT NULL,
    value_sum numeric(38, 6) NOT NULL,
    denominator numeric(38, 6) NOT NULL,
    value_min numeric(28, 6),
    value_max numeric(28, 6),
    value_last numeric(28, 6),
    -- the rule and the time come first: a series is one range of it
    CONSTRAINT metric_windows_pkey
        PRIMARY KEY (rule, window_start, rule_version, window_s, group_key),
    -- prevents a cell that no window of its length has
    CONSTRAINT metric_windows_window CHECK (extract(epoch FROM window_start) % window_s = 0)
) WITH (fillfactor = 50);

CREATE TABLE aggregate_histograms (
    window_start timestamptz NOT NULL,
    rule_version bigint NOT NULL,
    events bigint NOT NULL,
    window_s integer NOT NULL,
    bucket integer NOT NULL,
    rule varchar(63) COLLATE "C" NOT NULL,
    group_key text COLLATE "C" NOT NULL,
    CONSTRAINT aggregate_histograms_pkey
        PRIMARY KEY (rule, window_start, rule_version, window_s, group_key, bucket),
    -- prevents a cell that no window of its length has
    CONSTRAINT aggregate_histograms_window CHECK (extract(epoch FROM window_start) % window_s = 0)
) WITH (fillfactor = 50);
"""
BACKWARD = "DROP TABLE metric_windows, aggregate_histograms;"


class Migration(migrations.Migration):
    dependencies = [("metrics", "0001_initial")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(FORWARD, BACKWARD)],
            state_operations=[
                migrations.CreateModel(
                    name="AggregateHistogram",
                    fields=[
                        (
                            "rule",
                            models.CharField(max_length=63, primary_key=True, serialize=False),
                        ),
                        ("window_start", models.DateTimeField()),
                        (
                            "rule_version",
                            models.BigIntegerField(help_text="Hash of the rule's own definition."),
                        ),
                        (
                            "window_s",
                            models.IntegerField(help_text="Length of the window in seconds."),
                        ),
                        (
                            "group_key",
                            models.TextField(
                                help_text="The group's values as a JSON object, {} for all."
                            ),
                        ),
                        (
                            "bucket",
                            models.IntegerField(
                                help_text="Number of the bucket; negative for values below 0."
                            ),
                        ),
                        ("events", models.BigIntegerField()),
                    ],
                    options={
                        "db_table": "aggregate_histograms",
                    },
                ),
                migrations.CreateModel(
                    name="MetricWindow",
                    fields=[
                        (
                            "rule",
                            models.CharField(max_length=63, primary_key=True, serialize=False),
                        ),
                        ("window_start", models.DateTimeField()),
                        (
                            "rule_version",
                            models.BigIntegerField(help_text="Hash of the rule's own definition."),
                        ),
                        (
                            "window_s",
                            models.IntegerField(help_text="Length of the window in seconds."),
                        ),
                        (
                            "group_key",
                            models.TextField(
                                help_text="The group's values as a JSON object, {} for all."
                            ),
                        ),
                        (
                            "transactions",
                            models.BigIntegerField(help_text="Events that have a value."),
                        ),
                        (
                            "value_sum",
                            models.DecimalField(
                                decimal_places=6,
                                help_text="Sum of the values; of a RATE the numerators.",
                                max_digits=38,
                            ),
                        ),
                        (
                            "denominator",
                            models.DecimalField(
                                decimal_places=6, help_text="Of a RATE.", max_digits=38
                            ),
                        ),
                        (
                            "value_min",
                            models.DecimalField(decimal_places=6, max_digits=28, null=True),
                        ),
                        (
                            "value_max",
                            models.DecimalField(decimal_places=6, max_digits=28, null=True),
                        ),
                        (
                            "value_last",
                            models.DecimalField(decimal_places=6, max_digits=28, null=True),
                        ),
                        (
                            "last_at",
                            models.DateTimeField(
                                help_text="Event time of the last value.", null=True
                            ),
                        ),
                        (
                            "last_key",
                            models.UUIDField(help_text="Event key of the last value.", null=True),
                        ),
                    ],
                    options={
                        "db_table": "metric_windows",
                    },
                ),
            ],
        ),
        migrations.CreateModel(
            name="Violation",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "event_id",
                    models.BigIntegerField(help_text="The transaction; a bare id, for leaves go."),
                ),
                (
                    "rule_version",
                    models.BigIntegerField(help_text="Hash of the rule's own definition."),
                ),
                ("occurred_at", models.DateTimeField(help_text="Event time.")),
                ("found_at", models.DateTimeField(help_text="Arrival of the event.")),
                ("rule", models.CharField(max_length=63)),
                (
                    "family",
                    models.CharField(
                        choices=[
                            ("aml", "Money laundering"),
                            ("kyc", "Know your customer"),
                            ("pci", "Card data"),
                            ("data_quality", "Data quality"),
                            ("business_rule", "Business rule"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "severity",
                    models.CharField(
                        choices=[
                            ("low", "Low"),
                            ("medium", "Medium"),
                            ("high", "High"),
                            ("critical", "Critical"),
                        ],
                        max_length=8,
                    ),
                ),
                (
                    "key",
                    models.CharField(
                        help_text="What the rule looks at: the event's key.", max_length=256
                    ),
                ),
                ("transaction_id", models.CharField(max_length=256)),
                ("customer_id", models.CharField(default="", max_length=256)),
                ("merchant_id", models.CharField(default="", max_length=256)),
                ("evidence", models.JSONField(help_text="The values that the rule saw.")),
            ],
            options={
                "db_table": "violations",
                "ordering": ["-id"],
                "indexes": [models.Index(fields=["occurred_at"], name="violations_occurred_at")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("event_id", "rule_version", "key"), name="violations_once"
                    )
                ],
            },
        ),
    ]
