from __future__ import annotations

from django.db import migrations, models

#: A row of about 560 bytes is updated in place while its window fills: half of each page stays free.
FORWARD = """
CREATE TABLE distinct_counts (
    window_start timestamptz NOT NULL,
    plane smallint NOT NULL,
    counted varchar(16) COLLATE "C" NOT NULL,
    bits bit(4096) NOT NULL,
    -- what is counted and the time come first: a range is one range of it
    CONSTRAINT distinct_counts_pkey PRIMARY KEY (counted, window_start, plane),
    -- prevents a cell that no window of an hour has
    CONSTRAINT distinct_counts_window CHECK (extract(epoch FROM window_start) % 3600 = 0)
) WITH (fillfactor = 50);
"""
BACKWARD = "DROP TABLE distinct_counts;"


class Migration(migrations.Migration):
    dependencies = [("metrics", "0002_windows_and_violations")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(FORWARD, BACKWARD)],
            state_operations=[
                migrations.CreateModel(
                    name="DistinctCount",
                    fields=[
                        (
                            "counted",
                            models.CharField(
                                choices=[("customers", "Customers"), ("merchants", "Merchants")],
                                max_length=16,
                                primary_key=True,
                                serialize=False,
                            ),
                        ),
                        ("window_start", models.DateTimeField()),
                        (
                            "plane",
                            models.SmallIntegerField(help_text="Leading zeros of the ids' hashes."),
                        ),
                        ("bits", models.TextField(help_text="4,096 of 0 and 1.")),
                    ],
                    options={"db_table": "distinct_counts"},
                ),
            ],
        ),
    ]
